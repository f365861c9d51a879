// Numbers and sizes as people write them: "4", "64M", "1G".
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace hive::monitor {

// A whole decimal number within [lowest, highest], and nothing else around it.
std::optional<std::int64_t> parse_number(std::string_view text, std::int64_t lowest,
                                         std::int64_t highest);

// Digits and at most one suffix K, M, G or T (powers of 1024, either case, "MiB" and "MB" too).
// Nothing when it is no size; size_max when it does not fit into 63 bits.
inline constexpr std::uint64_t size_max = std::numeric_limits<std::int64_t>::max();
std::optional<std::uint64_t> parse_size(std::string_view text);

// "64 MiB", "1.5 GiB": at most one decimal.
std::string format_size(std::uint64_t bytes);

}  // namespace hive::monitor

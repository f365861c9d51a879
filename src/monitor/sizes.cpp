#include "monitor/sizes.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace hive::monitor {

std::optional<std::int64_t> parse_number(std::string_view text, std::int64_t lowest,
                                         std::int64_t highest) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < lowest || value > highest) return {};
  return value;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0) return {};
  std::uint64_t count = size_max;  // stays so when there are too many digits
  std::from_chars(text.data(), text.data() + digits, count);
  count = std::min(count, size_max);
  std::string_view suffix = text.substr(digits);
  if (suffix.empty()) return count;
  constexpr std::string_view units = "KMGT";
  const std::size_t unit =
      units.find(suffix[0] >= 'a' ? static_cast<char>(suffix[0] - 32) : suffix[0]);
  suffix.remove_prefix(1);
  if (unit == std::string_view::npos) return {};
  if (!suffix.empty() && suffix != "B" && suffix != "iB" && suffix != "b" && suffix != "ib")
    return {};
  const unsigned shift = 10 * (static_cast<unsigned>(unit) + 1);
  return count > size_max >> shift ? size_max : count << shift;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array units = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  double value = static_cast<double>(bytes);
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  const bool whole =
      value >= 100 || value == static_cast<double>(static_cast<std::uint64_t>(value));
  return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, units[unit]);
}

}  // namespace hive::monitor

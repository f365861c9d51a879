// Which open segment an address belongs to, for the message of a fault. A handler may look at any
// time, also in the middle of a change: it gets an old name, a new one, or none, never garbage
// beyond the 63 bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hive::lib {

inline constexpr std::size_t named_segments_max = 256;  // later ones have no name in messages
inline constexpr std::size_t segment_name_words = 8;

class SegmentNames {
 public:
  using Name = std::array<char, segment_name_words * sizeof(std::uint64_t)>;

  // Returns a ticket for remove(), or -1 when the table is full. Thread-safe.
  int add(std::uint64_t begin, std::uint64_t bytes, std::string_view name) noexcept;
  void remove(int ticket) noexcept;
  // The names of all that lie within [begin, end).
  std::vector<std::string> within(std::uint64_t begin, std::uint64_t end) const;
  // The name, ending with a zero byte; empty if none is known. Async-signal-safe.
  Name find(std::uint64_t address) const noexcept;

 private:
  struct Entry {
    std::atomic<std::uint32_t> taken{0};
    std::atomic<std::uint64_t> begin{0};  // 0: not filled in
    std::atomic<std::uint64_t> end{0};
    std::array<std::atomic<std::uint64_t>, segment_name_words> name{};
  };
  std::array<Entry, named_segments_max> entries_{};
};

}  // namespace hive::lib

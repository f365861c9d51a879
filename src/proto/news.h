// What a cell tells its tasks unasked, on the connection of their attach (attach.h), after
// AttachReady: one message for each event. A cell never waits for a task that does not read: what
// does not fit into the socket is counted, and the next message that fits says how many are
// missing.
#pragma once

#include <array>
#include <cstdint>

namespace hive::proto {

inline constexpr std::uint32_t news_magic = 0x4e565648;

enum class NewsKind : std::uint32_t {
  cell_failed =
      1,     // by the task's own cell, once the cell is out of the live set: cell, epoch, cause
  torn = 2,  // by a segment's home, to those who have it open: segment, offset, bytes
  cell_back = 3,  // by the task's own cell, once the cell is in the live set again: cell, epoch
};

struct NewsMessage {
  std::uint32_t magic = news_magic;
  NewsKind kind{};
  std::int32_t cell = -1;
  std::uint32_t missed = 0;  // messages before this one that did not fit
  std::uint64_t epoch = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::array<char, 64> segment{};  // ends with a zero byte
  std::array<char, 96> cause{};    // ends with a zero byte
};

}  // namespace hive::proto

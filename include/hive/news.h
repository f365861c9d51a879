// What happens to a task without its doing, told through a descriptor that it can poll: with poll,
// epoll, asio or whatever its event loop is made of. No foreign thread, no signal.
//
//   struct pollfd p = {session.news_descriptor(), POLLIN, 0};
//   while (::poll(&p, 1, -1) > 0) {
//     while (auto news = session.next_news()) handle(*news);
//   }
//
// The descriptor may be readable once without news (a connection has ended, and its cell's fate is
// not settled yet), so poll in a loop, as above. `torn` may come before the `cell_failed` that
// caused it. A task is told of what it has torn itself, too; a window that is rolled back and a
// mutex that breaks are no news.
//
// News are a convenience: whatever they tell shows as an error in the calls that it concerns, too.
// A task that does not read them costs nobody anything: the cell keeps a few dozen for it, drops
// what comes then, and tells how many (`missed`).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <hive/error.h>

namespace hive {

struct News {
  enum class Kind : std::uint8_t {
    cell_failed,  // `cell` has left the live set; `segments` of this task had their home there
    torn,         // `range` of the one segment in `segments` has lost its content; see reset()
    cell_back,    // `cell` was started anew, with empty memory, and is in the live set again: what
                  // had its home there can be created or opened anew, the old mappings stay errors
  };
  Kind kind = Kind::cell_failed;
  int cell = -1;            // that failed or is back, or that is the home of the segment
  std::uint64_t epoch = 0;  // in which the machine goes on; 0 for torn
  std::vector<std::string> segments;  // those that this task has open and that are concerned
  Range range;                        // torn
  std::string cause;                  // cell_failed: why, in words
  std::uint32_t missed = 0;           // news before this one that were dropped
};

}  // namespace hive

// The descriptor behind Session::news_descriptor(): an epoll set of the connections to all cells
// that the task is attached to.
#pragma once

#include <array>
#include <atomic>
#include <optional>

#include <hive/news.h>
#include "base/fd.h"
#include "base/ids.h"

namespace hive::lib {

class PeerTable;
class SegmentNames;

// Thread-safe.
class NewsFeed {
 public:
  NewsFeed();  // without a descriptor left it has none, and there are no news
  int descriptor() const { return epoll_.get(); }

  // From now on, what this cell says is news.
  void watch(CellId cell, int connection) noexcept;

  // The next news, or none. What is no news is dropped; a connection that has ended is forgotten,
  // since the task's own cell tells what became of the cell.
  std::optional<News> next(const PeerTable& peers, const SegmentNames& names);

  // In a child of fork.
  void close_in_child() noexcept { epoll_.reset(); }

 private:
  UniqueFd epoll_;
  std::array<std::atomic<int>, max_cells> connections_{};  // watched last; only to forget them
};

}  // namespace hive::lib

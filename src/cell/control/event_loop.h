// The control thread's loop: descriptors with a callback each, one thread, no locks.
//
// Everything a kernel does that is not in a data path happens here: attaching processes, requests
// of the command, the starter's news, the ends of tasks. Callbacks must not block.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include <hive/error.h>
#include "base/fd.h"

namespace hive::cell {

class EventLoop {
 public:
  using Callback = std::function<void()>;

  static Result<std::unique_ptr<EventLoop>> create();

  // Calls back whenever `fd` is readable or has been closed by its peer. The descriptor stays the
  // caller's, who removes it before closing it. Loop thread only. False: the host has no room.
  [[nodiscard]] bool watch(int fd, Callback callback);
  void forget(int fd);

  // Runs `work` on the loop thread, soon. Any thread.
  void post(Callback work);

  // Runs until stop(). `on_tick` is called about every tick_ns as well.
  void run(std::uint64_t tick_ns, const Callback& on_tick);
  void stop();  // any thread

 private:
  explicit EventLoop(UniqueFd epoll, UniqueFd wake);
  void run_posted();

  UniqueFd epoll_;
  UniqueFd wake_;
  bool stopping_ = false;
  std::map<int, std::shared_ptr<Callback>> callbacks_;  // loop thread
  std::mutex mutex_;
  std::deque<Callback> posted_;  // guarded by mutex_
};

}  // namespace hive::cell

// The log of a component: one line an event, written whole with one call, so that what had
// happened is known however the component ends. It never goes through Hive.
//
//   TIME EVENT ARGUMENTS...        TIME: monotonic nanoseconds
// What the events are is in campaign/plan/events.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "campaign/plan/clock.h"

namespace hive::campaign {

class EventLog {
 public:
  explicit EventLog(const std::string& path)
      : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {}
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;
  ~EventLog() { ::close(fd_); }

  bool is_open() const { return fd_ >= 0; }

  // note("C {} {}", home, round)
  template <class... Args>
  void note(fmt::format_string<Args...> text, Args&&... args) {
    std::array<char, 256> line;
    auto at = fmt::format_to_n(line.data(), 32, "{} ", monotonic_ns()).out;
    const auto room = line.size() - static_cast<std::size_t>(at - line.data()) - 1;
    at = fmt::format_to_n(at, static_cast<std::ptrdiff_t>(room), text, std::forward<Args>(args)...)
             .out;
    *at++ = '\n';
    [[maybe_unused]] const auto n =
        ::write(fd_, line.data(), static_cast<std::size_t>(at - line.data()));
  }

 private:
  const int fd_;
};

}  // namespace hive::campaign

#include "cell/control/event_loop.h"

#include <array>
#include <cerrno>

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/time.h"

namespace hive::cell {
namespace {

constexpr int events_per_wait = 64;

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll || !wake) return fail(Code::host, "an event loop needs two descriptors", -1, errno);
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wake)));
  const int wake_fd = loop->wake_.get();
  auto drain = [wake_fd] {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto n = ::read(wake_fd, &count, sizeof count);
  };
  if (!loop->watch(wake_fd, drain)) return fail(Code::host, "epoll refuses", -1, errno);
  return loop;
}

EventLoop::EventLoop(UniqueFd epoll, UniqueFd wake)
    : epoll_(std::move(epoll)), wake_(std::move(wake)) {}

bool EventLoop::watch(int fd, Callback callback) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return false;
  callbacks_[fd] = std::make_shared<Callback>(std::move(callback));
  return true;
}

void EventLoop::forget(int fd) {
  if (callbacks_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::post(Callback work) {
  {
    const std::scoped_lock lock(mutex_);
    posted_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::stop() {
  post([this] { stopping_ = true; });
}

void EventLoop::run_posted() {
  std::deque<Callback> work;
  {
    const std::scoped_lock lock(mutex_);
    work.swap(posted_);
  }
  for (const Callback& item : work) item();
}

void EventLoop::run(std::uint64_t tick_ns, const Callback& on_tick) {
  stopping_ = false;
  std::uint64_t next_tick = now_ns() + tick_ns;
  while (!stopping_) {
    const std::uint64_t now = now_ns();
    const std::uint64_t wait_ns = next_tick > now ? next_tick - now : 0;
    std::array<epoll_event, events_per_wait> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), events_per_wait,
                                   static_cast<int>((wait_ns + ns_per_ms - 1) / ns_per_ms));
    for (int i = 0; i < count; ++i) {
      // A callback before this one may have forgotten the descriptor, or replaced itself.
      const auto found = callbacks_.find(events[static_cast<std::size_t>(i)].data.fd);
      if (found == callbacks_.end()) continue;
      const std::shared_ptr<Callback> callback = found->second;
      (*callback)();
    }
    run_posted();
    if (now_ns() >= next_tick) {
      on_tick();
      next_tick = now_ns() + tick_ns;
    }
  }
}

}  // namespace hive::cell

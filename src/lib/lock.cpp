#include <hive/lock.h>

#include <limits>

#include "lib/deadline.h"
#include "lib/lock_impl.h"
#include "lib/name_copy.h"

namespace hive {

using proto::LockKind;

Result<Mutex> Mutex::open(const Segment& segment, std::string_view name) {
  auto impl = segment.impl()->lock(LockKind::mutex, lib::NameCopy(name).view());
  if (!impl) return fail(impl.error());
  return Mutex(std::move(*impl));
}

Result<void> Mutex::lock(std::chrono::nanoseconds timeout) {
  // Nobody looks at the clock where nobody has to wait.
  auto taken = impl_->try_lock();
  if (taken || taken.error().code != Code::busy) return taken;
  return impl_->lock(lib::deadline_in(timeout));
}
Result<void> Mutex::try_lock() { return impl_->try_lock(); }
Result<void> Mutex::unlock() { return impl_->unlock(); }

Result<LockGuard> Mutex::guard(std::chrono::nanoseconds timeout) {
  if (auto taken = lock(timeout); !taken) return fail(taken.error());
  return LockGuard(*this);
}

bool Mutex::is_broken() const { return impl_->is_broken(); }
Result<void> Mutex::reset() { return impl_->reset(); }

Result<Condition> Condition::open(const Segment& segment, std::string_view name) {
  auto impl = segment.impl()->lock(LockKind::condition, lib::NameCopy(name).view());
  if (!impl) return fail(impl.error());
  return Condition(std::move(*impl));
}

Result<void> Condition::wait(Mutex& mutex, std::chrono::nanoseconds timeout) {
  const std::uint64_t deadline_ns = lib::deadline_in(timeout);
  const auto seen = impl_->sequence();
  if (!seen) return fail(seen.error());
  if (auto given = mutex.unlock(); !given) return given;
  auto waited = impl_->wait_for(*seen, deadline_ns);
  // However the wait ended, the caller goes on with the mutex held, unless nobody can hold it.
  for (;;) {  // ends when whoever holds it lets go or dies
    const auto taken = mutex.lock();
    if (taken) return waited;
    const Code code = taken.error().code;
    const bool hopeless = code == Code::lost || code == Code::cell_down || code == Code::refused;
    if (hopeless || code == Code::bad_argument || code == Code::not_found) return taken;
  }
}

Result<void> Condition::notify_one() { return impl_->notify(1); }
Result<void> Condition::notify_all() { return impl_->notify(std::numeric_limits<int>::max()); }

}  // namespace hive

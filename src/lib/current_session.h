// The session of this process: at most one at a time, and none at first in a child of fork.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

namespace hive::lib {

class SessionImpl;

struct ProcessSession {
  std::mutex mutex;                      // held while attaching and detaching; first of all locks
  std::shared_ptr<SessionImpl> session;  // guarded by mutex; null: not attached
};

// Another one in a child of fork, where a thread of the parent may have held the mutex.
ProcessSession& process_session();

// From now on a child of fork closes its copies of the session's descriptors and has no session.
void watch_for_forks();
// The same for a child that was made behind the back of pthread_atfork: `process` is its true id.
void forget_inherited_session(std::uint64_t process);

// With the mutex held: makes the session known to SessionUse, or unknown again. withdraw_session()
// waits until deadline_ns for the uses that there are; false if some are left.
void publish_session(SessionImpl* session) noexcept;
bool withdraw_session(std::uint64_t deadline_ns) noexcept;

// The session of this process, if there is one, for those who must not wait: fault handlers, and
// short looks at the memory of cells. While a SessionUse exists, detaching waits for it, so that
// the memory stays mapped. Async-signal-safe.
class SessionUse {
 public:
  SessionUse() noexcept;
  ~SessionUse();
  SessionUse(const SessionUse&) = delete;
  SessionUse& operator=(const SessionUse&) = delete;

  explicit operator bool() const { return session_ != nullptr; }
  SessionImpl* operator->() const { return session_; }
  SessionImpl& operator*() const { return *session_; }

 private:
  SessionImpl* session_;
};

}  // namespace hive::lib

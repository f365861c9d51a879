// The task's side of a mutex or condition (proto/lock.h): one object for each name and segment in
// a process, held by all Mutex and Condition objects of it.
//
// The word lies in memory that may go away under us, so it is only touched by the routines of
// safe_copy.h; a word that is not there is asked for, like a page that faults.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <hive/error.h>
#include "base/futex.h"
#include "lib/segment_impl.h"
#include "proto/lock.h"

namespace hive::lib {

// How often a word may be missing from our page tables, in one go, before we believe that it is
// gone.
inline constexpr int lock_page_tries_max = 16;

class LockImpl {
 public:
  // Errors: those of Mutex::open.
  static Result<std::shared_ptr<LockImpl>> open(SegmentImpl& segment, proto::LockKind kind,
                                                std::string_view name);
  LockImpl(std::shared_ptr<SessionImpl> session, Peer* peer, std::uint32_t object,
           std::uint32_t page, std::uint32_t token, std::uint64_t state);
  LockImpl(const LockImpl&) = delete;
  LockImpl& operator=(const LockImpl&) = delete;

  std::uint32_t page() const { return page_; }  // of the node

  Result<void> lock(std::uint64_t deadline_ns);
  Result<void> try_lock();
  Result<void> unlock();
  bool is_broken() const;
  Result<void> reset();

  // Of a condition. wait_for() sleeps until the sequence is no longer `seen`, or something that a
  // waiter has to look at happens.
  Result<std::uint32_t> sequence();
  Result<void> wait_for(std::uint32_t seen, std::uint64_t deadline_ns);
  Result<void> notify(int count);

 private:
  std::uint32_t* word() const;
  Result<std::uint32_t> load();
  // Exchanges the word if it is `expected`, and says what it was.
  Result<std::uint32_t> exchange(std::uint32_t expected, std::uint32_t desired);
  template <class Touch>
  Result<void> touch(Touch touch);
  Result<void> check() const;
  Result<std::uint32_t> generation() const;
  Failure failed(Code code, const char* cause) const;

  const std::shared_ptr<SessionImpl> session_;
  Peer* const peer_;  // as long as the session object
  const std::uint32_t object_;
  const std::uint32_t page_;  // of the node
  const std::uint32_t token_;
  const proto::LockState* const state_;  // in the home's kernel memory; read with care
};

}  // namespace hive::lib

#include "machine/linux/lifeline.h"

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/futex.h"
#include "base/safe_copy.h"
#include "base/time.h"

namespace hive::machine {
namespace {

// Linux gives up a robust list after this many entries.
constexpr int robust_list_limit = 2048;
static_assert(lifeline_count < robust_list_limit);
static_assert(offsetof(LifelineEntry, next) == 0 &&
              sizeof(robust_list) == sizeof(LifelineEntry::next));

// It needs hardly any stack, but the sanitizers put their own thread state there.
constexpr std::size_t sleeper_stack_bytes = 256 * 1024;

robust_list_head list_head;           // read by Linux when the sleeper dies
std::atomic<std::uint32_t> armed{0};  // 0: not yet; otherwise 1 + errno of set_robust_list

void link_entries(NodeHeader* own) {
  const auto address = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
  list_head.futex_offset = offsetof(LifelineEntry, word) - offsetof(LifelineEntry, next);
  list_head.list_op_pending = nullptr;
  list_head.list.next = reinterpret_cast<robust_list*>(&own->lifelines[0].next);
  const auto tid = static_cast<std::uint32_t>(::syscall(SYS_gettid));
  for (int i = 0; i < lifeline_count; ++i) {
    const bool last = i + 1 == lifeline_count;
    own->lifelines[i].next =
        last ? address(&list_head.list) : address(&own->lifelines[i + 1].next);
    own->lifelines[i].word.store(tid | FUTEX_WAITERS, std::memory_order_release);
  }
}

void* sleep_for_ever(void* own) {
  link_entries(static_cast<NodeHeader*>(own));
  // Replaces the list that the C library registered: this thread never holds a robust mutex.
  const bool done = ::syscall(SYS_set_robust_list, &list_head, sizeof list_head) == 0;
  armed.store(1 + static_cast<std::uint32_t>(done ? 0 : errno));
  futex_wake(&armed, 1);
  for (;;) ::pause();
}

bool start_sleeper(NodeHeader* own) {
  // The thread inherits the mask, and so no handler ever runs on it.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&attributes, sleeper_stack_bytes);
  pthread_t thread;
  const int result = ::pthread_create(&thread, &attributes, &sleep_for_ever, own);
  ::pthread_attr_destroy(&attributes);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (result != 0) errno = result;
  return result == 0;
}

}  // namespace

Result<void> arm_lifelines(NodeHeader* own) {
  if (armed.load() != 0) return fail(Code::bad_argument, "the lifelines are armed already");
  if (!start_sleeper(own)) {
    return fail(Code::exhausted, "no thread for the lifelines", -1, errno);
  }
  std::uint32_t state = 0;
  const std::uint64_t deadline = now_ns() + 10 * ns_per_s;
  while ((state = armed.load()) == 0 && now_ns() < deadline) futex_wait(&armed, 0, deadline);
  if (state == 0) return fail(Code::timed_out, "the thread of the lifelines did not start");
  if (state != 1) {
    return fail(Code::host, "set_robust_list", -1, static_cast<int>(state - 1));
  }
  return {};
}

void mark_lifelines(NodeHeader* own) noexcept {
  for (auto& entry : own->lifelines) {
    entry.word.fetch_or(FUTEX_OWNER_DIED, std::memory_order_acq_rel);
  }
  for (auto& entry : own->lifelines) futex_wake(&entry.word, INT_MAX);
}

LifelineState read_lifeline(const NodeHeader* remote, int watcher) noexcept {
  std::uint32_t word;
  if (!safe_load32(&remote->lifelines[watcher].word, word)) return LifelineState::unreadable;
  return word & FUTEX_OWNER_DIED ? LifelineState::marked : LifelineState::alive;
}

void wait_lifelines(std::span<const NodeHeader* const> remotes, int watcher,
                    std::uint64_t deadline_ns) noexcept {
  std::array<FutexWord, max_cells> words;
  std::size_t count = 0;
  for (const NodeHeader* remote : remotes) {
    if (remote == nullptr || count == words.size()) continue;
    const auto* word = &remote->lifelines[watcher].word;
    std::uint32_t value;
    if (!safe_load32(word, value) || value & FUTEX_OWNER_DIED) return;
    words[count++] = {word, value};
  }
  if (count == 0) {
    const timespec until = to_timespec(deadline_ns);
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    return;
  }
  futex_wait_any({words.data(), count}, deadline_ns);
}

}  // namespace hive::machine

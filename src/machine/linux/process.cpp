#include "machine/linux/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace hive::machine {
namespace {

constexpr std::size_t moves_max = 16;
constexpr int above_all_targets = 64;

constexpr std::uint64_t slice_ns = 100'000;  // the shortest that Linux grants

// As Linux declares it; the headers of the C library have no sched_setattr().
struct SchedulingWish {
  std::uint32_t size = sizeof(SchedulingWish);
  std::uint32_t policy = 0;  // SCHED_NORMAL
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = slice_ns;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulingWish) == 48);

bool close_from(unsigned first, unsigned last) noexcept {
  return first > last || ::syscall(SYS_close_range, first, last, 0) == 0;
}

}  // namespace

void ask_for_short_slices() noexcept {
  SchedulingWish wish;
  errno = 0;
  wish.nice = ::getpriority(PRIO_PROCESS, 0);
  if (errno == 0) ::syscall(SYS_sched_setattr, 0, &wish, 0);
}

void reset_signals() noexcept {
  // Past the C library, which refuses to touch the two signals that it keeps to itself; a program
  // that started us may have left them ignored. All zero is the default action.
  constexpr std::array<unsigned long, 4> default_action = {};
  constexpr std::size_t mask_bytes = 8;
  for (int signal = 1; signal < NSIG; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, default_action.data(), nullptr, mask_bytes);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool place_descriptors(std::span<const FdMove> moves) noexcept {
  std::array<int, moves_max> copies;
  if (moves.size() > copies.size()) {
    errno = EINVAL;
    return false;
  }
  // Copies out of the way first: a source may have the number of somebody's target.
  for (std::size_t i = 0; i < moves.size(); ++i) {
    copies[i] =
        moves[i].from < 0 ? -1 : ::fcntl(moves[i].from, F_DUPFD_CLOEXEC, above_all_targets);
    if (moves[i].from >= 0 && copies[i] < 0) return false;
  }
  if (!close_from(0, above_all_targets - 1)) return false;
  int highest = -1;
  for (std::size_t i = 0; i < moves.size(); ++i) {
    if (copies[i] < 0) continue;
    if (::dup2(copies[i], moves[i].to) < 0) return false;
    if (moves[i].to > highest) highest = moves[i].to;
  }
  return close_from(static_cast<unsigned>(highest + 1), ~0U);
}

}  // namespace hive::machine

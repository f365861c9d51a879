// Kills a program after every instruction of an operation: a tracer steps it n instructions into
// the operation, kills it, and looks at what it left as any other task would; then the same with
// the next n, until the operation is over before its n-th instruction.
//
// Usage: chaos-stepper OPERATION FIRST STRIDE     n = FIRST, FIRST + STRIDE, ...
//        chaos-stepper child OPERATION            (the traced program, started by the other)
// Exit status: 0 when every reader saw old or new content or an error, and nobody was stuck.

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hive/hive.h>

namespace {

using hive::Code;

constexpr std::chrono::seconds stuck_after{20};
constexpr std::uint64_t window_bytes = 2 * hive::page_size;
constexpr std::uint64_t put_offset = 4 * hive::page_size + 72;
constexpr std::uint64_t segment_bytes = 8 * hive::page_size;
constexpr std::uint64_t before = 7;  // what the words hold before the operation, and after it
constexpr std::uint64_t after = 8;

struct Small {
  std::array<std::uint64_t, 40> words;
};

struct Place {
  hive::Segment torn;
  hive::Segment restored;
  hive::Mutex mutex;
};

bool all(std::span<const std::uint64_t> words, std::uint64_t value) {
  return std::ranges::all_of(words, [value](std::uint64_t word) { return word == value; });
}

// --- what the victim does -----------------------------------------------------------------------

bool is(const char* operation, const char* name) { return std::strcmp(operation, name) == 0; }

bool operate(Place& place, const char* operation) {
  if (is(operation, "window") || is(operation, "rollback")) {
    hive::Segment& segment = is(operation, "window") ? place.torn : place.restored;
    auto window = segment.write(0, window_bytes);
    if (!window) return false;
    std::fill_n(window->at<std::uint64_t>(0), window_bytes / 8, after);
    return window->commit().has_value();
  }
  if (is(operation, "put")) {
    Small small{};
    small.words.fill(after);
    return place.torn.put_as(put_offset, small).has_value();
  }
  if (is(operation, "lock")) return place.mutex.lock().has_value();
  return place.mutex.unlock().has_value();
}

int complain(const char* who, const char* what, const hive::Error& error) {
  std::fprintf(stderr, "the %s: %s: %s\n", who, what, error.message().c_str());
  return 3;
}

// A cell of a busy host may be slow to answer.
hive::Result<hive::Session> attach_to(int cell) {
  const auto deadline = std::chrono::steady_clock::now() + stuck_after;
  for (;;) {
    auto session = hive::attach({.cell = cell});
    if (session || session.error().code != Code::timed_out) return session;
    if (std::chrono::steady_clock::now() > deadline) return session;
  }
}

int child(const char* operation) {
  auto session = attach_to(1);
  if (!session) return complain("victim", "attach", session.error());
  auto torn = session->open("steps-torn");
  if (!torn) return complain("victim", "open", torn.error());
  auto restored = session->open("steps-restored");
  if (!restored) return complain("victim", "open", restored.error());
  auto mutex = hive::Mutex::open(*torn, "m");
  if (!mutex) return complain("victim", "mutex", mutex.error());
  Place place{std::move(*torn), std::move(*restored), std::move(*mutex)};
  if (is(operation, "unlock") && !place.mutex.lock()) return 3;
  std::raise(SIGTRAP);  // here it begins
  const bool done = operate(place, operation);
  std::raise(SIGTRAP);  // and here it is over
  return done ? 0 : 4;
}

// --- what the others see of it ------------------------------------------------------------------

bool wrong(const char* operation, long step, const char* what) {
  std::printf("%s, killed after %ld instructions: %s\n", operation, step, what);
  return false;
}

template <class Attempt>
auto until_not_busy(Attempt attempt) {
  const auto deadline = std::chrono::steady_clock::now() + stuck_after;
  for (;;) {
    auto result = attempt();
    if (result || result.error().code != Code::busy) return result;
    if (std::chrono::steady_clock::now() > deadline) return result;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

bool fill(hive::Segment& segment) {
  auto window = until_not_busy([&] { return segment.write(0, window_bytes); });
  if (!window) return false;
  std::fill_n(window->at<std::uint64_t>(0), window_bytes / 8, before);
  return window->commit().has_value();
}

bool look_at_window(hive::Segment& segment, bool rolls_back, const char* operation, long step) {
  auto window = until_not_busy([&] { return segment.write(0, window_bytes); });
  if (!window) {
    if (window.error().code != Code::lost || rolls_back) {
      return wrong(operation, step, window.error().message().c_str());
    }
    const auto read = segment.read_as<std::uint64_t>(0);
    if (read) return wrong(operation, step, "what is lost is read without an error");
    if (!segment.reset(0, window_bytes)) return wrong(operation, step, "it cannot be reset");
    return fill(segment) || wrong(operation, step, "it cannot be used again");
  }
  const std::span words(window->at<std::uint64_t>(0), window_bytes / 8);
  const bool whole = all(words, before) || all(words, after);
  std::fill(words.begin(), words.end(), before);
  if (!window->commit()) return wrong(operation, step, "the next writer cannot commit");
  return whole || wrong(operation, step, "a mixture without an error");
}

bool look_at_put(hive::Segment& segment, const char* operation, long step) {
  // The home may be storing it just now.
  const auto deadline = std::chrono::steady_clock::now() + stuck_after;
  for (;;) {
    const auto read = segment.read_as<Small>(put_offset);
    if (!read) return wrong(operation, step, read.error().message().c_str());
    if (all(read->words, before) || all(read->words, after)) break;
    if (std::chrono::steady_clock::now() > deadline) {
      return wrong(operation, step, "it stays half stored");
    }
  }
  Small small{};
  small.words.fill(before);
  return segment.put_as(put_offset, small) || wrong(operation, step, "nothing can be put there");
}

bool look_at_mutex(hive::Mutex& mutex, const char* operation, long step) {
  auto held = mutex.lock(stuck_after);
  if (!held && held.error().code == Code::lost) {
    if (!mutex.reset()) return wrong(operation, step, "it cannot be reset");
    held = mutex.lock(stuck_after);
  }
  if (!held) return wrong(operation, step, held.error().message().c_str());
  return mutex.unlock() || wrong(operation, step, "it cannot be given back");
}

bool look(Place& place, const char* operation, long step) {
  if (is(operation, "window")) return look_at_window(place.torn, false, operation, step);
  if (is(operation, "rollback")) return look_at_window(place.restored, true, operation, step);
  if (is(operation, "put")) return look_at_put(place.torn, operation, step);
  return look_at_mutex(place.mutex, operation, step);
}

// --- the tracer ---------------------------------------------------------------------------------

// Lets it run until its next stop. The signal that stopped it, or 0 when it has ended, which it
// says.
int go_on(pid_t pid, bool one_step, int signal) {
  const auto how = one_step ? PTRACE_SINGLESTEP : PTRACE_CONT;
  if (::ptrace(how, pid, nullptr, static_cast<long>(signal)) != 0) return 0;
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return 0;
  if (WIFSTOPPED(status)) return WSTOPSIG(status);
  std::fprintf(stderr, "the victim ended: status %#x\n", static_cast<unsigned>(status));
  return 0;
}

// Whether it has stopped because it raised SIGTRAP itself, and not because it made a step.
bool at_marker(pid_t pid) {
  siginfo_t info{};
  return ::ptrace(PTRACE_GETSIGINFO, pid, nullptr, &info) == 0 && info.si_code == SI_TKILL;
}

enum class Stepped { killed, was_over, failed };

Stepped step_and_kill(const char* self, const char* operation, long steps) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::execl(self, self, "child", operation, static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return Stepped::failed;
  Stepped outcome = Stepped::killed;
  // Its signals are its own (a page that is not there yet is a SIGBUS for libhive); markers not.
  int signal = go_on(pid, false, 0);
  while (signal != 0 && !(signal == SIGTRAP && at_marker(pid))) {
    signal = go_on(pid, false, signal);
  }
  if (signal == 0) return Stepped::failed;
  signal = 0;
  for (long i = 0; i < steps; ++i) {
    signal = go_on(pid, true, signal);
    if (signal == 0) return Stepped::failed;
    if (signal == SIGTRAP && at_marker(pid)) {
      outcome = Stepped::was_over;
      break;
    }
    if (signal == SIGTRAP) signal = 0;
  }
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
  }
  return outcome;
}

int sweep(const char* self, const char* operation, long first, long stride) {
  auto session = attach_to(0);
  if (!session) return complain("judge", "attach", session.error());
  auto torn = session->create("steps-torn", segment_bytes, {});
  auto restored =
      session->create("steps-restored", segment_bytes, {.on_loss = hive::OnLoss::rollback});
  if (!torn) return complain("judge", "create", torn.error());
  if (!restored) return complain("judge", "create", restored.error());
  auto mutex = hive::Mutex::open(*torn, "m");
  if (!mutex) return complain("judge", "mutex", mutex.error());
  Place place{std::move(*torn), std::move(*restored), std::move(*mutex)};
  Small small{};
  small.words.fill(before);
  if (!fill(place.torn) || !fill(place.restored) || !place.torn.put_as(put_offset, small)) {
    return wrong(operation, 0, "it cannot be made ready"), 2;
  }
  long kills = 0;
  bool good = true;
  for (long step = first;; step += stride) {
    const Stepped stepped = step_and_kill(self, operation, step);
    if (stepped == Stepped::failed) return wrong(operation, step, "the victim ended by itself"), 1;
    ++kills;
    good = look(place, operation, step) && good;
    if (stepped == Stepped::was_over) {
      std::printf("%s: %ld kills, the last one at its end, before instruction %ld\n", operation,
                  kills, step);
      return good ? 0 : 1;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && is(argv[1], "child")) return child(argv[2]);
  if (argc != 4) return 2;
  const long stride = std::atol(argv[3]);
  return stride < 1 ? 2 : sweep("/proc/self/exe", argv[1], std::atol(argv[2]), stride);
}

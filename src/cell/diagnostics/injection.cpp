#include "cell/diagnostics/injection.h"

#include <latch>
#include <mutex>
#include <thread>

#include <unistd.h>

namespace hive::cell {
namespace {

constexpr useconds_t answer_gets_out_us = 20'000;

template <class Fault>
void soon(Fault fault) {
  std::thread([fault] {
    ::usleep(answer_gets_out_us);
    fault();
  }).detach();
}

// Two threads, two locks, opposite orders; the one that calls never comes back.
void deadlock() {
  static std::mutex first;
  static std::mutex second;
  static std::latch both_hold_one(2);
  std::thread([] {
    const std::scoped_lock lock(second);
    both_hold_one.arrive_and_wait();
    const std::scoped_lock never(first);
  }).detach();
  const std::scoped_lock lock(first);
  both_hold_one.arrive_and_wait();
  const std::scoped_lock never(second);
}

}  // namespace

Result<void> Injection::inject(const std::string& kind, const std::string& how,
                               std::uint64_t address) {
  if (kind == "hang-cell" && how == "loop") {
    hang_.store(Hang::loop);
  } else if (kind == "hang-cell" && how == "deadlock") {
    hang_.store(Hang::deadlock);
  } else if (kind == "fail-memory") {
    soon([this] { memory_.fail(); });
  } else if (kind == "wild-store") {
    soon([address] { *reinterpret_cast<volatile std::uint8_t*>(address) = 0xff; });
  } else {
    return fail(Code::bad_argument, "no such fault");
  }
  return {};
}

void Injection::hang_point() {
  switch (hang_.load(std::memory_order_relaxed)) {
    case Hang::none:
      return;
    case Hang::loop:
      while (hang_.load(std::memory_order_relaxed) == Hang::loop) {
      }
      return;
    case Hang::deadlock:
      return deadlock();
  }
}

}  // namespace hive::cell

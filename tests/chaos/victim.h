// A victim: a task that does everything that a program does with segments, one random operation
// after the other, until it is killed. Before it changes anything it looks whether what it finds
// is whole, old or new, or an error: all victims are each other's witnesses.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <hive/hive.h>

#include "tally.h"

namespace hive::chaos {

// Longer than anything may take on a busy host: who waits longer is stuck.
inline constexpr std::chrono::seconds stuck_after{20};

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

// Words that belong together: the first is the version, the others follow from it. All zero is
// version 0, what a new or a reset page holds.
void fill(std::span<std::uint64_t> words, std::uint64_t version);
std::optional<std::uint64_t> version_of(std::span<const std::uint64_t> words);

// Everything that a victim has to do with.
struct Place {
  Tally& tally;
  Random& random;
  int slot = 0;
  Segment torn;      // its windows are torn
  Segment restored;  // its windows are rolled back
  Segment streams;   // rings and versioned values
};

// Whether an error is one of those that may come here; else it is a violation.
bool may_be(const Error& error, std::initializer_list<Code> codes, const char* what);

// A kind of operation. step() says whether it met something that a dead task had left.
class Work {
 public:
  virtual ~Work() = default;
  virtual bool step() = 0;
};

std::unique_ptr<Work> window_work(Place& place);    // windows that are torn
std::unique_ptr<Work> rollback_work(Place& place);  // windows that are rolled back
std::unique_ptr<Work> put_work(Place& place);       // small stores by the home
std::unique_ptr<Work> mutex_work(Place& place);     // two numbers under a mutex
std::unique_ptr<Work> guarded_work(Place& place);   // windows under a mutex
std::unique_ptr<Work> turn_work(Place& place);      // a condition
std::unique_ptr<Work> shared_work(Place& place);    // windows that several have open at once
std::unique_ptr<Work> ring_work(Place& place);
std::unique_ptr<Work> versioned_work(Place& place);

// Where what lies in the segments of a run, in pages.
inline constexpr std::uint64_t torn_pages = 64;
inline constexpr std::uint64_t restored_pages = 32;
inline constexpr std::uint64_t streams_pages = 64;
inline constexpr std::uint64_t put_page = 24;
inline constexpr std::uint64_t mutex_page = 32;
inline constexpr std::uint64_t guarded_page = 36;
inline constexpr std::uint64_t turn_page = 44;
inline constexpr std::uint64_t shared_page = 48;

}  // namespace hive::chaos

// Mutexes and conditions, and what they guard.

#include <memory>

#include "guard.h"

namespace hive::chaos {
namespace {

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

struct Numbers {  // equal whenever nobody holds the mutex
  std::uint64_t left = 0;
  std::uint64_t right = 0;
};

std::optional<Numbers> read_numbers(Place& place, std::uint64_t offset) {
  auto numbers = place.torn.read_as<Numbers>(offset);
  if (numbers) return *numbers;
  (void)may_be(numbers.error(), {}, "a read of what a mutex guards");
  return std::nullopt;
}

void put_numbers(Place& place, std::uint64_t offset, const Numbers& numbers) {
  if (auto done = place.torn.put_as(offset, numbers); !done) {
    (void)may_be(done.error(), {}, "a put under a mutex");
  }
}

// Two numbers, stored one after the other.
class MutexWork : public Work {
 public:
  explicit MutexWork(Place& place) : place_(place) {
    for (std::size_t i = 0; i < 3; ++i) guards_.emplace_back(place, i);
  }

  bool step() override {
    const std::size_t i = place_.random.below(guards_.size());
    const std::uint64_t offset = (mutex_page + i) * page_size;
    const auto taken = guards_[i].take([&] {
      auto numbers = read_numbers(place_, offset);
      if (!numbers) return;
      numbers->right = numbers->left;
      put_numbers(place_, offset, *numbers);
    });
    if (taken == Guard::Taken::no) return false;
    if (auto numbers = read_numbers(place_, offset)) {
      if (numbers->left != numbers->right) {
        violation("mutex %zu was given for something half done: %llu and %llu", i,
                  static_cast<unsigned long long>(numbers->left),
                  static_cast<unsigned long long>(numbers->right));
      }
      ++numbers->left;
      put_numbers(place_, offset, *numbers);
      ++numbers->right;
      put_numbers(place_, offset, *numbers);
    }
    guards_[i].give();
    return taken == Guard::Taken::after_a_loss;
  }

 private:
  Place& place_;
  std::vector<Guard> guards_;
};

// A mutex guards a window: whoever holds it never finds anybody else's window.
class GuardedWork : public Work {
 public:
  explicit GuardedWork(Place& place) : place_(place), guard_(place, 4) {}

  bool step() override {
    const std::uint64_t offset = guarded_page * page_size;
    const auto mend = [&] {
      if (auto done = place_.torn.reset(offset, bytes); !done) {
        (void)may_be(done.error(), {}, "a reset under a mutex");
      }
    };
    const auto taken = guard_.take(mend);
    if (taken == Guard::Taken::no) return false;
    auto window = place_.torn.write(offset, bytes);
    if (!window) {
      (void)may_be(window.error(), {}, "a window under a mutex");
    } else {
      const std::span words(window->at<std::uint64_t>(0), bytes / 8);
      if (!version_of(words)) violation("a mutex was given for a torn record");
      fill(words, place_.tally.next_version.fetch_add(1) + 1);
      if (auto done = window->commit(); !done) (void)may_be(done.error(), {}, "a commit");
    }
    guard_.give();
    return taken == Guard::Taken::after_a_loss;
  }

 private:
  static constexpr std::uint64_t bytes = 2 * page_size;
  Place& place_;
  Guard guard_;
};

// Turns that are announced through a condition.
class TurnWork : public Work {
 public:
  explicit TurnWork(Place& place) : place_(place), guard_(place, 3) {
    auto opened = Condition::open(place.torn, "turn");
    if (opened) {
      condition_.emplace(std::move(*opened));
    } else {
      (void)may_be(opened.error(), {}, "opening a condition");
    }
  }

  bool step() override {
    if (!condition_) return false;
    const auto taken = guard_.take([&] {
      if (auto turn = read_numbers(place_, offset)) {
        turn->right = turn->left;
        put_numbers(place_, offset, *turn);
      }
    });
    if (taken == Guard::Taken::no) return false;
    if (place_.random.one_in(3)) {
      wait_for_the_next();
    } else {
      announce();
    }
    return taken == Guard::Taken::after_a_loss;
  }

 private:
  static constexpr std::uint64_t offset = turn_page * page_size;

  void announce() {
    auto turn = read_numbers(place_, offset);
    if (turn) {
      ++turn->left;
      put_numbers(place_, offset, *turn);
      turn->right = turn->left;
      put_numbers(place_, offset, *turn);
    }
    guard_.give();
    // One that was woken may be killed before it does anything; the others wait on.
    if (place_.random.one_in(4)) {
      if (auto told = condition_->notify_one(); !told) {
        (void)may_be(told.error(), {}, "a notification");
      }
      return;
    }
    auto told = condition_->notify_all();
    if (!told) {
      (void)may_be(told.error(), {}, "a notification");
    } else if (turn) {
      place_.tally.announced_ns[turn->left % tally_turns].store(now_ns());
    }
  }

  // Few of the waits are long enough to show a wake that was forgotten: many who wait, and nobody
  // works.
  void wait_for_the_next() {
    const auto before = read_numbers(place_, offset);
    if (!before) return guard_.give();
    const bool is_long = place_.random.one_in(8);
    const std::chrono::milliseconds patience(is_long ? 4000 : 1);
    const std::uint64_t start = now_ns();
    bool timed_out = false;
    if (!guard_.wait(*condition_, patience, timed_out)) return;
    const std::uint64_t end = now_ns();
    const std::uint64_t deadline =
        start + static_cast<std::uint64_t>(patience.count()) * 1'000'000;
    const std::uint64_t told = place_.tally.announced_ns[(before->left + 1) % tally_turns].load();
    if (timed_out && told > start && told < deadline) violation("a notification is forgotten");
    if (is_long && end >= deadline && told > start && told < start + 1'000'000'000) {
      violation("a waiter slept for 3 s after it was notified");
    }
    if (const auto after = read_numbers(place_, offset)) {
      if (after->left != after->right)
        violation("a condition gave a mutex for something half done");
      if (after->left < before->left) violation("turns go back");
    }
    guard_.give();
  }

  Place& place_;
  Guard guard_;
  std::optional<Condition> condition_;
};

}  // namespace

std::unique_ptr<Work> mutex_work(Place& place) { return std::make_unique<MutexWork>(place); }
std::unique_ptr<Work> guarded_work(Place& place) { return std::make_unique<GuardedWork>(place); }
std::unique_ptr<Work> turn_work(Place& place) { return std::make_unique<TurnWork>(place); }

}  // namespace hive::chaos

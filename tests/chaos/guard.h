// A mutex of a run, and what is done when its owner has died.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "victim.h"

namespace hive::chaos {

class Guard {
 public:
  // Its number is its place in Tally::holders.
  Guard(Place& place, std::size_t number);

  enum class Taken { no, yes, after_a_loss };

  // Takes it; after a loss mend() puts in order what it guards, alone.
  template <class Mend>
  Taken take(Mend mend) {
    Taken taken = Taken::yes;
    if (!mutex_ || !mending_) return Taken::no;
    for (;;) {  // ends with the first attempt that is not lost, or that is stuck
      auto held = mutex_->lock(stuck_after);
      if (held) break;
      if (!may_be(held.error(), {Code::lost}, "a mutex")) return Taken::no;
      taken = Taken::after_a_loss;
      auto alone = mending_->lock(stuck_after);
      if (!alone) {
        if (!may_be(alone.error(), {Code::lost}, "the mutex of the menders")) return Taken::no;
        reset(*mending_);
        continue;
      }
      if (mutex_->is_broken()) {
        mend();
        reset(*mutex_);
      }
      if (auto done = mending_->unlock(); !done) (void)may_be(done.error(), {}, "an unlock");
    }
    entered();
    return taken;
  }
  void give();

  // Waits on the condition with the mutex held, and says whether it is held afterwards.
  bool wait(Condition& condition, std::chrono::milliseconds timeout, bool& timed_out);

 private:
  std::optional<Mutex> open(const std::string& name);
  void reset(Mutex& mutex);
  void entered();  // nobody who lives is in here with us
  void left() { holder().store(0); }
  Word& holder() { return place_.tally.holders[number_]; }

  Place& place_;
  const std::size_t number_;
  std::optional<Mutex> mutex_;
  std::optional<Mutex> mending_;
};

}  // namespace hive::chaos

#include "campaign/judge/shared.h"

#include "campaign/plan/events.h"

namespace hive::campaign {

std::optional<std::string> Shared::apply(int worker, const Event& event) {
  const std::string& what = event.what;
  if (what == event::publishing) {
    published_[worker] = event.number(0);
    return std::nullopt;
  }
  if (what == event::stream) return "a stream shows a record that is " + event.word(2);
  const HomeKey home{event.integer(0), event.number(1)};
  if (what == event::adding || what == event::locking || what == event::taking) {
    doing_[worker] = {what, home, 0};
  } else if (what == event::added) {
    ++places_[home].added;
    doing_.erase(worker);
  } else if (what == event::locked) {
    Place& place = places_[home];
    doing_[worker] = {what, home, 0};
    const int before = std::exchange(place.holder, worker);
    if (place.must_be_broken) return "a mutex was given to the next although its holder died";
    if (before >= 0) return "a mutex was given to two at once";
  } else if (what == event::unlocking) {
    places_[home].holder = -1;
    doing_[worker] = {what, home, 0};
  } else if (what == event::unlocked) {
    doing_.erase(worker);
  } else if (what == event::broken) {
    Place& place = places_[home];
    doing_.erase(worker);
    place.must_be_broken = false;
    if (!place.may_be_broken) return "a mutex is broken although nobody died near it";
  } else if (what == event::guarded) {
    return "a mutex was given for something half done";
  } else if (what == event::took) {
    Place& place = places_[home];
    const std::uint64_t item = event.number(2);
    doing_[worker] = {what, home, item};
    if (place.retired.contains(item)) return "an item was handed out again after it was done";
    if (!place.taken.emplace(item, worker).second) return "an item was handed out to two";
  } else if (what == event::retired) {
    Place& place = places_[home];
    place.taken.erase(event.number(2));
    place.retired.insert(event.number(2));
    doing_.erase(worker);
  } else if (what == event::error) {
    // A call that was refused may have been served all the same. An error of another one, while it
    // holds a mutex, changes nothing about that.
    const std::string& operation = event.word(0);
    const bool of_pair = operation == "read_pair" || operation == "put_pair";
    if (!of_pair) give_up(worker);
  }
  return std::nullopt;
}

void Shared::worker_ended(int worker) {
  give_up(worker);
  // One that it could not give back when it should have, and has kept since.
  for (auto& [home, place] : places_) {
    if (place.holder != worker) continue;
    place.may_be_broken = place.must_be_broken = true;
    place.holder = -1;
  }
}

void Shared::give_up(int worker) {
  const auto found = doing_.find(worker);
  if (found == doing_.end()) return;
  const Doing doing = found->second;
  doing_.erase(found);
  Place& place = places_[doing.home];
  if (doing.what == event::adding) {
    ++place.added_perhaps;
  } else if (doing.what == event::took) {
    place.taken.erase(doing.item);
    ++place.retired_perhaps;
  } else if (doing.what == event::locking || doing.what == event::locked ||
             doing.what == event::unlocking) {
    place.may_be_broken = true;
    if (doing.what == event::locked) place.must_be_broken = true;
    if (place.holder == worker) place.holder = -1;
  }
}

void Shared::home_died(const HomeKey& home) {
  places_.erase(home);
  std::erase_if(doing_, [&](const auto& entry) { return entry.second.home == home; });
}

std::optional<std::string> Shared::audit(const Event& event,
                                         const std::set<int>& ended_workers) const {
  const HomeKey home{event.integer(1), event.number(2)};
  const std::string& seen = event.word(3);
  if (event.what == event::value) {
    const auto published = published_.find(home.home);
    const bool ended = ended_workers.contains(home.home);
    if (ended && seen != "!lost") return "the stream of a dead writer is not lost: " + seen;
    if (ended) return std::nullopt;
    if (seen[0] == '!') return "the stream of a writer that lives can not be read: " + seen;
    if (published != published_.end() && event.number(3) != published->second) {
      return "a stream shows " + seen + ", not the last that was published, " +
             std::to_string(published->second);
    }
    return std::nullopt;
  }
  const auto found = places_.find(home);
  const Place place = found == places_.end() ? Place{} : found->second;
  if (!seen.empty() && seen[0] == '!') {
    return "what is shared on a cell that lives can not be read: " + seen.substr(1);
  }
  if (event.what == event::count) {
    const std::uint64_t count = event.number(3);
    if (count < place.added || count > place.added + place.added_perhaps) {
      return "a counter is " + seen + ", not " + std::to_string(place.added) + " to " +
             std::to_string(place.added + place.added_perhaps);
    }
  } else if (event.what == event::queue) {
    const std::uint64_t done = event.number(3);
    const std::uint64_t least = place.retired.size();
    if (done < least || done > least + place.retired_perhaps) {
      return "a queue has " + seen + " items done, not " + std::to_string(least);
    }
    if (event.number(4) != 0) return "items of a queue are leased to nobody who lives";
  }
  return std::nullopt;
}

}  // namespace hive::campaign

// What the workers share, by their logs: counters, mutexes, queues, streams.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "campaign/judge/pages.h"

namespace hive::campaign {

class Shared {
 public:
  // One line of the log of the worker of that cell; all logs in the order of time. Returns what is
  // wrong with it.
  std::optional<std::string> apply(int worker, const Event& event);
  // The worker has ended; before the lines of the others that came after its last one.
  void worker_ended(int worker);
  void home_died(const HomeKey& home);

  // Lines of an audit, while nobody works.
  std::optional<std::string> audit(const Event& event, const std::set<int>& ended_workers) const;

 private:
  // What the worker was at may have been done, and may not.
  void give_up(int worker);

  struct Place {
    std::uint64_t added = 0;
    std::uint64_t added_perhaps = 0;
    int holder = -1;                     // of the mutex
    bool may_be_broken = false;          // somebody died near it
    bool must_be_broken = false;         // somebody died with it
    std::map<std::uint64_t, int> taken;  // items and who has them
    std::set<std::uint64_t> retired;
    std::uint64_t retired_perhaps = 0;
  };
  struct Doing {  // what a worker was at
    std::string what;
    HomeKey home;
    std::uint64_t item = 0;
  };
  std::map<HomeKey, Place> places_;
  std::map<int, Doing> doing_;
  std::map<int, std::uint64_t> published_;
};

}  // namespace hive::campaign

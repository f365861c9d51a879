// The calls on page tables that are under way, so that nobody gives pages new memory while an
// older call could still install them for somebody who must not see them. Under the home's mutex.
#pragma once

#include <cstdint>
#include <vector>

#include "cell/home/types.h"

namespace hive::cell {

class PageCalls {
 public:
  using Ticket = std::uint64_t;

  // `client` 0: a call on the memory itself (take back, refill).
  // `store`: it changes what the pages hold.
  Ticket begin(ClientId client, machine::PageRange range, bool store = false) {
    calls_.push_back({++last_, client, range, store});
    return last_;
  }
  void end(Ticket ticket) {
    std::erase_if(calls_, [ticket](const Call& call) { return call.ticket == ticket; });
  }
  bool any_on(machine::PageRange range) const {
    for (const Call& call : calls_) {
      if (call.range.overlaps(range)) return true;
    }
    return false;
  }
  bool any_store_on(machine::PageRange range) const {
    for (const Call& call : calls_) {
      if (call.store && call.range.overlaps(range)) return true;
    }
    return false;
  }
  bool any_of(ClientId client, machine::PageRange range) const {
    for (const Call& call : calls_) {
      if (call.client == client && call.range.overlaps(range)) return true;
    }
    return false;
  }

 private:
  struct Call {
    Ticket ticket;
    ClientId client;
    machine::PageRange range;
    bool store;
  };
  std::vector<Call> calls_;  // as many as threads are in the home: a handful
  Ticket last_ = 0;
};

}  // namespace hive::cell

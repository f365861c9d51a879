// What a component has open of one home: its segments and what is shared in them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <hive/hive.h>

#include "campaign/load/event_log.h"
#include "campaign/plan/content.h"
#include "campaign/plan/plan.h"

namespace hive::campaign {

struct Home {
  int cell = 0;
  std::uint64_t incarnation = 0;  // that the segments belong to; 0: none are open
  bool usable = false;            // false once the home was seen down
  std::array<std::optional<Segment>, segment_kinds> segments;
  std::optional<Counter> counter;
  std::optional<Mutex> mutex;
  std::optional<WorkQueue> queue;
  std::optional<Versioned<StreamRecord>::Reader> value;
  std::optional<RingReader<StreamRecord>> ring;

  Segment& of(SegmentKind kind) { return *segments[static_cast<std::size_t>(kind)]; }
  Segment& sync() { return of(SegmentKind::sync); }
};

// Opens the segments of that incarnation, or makes them where `make` is set and they are not
// there; with `shared` the counter, mutex and queue too. Waits for a name that is not there yet.
Result<void> open_home(Session& session, const Plan& plan, Home& home, std::uint64_t incarnation,
                       bool make, bool shared);
// Opens the streams of the home's worker, which may have begun anew.
void open_streams(Home& home);

}  // namespace hive::campaign

// What a home is made of, and the rules that it goes by.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/time.h"
#include "cell/frames/loans.h"
#include "cell/heap/tagged_heap.h"
#include "cell/home/page_tables.h"
#include "cell/home/types.h"
#include "machine/layout.h"
#include "machine/sabotage.h"

namespace hive::cell {

class AwayPages;

struct HomeParts {
  CellId self = 0;
  machine::Layout layout{};
  TaggedHeap* heap = nullptr;     // outlives the home
  FrameMemory* memory = nullptr;  // outlives the home
  LogLine log;
  TornNews torn_news{};
  LostPages lost_pages{};
  std::uint64_t (*now)() = [] { return now_ns(); };
  LoanRules loans{};
  machine::Sabotage sabotage{};
};

}  // namespace hive::cell

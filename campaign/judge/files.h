// What the filers have stored, synced and named, by their logs: and what may be there after a
// fault.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "campaign/judge/evidence.h"
#include "campaign/plan/files.h"

namespace hive::campaign {

class Files {
 public:
  // One line of the log of the filer of that cell, in its order.
  void apply(int writer, const Event& event);
  // Lines of an audit, while nobody works: what was cached on `lost_homes` may be gone, and what
  // `ended_writers` had mapped. Returns what is wrong.
  std::optional<std::string> observe_page(const Event& event, const std::set<int>& lost_homes,
                                          const std::set<int>& ended_writers);
  std::optional<std::string> observe_names(const Event& event);
  // All observers have spoken: what they saw is what there is now; on `dead_homes` on the disk.
  void settle(const std::set<int>& dead_homes);

 private:
  struct Page {
    // What may be there if its home dies: that of the last sync first, the newest last.
    std::vector<std::uint32_t> versions{0};
    std::size_t sure = 0;      // the newest that was acknowledged: none older is seen any more
    std::size_t at_sync = 0;   // the newest that was acknowledged when a sync began
    std::optional<std::pair<std::uint32_t, std::uint32_t>> seen;  // in this audit
    bool may_be_lost = false;  // with its home or writer: the bytes may be of any of them
  };
  struct Names {
    std::uint32_t there = 0;   // a bit each
    std::uint32_t unsure = 0;  // either
    std::uint32_t unsure_before = 0;  // the change that is under way
    std::optional<std::uint32_t> seen[name_directories];
  };
  std::map<FilePlace, Page> pages_;
  std::map<int, Names> names_;
};

}  // namespace hive::campaign

// What every page of every area must hold, by the logs of those who write: the judge's own memory
// of the machine's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "campaign/judge/evidence.h"
#include "campaign/plan/content.h"

namespace hive::campaign {

// A segment's memory in one incarnation of its home.
struct HomeKey {
  int home = 0;
  std::uint64_t incarnation = 0;
  auto operator<=>(const HomeKey&) const = default;
};

class Pages {
 public:
  explicit Pages(const Plan& plan) : plan_(plan) {}

  // A line of the log of the writer of that area.
  void apply(int writer, const Event& event);
  // The writer has ended, with what it had open.
  void writer_ended(int writer);
  void home_died(const HomeKey& home);

  // Somebody who is alive has looked: `seen` is a hash, or "!" and the code of an error. Returns
  // what is wrong with that, or nothing; then all others must see the same.
  std::optional<std::string> observe(const HomeKey& home, const PageName& name,
                                     const std::string& seen);
  // What writers have lost and not begun anew: everybody who reads it may be told so.
  std::set<std::pair<HomeKey, int>> lost_areas() const;
  // Pages of plain segments of this home that are torn, as far as that is known.
  std::uint64_t torn(const HomeKey& home) const;

 private:
  struct Key {
    HomeKey home;
    PageName name;
    auto operator<=>(const Key&) const = default;
  };
  struct State {
    std::set<std::uint64_t> rounds = {0};  // any of these contents is right
    bool lost = false;                     // and so is `lost`
    std::uint64_t open_round = 0;          // what was being stored when the writer ended
  };
  enum class Stage { opening, opened, committing };
  struct Window {
    HomeKey home;
    int kind = 0;
    int page = 0;
    int pages = 0;
    std::uint64_t round = 0;
    Stage stage = Stage::opening;
  };
  void reset_area(int writer, const HomeKey& home, int kind, bool done);
  State& at(const HomeKey& home, const PageName& name) { return states_[{home, name}]; }

  const Plan& plan_;
  std::map<Key, State> states_;
  std::map<int, Window> windows_;  // of each writer: it has one at a time
};

}  // namespace hive::campaign

// The components of one run, one in each cell, and what becomes of them.
//
// They meet on a small control segment whose home is the leader's cell. Everything on it
// (barriers, counters) is kept by that home, so a component that dies cannot spoil it, and when
// the home dies, every call says so at once. The rules of the run are:
//
//   - the leader's cell fails: nothing is left to work on; the others end with exit_lost;
//   - another cell fails: the others end with exit_lost, or, with --survive, do its tiles again;
//   - a cell that has no part in the run fails: nobody minds.
//
// Used by one thread.
#pragma once

#include <hive/hive.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/options.h"

namespace raytrace {

// Why this component stops early. An empty line: another component has said it already.
struct Ended {
  int status = exit_lost;
  std::string line;
};
template <class T>
using Step = tl::expected<T, Ended>;
using Stop = tl::unexpected<Ended>;

// Every wait of the run has one of these bounds.
inline constexpr std::chrono::seconds meet_wait{60};    // for the others to have started
inline constexpr std::chrono::seconds load_wait{600};   // for the leader to have read the scene
inline constexpr std::chrono::seconds finish_wait{60};  // for the others, after the last tile
inline constexpr std::chrono::milliseconds poll_wait{5};

class Crew {
 public:
  // Meets the others: the leader makes the control segment, the others wait for it.
  static Step<Crew> meet(hive::Session& session, bool survive);

  bool leads() const { return session_->span_index() == 0; }
  int size() const { return session_->span_count(); }
  hive::Session& session() const { return *session_; }
  const hive::Segment& control() const { return control_; }

  // The leader, once the scene is there for all to open (or, not `good`, once it is known that
  // there will be none), and the others, who wait for that. False: there is no scene.
  Step<void> announce(bool good);
  Step<bool> await_scene();

  // Looks whether a cell of the run was lost; cheap as long as none was.
  Step<void> check();

  // After the last tile: waits for the others, so that a component that was lost unnoticed shows.
  Step<void> finish();

  // Turns an error that the run cannot go on with into the line to end with.
  Stop stop(const hive::Error& error, const char* doing) const;

 private:
  Crew(hive::Session& session, bool survive, hive::Segment control, hive::Barrier started,
       hive::Barrier finished, hive::Counter ready, hive::Counter mark);

  Step<std::vector<std::uint64_t>> marks() const;
  Stop lost(int cell) const;

  hive::Session* session_;
  bool survive_;
  hive::Segment control_;
  hive::Barrier started_, finished_;
  hive::Counter ready_;  // 0: not yet, 1: the scene is there, 2: there will be none
  hive::Counter mark_;   // of this component: its cell plus one, and mark_finished at the end
  std::uint64_t epoch_;
  std::vector<hive::CellView> cells_;  // as they were at epoch_
};

}  // namespace raytrace

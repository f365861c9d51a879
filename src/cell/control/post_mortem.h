// What this cell knows of the death of another, in a file that outlives the machine: what it saw,
// the votes, the phases with their times, the last words of the dead, and what was lost, whose.
//
// Each survivor writes an account of its own into the state directory, postmortem/; `hive
// postmortem` puts those of one death together. So no cell asks another for anything, and one that
// dies meanwhile takes only its own account along.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "cell/boot/config.h"
#include "cell/control/survey.h"
#include "cell/home/types.h"
#include "cell/member/membership.h"

namespace hive::cell {

inline constexpr std::size_t accounts_max = 64;  // of each cell: the oldest go

class PostMortem {
 public:
  PostMortem(const Config& config, Survey& survey) : config_(config), survey_(survey) {}

  // What this home lost with the cell. Reads its last words too, before its next incarnation
  // writes others. May be told again of the same death: it adds up.
  void note(CellId dead, HomeLoss loss);
  // Writes the account of one loss, but none of a cell that ended with the whole machine, in good
  // order. Reads and writes files, so not on the detector's thread. The first of the survivors
  // reads what the memory of the dead still shows: call it before that memory is given back.
  // Errors: host.
  Result<void> write(const Membership::Loss& loss, CellSet survivors);

 private:
  struct Noted {
    HomeLoss home;
    std::string last_words;
    bool ended_as_ordered = false;
  };
  Noted take(CellId dead);
  void remove_oldest(const std::string& directory) const;

  const Config& config_;
  Survey& survey_;
  std::mutex mutex_;
  std::map<CellId, Noted> noted_;  // guarded by mutex_
};

}  // namespace hive::cell

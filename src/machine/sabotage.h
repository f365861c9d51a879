// Defences that a test turns off in a real machine, to see that its judge notices: boot options,
// of test machines only, in the boot record and in `hive status` for everybody to see. The value
// is handed down from the boot record to each place that minds it.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace hive::machine {

struct Sabotage {
  bool firewall = false;    // pages that are given take stores, and committed ones stay open
  bool discard = false;     // what the dead had open is neither torn nor rolled back nor dropped
  bool careful = false;     // remote reads check nothing, and a bus error in one is fatal
  bool fence = false;       // a cell that was voted out is believed dead, and not switched off
  bool barrier = false;     // nobody waits for the others in a recovery
  bool probe = false;       // whose clock is late is guilty, whatever it waits for
  bool takeover = false;    // no new monitor is started when the monitor has died
  bool ties = false;        // tasks and kernel do not end with the power process
  bool sequence = false;    // readers in place do not look at the number of the frame
  bool write_back = false;  // dirty pages of files leave as if they were clean
  bool sync = false;        // fsync answers before anything is on the disk
  bool generation = false;  // content is lost without a new generation of its file
  bool close = false;       // pages of files stay open to tasks when they should be closed
  bool punch = false;       // frames go to other pages of files while they are mapped

  struct Defence {
    const char* name;
    bool Sabotage::*off;
  };
  static constexpr std::array<Defence, 14> defences() {
    return {{{"firewall", &Sabotage::firewall},
             {"discard", &Sabotage::discard},
             {"careful", &Sabotage::careful},
             {"fence", &Sabotage::fence},
             {"barrier", &Sabotage::barrier},
             {"probe", &Sabotage::probe},
             {"takeover", &Sabotage::takeover},
             {"ties", &Sabotage::ties},
             {"sequence", &Sabotage::sequence},
             {"write-back", &Sabotage::write_back},
             {"sync", &Sabotage::sync},
             {"generation", &Sabotage::generation},
             {"close", &Sabotage::close},
             {"punch", &Sabotage::punch}}};
  }

  // Turns the defence of this name off. False: there is none.
  bool add(std::string_view name) {
    for (const Defence& defence : defences()) {
      if (name == defence.name) return this->*defence.off = true;
    }
    return false;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Defence& defence : defences()) {
      if (this->*defence.off) names.emplace_back(defence.name);
    }
    return names;
  }
};

}  // namespace hive::machine

// The live set: which cells this cell takes part with, under an epoch number.
//
// This is the small first form of failure handling, behind the interface that agreement and
// recovery will keep: a cell that dies is noticed through its lifeline (or because its memory
// gives bus errors, or its power process is dead), powered off, and marked down here. Death needs
// no vote. The epoch is one more than the number of cells that were lost, so that cells that saw
// the same deaths are in the same epoch.
//
// Order in mark_down(), which later code relies on:
//   1. the node is powered off and known dead: nothing on it stores any more
//   2. the participants give up what it held here (windows torn, calls failed, items returned)
//   3. the new live set and epoch are published, and everybody who waits is woken
// A task that learns of the new epoch therefore sees the pages of the dead already gone.
#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "machine/hardware.h"
#include "machine/node_header.h"

namespace hive::cell {

class Membership {
 public:
  // Called on the detector's thread for each cell that is lost. Must not block for long.
  using Participant = std::function<void(CellId lost, const std::string& cause)>;

  struct Loss {
    CellId cell;
    std::string cause;
    std::uint64_t noticed_ns;  // monotonic
    std::uint64_t done_ns;
  };

  Membership(const machine::Layout& layout, CellId self, machine::Hardware& hardware);
  ~Membership();
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

  // Before start(): what to call, in this order.
  void add_participant(Participant participant);
  // Before start(): what to call, on the detector's thread, once a new live set is published.
  using Observer = std::function<void(const Loss& loss, std::uint64_t epoch)>;
  void set_observer(Observer observer) { observer_ = std::move(observer); }
  // Takes a cell whose memory is mapped here into the live set.
  void add(CellId cell);
  // The same at any time later, for a cell that has come back, and publishes it.
  void rejoin(CellId cell);
  // Before start(), for a cell that comes back: the epoch of the others.
  void set_epoch(std::uint64_t epoch);
  // Publishes the live set and starts watching.
  void start();
  void stop();

  CellSet live() const;
  std::uint64_t epoch() const;
  std::vector<Loss> losses() const;

 private:
  void watch(const std::stop_token& stop);
  std::string reason_to_drop(CellId cell);
  void mark_down(CellId cell, const std::string& cause);
  void publish();

  const machine::Layout layout_;
  const CellId self_;
  machine::Hardware& hardware_;
  machine::NodeHeader* const own_;
  std::vector<Participant> participants_;
  Observer observer_;

  mutable std::mutex mutex_;
  CellSet live_;              // guarded by mutex_
  std::uint64_t epoch_ = 1;   // guarded by mutex_
  std::vector<Loss> losses_;  // guarded by mutex_
  std::jthread watcher_;
};

}  // namespace hive::cell

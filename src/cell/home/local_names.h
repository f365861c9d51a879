// This cell's side of making a name unique in the whole machine.
//
// The cell that is to be the home of a new segment first begins the name here, then asks every
// other live cell to reserve it, confirms, makes the segment, and finishes; the others are told to
// release.
//   begin -> ask all others: reserve -> confirm -> create -> finish, and release at the others
// Two cells that begin the same name at once ask each other: the one with the lower number is
// granted and the other yields, whatever the order in which the questions arrive anywhere else. A
// name that was granted before its own cell began is refused there at once.
//
// What a cell that died had reserved goes with forget_cell(); a reservation that nobody releases
// ends after reservation_life_ns. Any thread; never blocks for long. Lock order: mutex_, then the
// home's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include <hive/error.h>
#include "base/ids.h"

namespace hive::cell {

inline constexpr std::uint64_t reservation_life_ns = 10'000'000'000;
inline constexpr std::size_t reservations_max = 4096;

class LocalNames {
 public:
  // `exists`: whether this cell is the home of a segment of that name.
  LocalNames(CellId self, std::function<bool(std::string_view)> exists)
      : self_(self), exists_(std::move(exists)) {}

  // This cell wants to be the home. Errors: exists (also when somebody else is
  // creating it: the cause tells), exhausted.
  Result<void> begin(std::string_view name, std::uint64_t now_ns);
  // All others have granted it. Errors: exists (it yielded to a cell with a lower number).
  // From here to finish() nobody is granted the name.
  Result<void> confirm(std::string_view name);
  // The segment exists now, or the creation was given up.
  void finish(std::string_view name);

  // Another cell wants to be the home. Errors: exists, exhausted.
  Result<void> reserve(std::string_view name, CellId by, std::uint64_t now_ns);
  void release(std::string_view name, CellId by);
  void forget_cell(CellId cell);

  std::size_t size() const;

 private:
  struct Claim {
    CellId by = -1;
    bool yielded = false;    // own claims only
    bool confirmed = false;  // own claims only
    std::uint64_t until_ns = 0;
  };
  Claim* claim_locked(std::string_view name, std::uint64_t now_ns);
  Result<void> put_locked(std::string_view name, CellId by, std::uint64_t now_ns);

  const CellId self_;
  const std::function<bool(std::string_view)> exists_;
  mutable std::mutex mutex_;
  std::map<std::string, Claim, std::less<>> claims_;  // guarded by mutex_
};

}  // namespace hive::cell

// Named places in a kernel where it dies when it has been told to (`hive fault kill-at`), by a
// real SIGKILL of its own process: in the middle of what it does, with its locks held and its
// tables half changed, which no signal from outside would hit so surely.
//
//   fault_point(FaultPoint::window_commit);   // costs a load and a branch while nothing is armed
//
// One point is armed at a time in a process. Those of a cell that comes back are armed in its next
// incarnation, by a file that it finds when it starts (proto::fault_point_file).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hive::machine {

enum class FaultPoint : std::uint32_t {
  none,
  rpc_serve,
  firewall_open,
  firewall_close,
  window_commit,
  task_start,
  alert,
  vote,
  vote_shown,
  power_off,
  decide,
  recovery_begin,
  recovery_closed,
  recovery_discard,
  recovery_discarded,
  recovery_settled,
  join_memory_test,
  join_attach,
  join_announce,
  join_taken,
  join_admit,
  file_step,
  write_back,
  reclaim,
  file_sync,
  file_open,
  file_close,
  rename_named,
  flush,
  frame_loan,
  frame_borrow,
  frame_return,
  frame_take,
};

struct FaultPointInfo {
  FaultPoint point;
  const char* name;
  const char* where;
  bool in_next_life = false;  // of a cell that comes back: armed in its next incarnation
};

inline constexpr std::array<FaultPointInfo, 32> fault_points{{
    {FaultPoint::rpc_serve, "rpc-serve", "it has served a call, and has not answered it"},
    {FaultPoint::firewall_open, "firewall-open", "pages are given, and not all of them open yet"},
    {FaultPoint::firewall_close, "firewall-close", "it is about to close pages that it has open"},
    {FaultPoint::window_commit, "window-commit", "a window is closed, and the task not told yet"},
    {FaultPoint::task_start, "task-start", "the starter is asked for a task, nobody is told yet"},
    {FaultPoint::alert, "alert", "it has shown an accusation, or a death that it saw"},
    {FaultPoint::vote, "vote", "it has an opinion on a ballot, and is about to show it"},
    {FaultPoint::vote_shown, "vote-shown", "it has shown its opinion on a ballot"},
    {FaultPoint::power_off, "power-off", "it is about to switch off a cell, voted out or dead"},
    {FaultPoint::decide, "decide", "it holds the fence lock, and has not decided yet"},
    {FaultPoint::recovery_begin, "recovery-begin", "it knows of a death, nothing is closed yet"},
    {FaultPoint::recovery_closed, "recovery-closed", "it has come to barrier 1"},
    {FaultPoint::recovery_discard, "recovery-discard", "pages are taken back, tables not settled"},
    {FaultPoint::recovery_discarded, "recovery-discarded", "it has come to barrier 2"},
    {FaultPoint::recovery_settled, "recovery-settled", "it has settled a new live set"},
    {FaultPoint::join_memory_test, "join-memory-test", "coming back: it tests its memory", true},
    {FaultPoint::join_attach, "join-attach", "coming back: it is attached to one cell", true},
    {FaultPoint::join_announce, "join-announce", "coming back: it waits to be taken in", true},
    {FaultPoint::join_taken, "join-taken", "coming back: it has read that it was taken in", true},
    {FaultPoint::join_admit, "join-admit", "the recovery master: it has taken a cell in"},
    {FaultPoint::file_step, "file-step", "a change of files or names is about to take a step"},
    {FaultPoint::write_back, "write-back", "pages of a file are on its disk, not known clean yet"},
    {FaultPoint::reclaim, "reclaim", "frames have lost their pages, and have no others yet"},
    {FaultPoint::file_sync, "file-sync", "fsync: pages are written, the disk is not synced yet"},
    {FaultPoint::file_open, "file-open", "it has opened a file, and has not answered"},
    {FaultPoint::file_close, "file-close", "it has closed a file, and has not answered"},
    {FaultPoint::rename_named, "rename-named", "a name on its way is on both homes"},
    {FaultPoint::flush, "flush", "it ends: files are to be flushed, and are not yet"},
    {FaultPoint::frame_loan, "frame-loan", "it has lent frames, and the borrower is not told yet"},
    {FaultPoint::frame_borrow, "frame-borrow", "it is told what it has borrowed, uses none of it"},
    {FaultPoint::frame_return, "frame-return", "frames that it had lent are back, and renewed"},
    {FaultPoint::frame_take, "frame-take", "it is about to take what nobody gave back"},
}};

inline std::optional<FaultPointInfo> find_fault_point(std::string_view name) {
  for (const FaultPointInfo& info : fault_points) {
    if (name == info.name) return info;
  }
  return std::nullopt;
}

namespace detail {
inline std::atomic<FaultPoint> armed_point{FaultPoint::none};
void at_armed_point();  // dies, or counts down
}  // namespace detail

inline void fault_point(FaultPoint here) {
  if (detail::armed_point.load(std::memory_order_relaxed) == here) [[unlikely]] {
    detail::at_armed_point();
  }
}

// The (skip + 1)-th time that the point is passed from here on is the last. Takes the place of
// what was armed before; `none` disarms. Any thread.
void arm_fault_point(FaultPoint point, std::uint32_t skip);

}  // namespace hive::machine

// The catalogue of causes that travel from a cell to a task: an index on the wire, words on both
// sides. Add a line at the end, never reorder. Causes that make a caller act differently are
// codes, not lines.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hive::proto {

// The words, by name, for whoever makes an error.
namespace cause {
inline constexpr const char* none = "no cause was given";
inline constexpr const char* outside_segment = "the range lies outside the segment";
inline constexpr const char* segment_not_open = "the segment is not open in this task";
inline constexpr const char* window_not_open = "the window is not open in this task";
inline constexpr const char* window_held = "another task has a window on these pages";
inline constexpr const char* torn =
    "the range is torn: its writer died before it committed; reset it to use it again";
inline constexpr const char* store_without_window = "a store without a write window";
inline constexpr const char* no_segment_here = "no segment is at this address";
inline constexpr const char* no_such_name = "there is no segment of this name";
inline constexpr const char* name_taken = "a segment of this name exists already";
inline constexpr const char* bad_name = "a name has 1 to 63 printable characters and no '/'";
inline constexpr const char* bad_size = "a size must be more than zero and fit into the node";
inline constexpr const char* no_room = "the node has no room for a segment of this size";
inline constexpr const char* segment_limit = "the cell has reached its limit of segments";
inline constexpr const char* window_limit = "the task has reached its limit of open windows";
inline constexpr const char* task_limit = "the cell has reached its limit of tasks";
inline constexpr const char* no_such_object = "there is no object of this number in the segment";
inline constexpr const char* object_differs = "the object exists with other parameters";
inline constexpr const char* barrier_broken =
    "the barrier is broken: a party died or timed out; reset it to use it again";
inline constexpr const char* barrier_in_use = "tasks wait in the barrier";
inline constexpr const char* not_leased = "the item is not leased to this task";
inline constexpr const char* wait_too_long = "the wait took longer than asked for";
inline constexpr const char* unknown_operation = "the cell does not know this operation";
inline constexpr const char* senseless_request = "the request makes no sense";
inline constexpr const char* window_open_there = "a window is open on these pages";
inline constexpr const char* home_failed = "the home of the segment has failed";
inline constexpr const char* object_limit = "the cell has reached its limit of shared objects";
inline constexpr const char* too_many_waiting = "the cell has too many requests waiting";
inline constexpr const char* host_out_of_memory = "the host has no memory left for these pages";
inline constexpr const char* name_being_created = "the name is being created by another task";
inline constexpr const char* lease_limit = "the task has reached its limit of leased items";
inline constexpr const char* not_a_task = "the process is not a task of this cell any more";
inline constexpr const char* cell_window_limit = "the cell has reached its limit of open windows";
inline constexpr const char* pages_in_use = "a call that is under way still uses these pages";
inline constexpr const char* host_refused = "Linux refused to change the pages of the task";
inline constexpr const char* process_gone = "the process has ended";
inline constexpr const char* object_name = "an object's name has 1 to 31 printable characters";
inline constexpr const char* open_limit = "the task has opened this segment too many times";
inline constexpr const char* being_restored = "its last committed content is being put back";
inline constexpr const char* rollback_shared =
    "a segment that is rolled back on loss has exclusive windows only";
inline constexpr const char* rollback_limit =
    "the cell has no room to keep what the pages hold now";
inline constexpr const char* lock_broken =
    "a task died while it held the mutex; what it guards may be half done: mend it, then reset";
inline constexpr const char* cell_silent = "a cell that has to be asked did not answer in time";
inline constexpr const char* not_held = "the mutex is not held by this task";
inline constexpr const char* file_refused = "the file system";
inline constexpr const char* file_disk_differs =
    "the disk was written by a machine of another number of cells";
inline constexpr const char* file_lost =
    "content that was not yet on the disk was lost after the file was opened; open it again";
inline constexpr const char* no_memory = "the cell has no memory left for this page";
inline constexpr const char* no_view = "nothing is mapped there in this task";
inline constexpr const char* view_limit = "the task has reached its limit of mappings";
inline constexpr const char* away_lost =
    "the page lay in memory that was borrowed of another cell, and is lost with it";
}  // namespace cause

inline constexpr std::array causes = {
    cause::none,
    cause::outside_segment,
    cause::segment_not_open,
    cause::window_not_open,
    cause::window_held,
    cause::torn,
    cause::store_without_window,
    cause::no_segment_here,
    cause::no_such_name,
    cause::name_taken,
    cause::bad_name,
    cause::bad_size,
    cause::no_room,
    cause::segment_limit,
    cause::window_limit,
    cause::task_limit,
    cause::no_such_object,
    cause::object_differs,
    cause::barrier_broken,
    cause::barrier_in_use,
    cause::not_leased,
    cause::wait_too_long,
    cause::unknown_operation,
    cause::senseless_request,
    cause::window_open_there,
    cause::home_failed,
    cause::object_limit,
    cause::too_many_waiting,
    cause::host_out_of_memory,
    cause::name_being_created,
    cause::lease_limit,
    cause::not_a_task,
    cause::cell_window_limit,
    cause::pages_in_use,
    cause::host_refused,
    cause::process_gone,
    cause::object_name,
    cause::open_limit,
    cause::being_restored,
    cause::rollback_shared,
    cause::rollback_limit,
    cause::lock_broken,
    cause::not_held,
    cause::cell_silent,
    cause::file_refused,
    cause::file_disk_differs,
    cause::file_lost,
    cause::no_memory,
    cause::no_view,
    cause::view_limit,
    cause::away_lost,
};

inline std::uint16_t cause_index(std::string_view text) {
  for (std::size_t i = 1; i < causes.size(); ++i) {
    if (text == causes[i]) return static_cast<std::uint16_t>(i);
  }
  return 0;
}
inline const char* cause_text(std::uint16_t index) {
  return index < causes.size() ? causes[index] : causes[0];
}

}  // namespace hive::proto

// What libhive itself says in errors, and words of a cell made to last.
#pragma once

#include <string_view>

#include <hive/error.h>

namespace hive::lib {

inline constexpr const char* cause_detached = "this process is not attached to a cell any more";
inline constexpr const char* cause_forked =
    "this process is a fork of a task and has no part in its session; attach() makes it a task";
inline constexpr const char* cause_no_answer = "the cell did not answer in time";
inline constexpr const char* cause_cell_failed = "the cell has failed";
inline constexpr const char* cause_home_failed = "the home of the segment has failed";
inline constexpr const char* cause_memory_failed = "the memory of the cell has failed";
inline constexpr const char* cause_bad_reply = "the cell's reply makes no sense";
inline constexpr char cause_source[] = "the bytes of a call cannot be read just now";
inline constexpr const char* cause_slots = "every call slot of this task with the cell is in use";

// A string with static lifetime that says the same: a known cause, or a copy that is kept for
// ever. At most 64 different ones are kept; later ones become "the cell gave a reason that ...".
// Takes a lock and memory: not for signal handlers.
const char* lasting_cause(std::string_view text);

// Whether a number from a cell is a hive::Code.
constexpr bool is_code(std::uint32_t code) {
  return code <= static_cast<std::uint32_t>(Code::host);
}

}  // namespace hive::lib

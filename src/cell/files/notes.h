// Short texts under names in a directory of the host, each one a symbolic link: made, replaced and
// removed atomically by Linux, and readable with `ls -l`.
//
// Any thread; changes of one note are the caller's to order. All changes pass file_step() first.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"
#include "cell/files/types.h"
#include "machine/fault_point.h"

namespace hive::cell {

// Before each change of a disk: where a kernel dies that is told to.
inline void file_step() { machine::fault_point(machine::FaultPoint::file_step); }

inline constexpr std::size_t note_bytes_max = 4095;

// A directory of the host, made where there is none. Errors: of Linux.
Result<UniqueFd> open_host_folder(int parent, const char* name);
// The text of a symbolic link of the host. Errors: not_found with ENOENT; bad_argument with EINVAL
// (something else is there); host.
Result<std::string> read_host_link(int directory, const std::string& name);
// All names in a directory of the host but . and .., in no order. Errors: of Linux.
Result<std::vector<std::string>> names_in(int directory, const std::string& name);

class Notes {
 public:
  // Makes the directory where there is none, and removes what a change that was cut off has left.
  // Errors: of Linux.
  static Result<Notes> open(int parent, const char* name);

  Result<std::string> read(const std::string& name) const {
    return read_host_link(directory_.get(), name);
  }
  // Makes or replaces. Errors: of Linux (ENOSPC, EIO).
  Result<void> write(const std::string& name, const std::string& text);
  // One that is not there is fine.
  Result<void> erase(const std::string& name);
  // What was written so far is on stable storage when it succeeds.
  Result<void> sync() const;
  Result<std::vector<std::string>> names() const { return names_in(directory_.get(), "."); }

  // A name for something that is to be moved elsewhere in one step; gone at the next open().
  std::string scratch() const;
  int directory() const { return directory_.get(); }

 private:
  explicit Notes(UniqueFd directory) : directory_(std::move(directory)) {}
  UniqueFd directory_;
};

}  // namespace hive::cell

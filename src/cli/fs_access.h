// hive fs as a task of the machine: attached, and with its complaints in one line each.
#pragma once

#include <memory>
#include <string>

#include <hive/file.h>
#include <hive/session.h>

#include "cli/ask.h"

namespace hive::cli {

// The options that all of `hive fs` have.
struct FsPlace {
  std::string name;
  std::string cell;  // empty: the lowest that is up
};

struct FsAccess {
  Session session;
  FileSystem files;
  int cells = 0;
};

// Errors: exit_usage, exit_not_running, exit_failed.
Outcome<FsAccess> attach_fs(const FsPlace& place);

// What went wrong, in the words of the system: "PATH: No such file or directory".
Refusal fs_refusal(const std::string& path, const Error& error);

// A path with a name behind it.
std::string below(const std::string& path, const std::string& name);
// The last name in a path; empty for the root.
std::string last_name(const std::string& path);

// "drwxr-xr-x", "2026-01-31 12:00:00".
std::string mode_text(FileKind kind, mode_t mode);
std::string time_text(std::int64_t ns);
const char* kind_text(FileKind kind);

}  // namespace hive::cli

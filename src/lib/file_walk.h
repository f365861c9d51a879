// From a path to what it names: one lookup for each component, at the home of the directory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hive/error.h>
#include "lib/file_calls.h"

namespace hive::lib {

// A directory on the way. The root has a part on each cell, and no home.
struct FileDirectory {
  CellId home = -1;
  std::uint64_t number = proto::file_root;
  bool is_root() const { return home < 0; }
};

struct Walked {
  std::vector<FileDirectory> directories;  // from the root to the one that the name is in
  std::string name;                        // empty: the path names the last directory itself
  std::optional<FileEntry> entry;          // what the name leads to; none: it is free
  bool wants_directory = false;            // the path ends with '/'

  const FileDirectory& directory() const { return directories.back(); }
};

// The cell that a name in this directory lies on.
CellId home_of_name(const SessionImpl& session, const FileDirectory& directory,
                    std::string_view name);

// Follows links on the way, and one at the end if `follow`, or if the path ends with '/'. A last
// name that is not there is no error. Errors: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EINVAL (a zero
// byte), and those of call_home().
Result<Walked> walk(const std::shared_ptr<SessionImpl>& session, std::string_view path,
                    bool follow);

// Errors: ENOENT; EINVAL (no link).
Result<std::string> read_link(const std::shared_ptr<SessionImpl>& session, const FileEntry& link);

}  // namespace hive::lib

#include "cli/fs_remove.h"

#include <cerrno>

#include "cli/command.h"
#include "cli/fs_access.h"

namespace hive::cli {
namespace {

constexpr int remove_depth_max = 2048;

class Remover {
 public:
  explicit Remover(const FileSystem& files) : files_(files) {}

  bool remove(const std::string& path, int depth) {
    const auto about = files_.lstat(path);
    if (!about) return fails(path, about.error());
    return remove(path, about->kind, depth);
  }

 private:
  bool remove(const std::string& path, FileKind kind, int depth) {
    if (kind != FileKind::directory) return is_gone(path, files_.unlink(path));
    if (depth > remove_depth_max) return fails(path, error(Code::bad_argument, "", -1, ELOOP));
    const auto list = files_.readdir(path);
    if (!list) return fails(path, list.error());
    bool all = true;
    for (const DirectoryEntry& entry : list->entries) {
      all = remove(below(path, entry.name), entry.kind, depth + 1) && all;
    }
    if (!all || last_name(path).empty()) return all;
    return is_gone(path, files_.rmdir(path));
  }

  // Somebody else may have been quicker.
  static bool is_gone(const std::string& path, const Result<void>& done) {
    return done || done.error().sys_errno == ENOENT || fails(path, done.error());
  }
  static bool fails(const std::string& path, const Error& error) {
    complain(fs_refusal(path, error));
    return false;
  }

  const FileSystem& files_;
};

}  // namespace

bool remove_tree(const FileSystem& files, const std::string& path, bool recursive) {
  if (recursive) return Remover(files).remove(path, 0);
  const auto done = files.unlink(path);
  if (!done) complain(fs_refusal(path, done.error()));
  return done.has_value();
}

}  // namespace hive::cli

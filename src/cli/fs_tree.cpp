#include "cli/fs_tree.h"

#include <deque>
#include <utility>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/fs_access.h"
#include "cli/table.h"

namespace hive::cli {
namespace {

// Deeper ones have paths that are too long anyway.
constexpr std::size_t copy_depth_max = 2048;
constexpr std::size_t shown_bytes_max = 60;  // of a path that has so many parts

class TreeCopy {
 public:
  TreeCopy(TreeSide& source, TreeSide& target, bool with_directories,
           const std::function<void(const TreeCount&)>& progress)
      : source_(source),
        target_(target),
        with_directories_(with_directories),
        progress_(progress) {}

  TreeCount run(const std::string& from, const std::string& to) {
    one(from, to, 0);
    return count_;
  }

 private:
  void one(const std::string& from, const std::string& to, std::size_t depth) {
    const auto about = source_.look(from);
    if (!about) return fails(about.error());
    if (*about == nullptr) {
      return fails(
          {monitor::exit_failed, fmt::format("{}: No such file or directory", printable(from))});
    }
    const TreeInfo& info = **about;
    if (depth > copy_depth_max) {
      return fails({monitor::exit_failed,
                    fmt::format("more than {} directories in one another are not copied; those "
                                "from here on: {}",
                                copy_depth_max, printable(from.substr(0, shown_bytes_max)))});
    }
    if (info.is_special) {
      return fails(
          {monitor::exit_failed,
           fmt::format("{}: neither file, directory nor symbolic link", printable(from))});
    }
    switch (info.kind) {
      case FileKind::file:
        return file(from, to, info);
      case FileKind::link:
        return link(from, to);
      case FileKind::directory:
        return directory(from, to, info, depth);
    }
  }

  void file(const std::string& from, const std::string& to, const TreeInfo& info) {
    const auto count = [&](const TreeSide::Sink& sink) {
      return source_.read(from, [&](std::span<const std::byte> bytes) {
        count_.bytes += bytes.size();
        progress_(count_);
        return sink(bytes);
      });
    };
    if (const auto done = target_.write(to, info, count); !done) return fails(done.error());
    if (const auto done = target_.set_like(to, info); !done) return fails(done.error());
    ++count_.files;
  }

  void link(const std::string& from, const std::string& to) {
    const auto leads_to = source_.link(from);
    if (!leads_to) return fails(leads_to.error());
    if (const auto done = target_.make_link(to, *leads_to); !done) return fails(done.error());
    ++count_.links;
  }

  void directory(const std::string& from, const std::string& to, const TreeInfo& info,
                 std::size_t depth) {
    if (!with_directories_) {
      return fails({monitor::exit_failed,
                    fmt::format("{}: Is a directory (--recursive copies it)", printable(from))});
    }
    const auto names = source_.list(from);
    if (!names) return fails(names.error());
    if (const auto made = target_.make_directory(to, info.mode); !made) {
      return fails(made.error());
    }
    ++count_.directories;
    for (const std::string& name : *names) one(below(from, name), below(to, name), depth + 1);
    // Last: what came into it has changed its times.
    if (const auto done = target_.set_like(to, info); !done) fails(done.error());
  }

  void fails(const monitor::Refusal& refusal) {
    ++count_.failed;
    complain(refusal);
  }

  TreeSide& source_;
  TreeSide& target_;
  const bool with_directories_;
  const std::function<void(const TreeCount&)>& progress_;
  TreeCount count_;
};

}  // namespace

TreeCount copy_tree(TreeSide& source, const std::string& from, TreeSide& target,
                    const std::string& to, bool with_directories,
                    const std::function<void(const TreeCount&)>& progress) {
  const std::string name = last_name(from);
  const bool goes_inside = !name.empty() && name != "." && name != ".." && target.is_directory(to);
  return TreeCopy(source, target, with_directories, progress)
      .run(from, goes_inside ? below(to, name) : to);
}

}  // namespace hive::cli

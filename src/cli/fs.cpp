// hive fs: the files of the machine, from outside.

#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/command.h"
#include "cli/fs_access.h"
#include "cli/fs_remove.h"
#include "cli/fs_show.h"
#include "cli/fs_tree.h"
#include "monitor/sizes.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

constexpr std::uint64_t progress_every_ns = 100 * ns_per_ms;

struct FsArguments {
  FsPlace place{proto::default_machine, ""};
  std::vector<std::string> paths;
  std::string from;
  std::string to;
  bool json = false;
  bool long_list = false;
  bool recursive = false;
  bool parents = false;
};
using FsArgumentsPtr = std::shared_ptr<FsArguments>;
using FsWork = int (*)(FsAccess&, const FsArguments&);

// For each path; the status is that of the last complaint.
int for_each(const FsArguments& arguments,
             const std::function<Result<void>(const std::string&)>& work) {
  int status = monitor::exit_ok;
  for (const std::string& path : arguments.paths) {
    if (const auto done = work(path); !done) status = complain(fs_refusal(path, done.error()));
  }
  return status;
}

int fs_cat(FsAccess& access, const FsArguments& arguments) {
  int status = monitor::exit_ok;
  for (const std::string& path : arguments.paths) {
    auto file = access.files.open(path, O_RDONLY);
    std::vector<std::byte> buffer(1 << 18);
    bool more = true;
    while (more) {
      const auto n = file ? file->read(buffer) : Result<std::size_t>(fail(file.error()));
      if (!n) {
        status = complain(fs_refusal(path, n.error()));
        break;
      }
      more = *n != 0;
      if (std::fwrite(buffer.data(), 1, *n, stdout) != *n) return monitor::exit_failed;
    }
  }
  return std::fflush(stdout) == 0 ? status : monitor::exit_failed;
}

int fs_make_directories(FsAccess& access, const FsArguments& arguments) {
  return for_each(arguments, [&](const std::string& path) -> Result<void> {
    if (!arguments.parents) return access.files.mkdir(path, 0755);
    Result<void> made;
    for (std::size_t end = 0; end != path.npos && made;) {
      end = path.find('/', end + 1);
      made = access.files.mkdir(path.substr(0, end), 0755);
      if (made || made.error().sys_errno != EEXIST) continue;
      const auto about = access.files.stat(path.substr(0, end));
      if (about && about->kind == FileKind::directory) made = {};
    }
    return made;
  });
}

int fs_remove(FsAccess& access, const FsArguments& arguments) {
  int status = monitor::exit_ok;
  for (const std::string& path : arguments.paths) {
    if (!remove_tree(access.files, path, arguments.recursive)) status = monitor::exit_failed;
  }
  return status;
}

int fs_move(FsAccess& access, const FsArguments& arguments) {
  const auto there = access.files.stat(arguments.to);
  const bool goes_inside = there && there->kind == FileKind::directory;
  const std::string to =
      goes_inside ? below(arguments.to, last_name(arguments.from)) : arguments.to;
  const auto moved = access.files.rename(arguments.from, to);
  if (moved) return monitor::exit_ok;
  const int error = moved.error().sys_errno;
  // Which of the two the errno is about.
  const bool is_source = error == ENOENT && !access.files.lstat(arguments.from);
  return complain(fs_refusal(is_source ? arguments.from : to, moved.error()));
}

// On a terminal only, in one line that comes and goes.
class CopyProgress {
 public:
  void show(const TreeCount& count) {
    if (!is_terminal_) return;
    const std::uint64_t now = now_ns();
    if (now < next_ns_) return;
    next_ns_ = now + progress_every_ns;
    is_shown_ = true;
    fmt::print(stderr, "\r\x1b[K{} files, {}", count.files, monitor::format_size(count.bytes));
    std::fflush(stderr);
  }
  ~CopyProgress() {
    if (is_shown_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  const bool is_terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::uint64_t next_ns_ = 0;
  bool is_shown_ = false;
};

int copy_between(TreeSide& source, TreeSide& target, const FsArguments& arguments,
                 bool recursive) {
  TreeCount count;
  {
    CopyProgress progress;
    count = copy_tree(source, arguments.from, target, arguments.to, recursive,
                      [&](const TreeCount& so_far) { progress.show(so_far); });
  }
  if (arguments.json) {
    print_json({{"files", count.files},
                {"directories", count.directories},
                {"links", count.links},
                {"bytes", count.bytes},
                {"failed", count.failed}});
  } else if (recursive && count.directories != 0) {
    fmt::print("{} files, {} directories, {} links, {}\n", count.files, count.directories,
               count.links, monitor::format_size(count.bytes));
  }
  return count.failed == 0 ? monitor::exit_ok : monitor::exit_failed;
}

int fs_copy_inside(FsAccess& access, const FsArguments& arguments) {
  const auto side = hive_side(access.files);
  return copy_between(*side, *side, arguments, arguments.recursive);
}
int fs_put(FsAccess& access, const FsArguments& arguments) {
  return copy_between(*host_side(), *hive_side(access.files), arguments, true);
}
int fs_get(FsAccess& access, const FsArguments& arguments) {
  return copy_between(*hive_side(access.files), *host_side(), arguments, true);
}

int fs_list(FsAccess& access, const FsArguments& arguments) {
  return list_paths(access, arguments.paths, arguments.long_list, arguments.json);
}
int fs_stat(FsAccess& access, const FsArguments& arguments) {
  return show_status(access, arguments.paths, arguments.json);
}
int fs_df(FsAccess& access, const FsArguments& arguments) {
  return show_space(access, arguments.json);
}

CLI::App* add_fs_command(CLI::App& fs, const char* name, const char* description,
                         const FsArgumentsPtr& arguments, Context& context, FsWork work) {
  CLI::App* command = fs.add_subcommand(name, description);
  add_name(*command, arguments->place.name);
  command->add_option("--cell", arguments->place.cell, "Work as a task of this cell")
      ->type_name("N");
  command->callback([arguments, work, &context] {
    auto access = attach_fs(arguments->place);
    context.status = access ? work(*access, *arguments) : complain(access.error());
  });
  return command;
}

void add_fs_paths(CLI::App* command, const FsArgumentsPtr& arguments, bool required = true) {
  auto* option = command->add_option("path", arguments->paths, "Paths on the machine");
  option->type_name("PATH");
  if (required) option->required();
}

void add_two_paths(CLI::App* command, const FsArgumentsPtr& arguments, const char* from,
                   const char* to) {
  command->add_option("from", arguments->from, from)->type_name("FROM")->required();
  command->add_option("to", arguments->to, to)->type_name("TO")->required();
}

void add_fs_json(CLI::App* command, const FsArgumentsPtr& arguments) {
  command->add_flag("--json", arguments->json, "As JSON");
}

void add_recursive(CLI::App* command, const FsArgumentsPtr& arguments, const char* what) {
  command->add_flag("-r,--recursive", arguments->recursive, what);
}

void add_looking(CLI::App& fs, Context& context) {
  auto arguments = std::make_shared<FsArguments>();
  CLI::App* command = add_fs_command(fs, "ls", "List files", arguments, context, fs_list);
  command->add_flag("-l,--long", arguments->long_list, "With mode, home, size and time");
  add_fs_json(command, arguments);
  add_fs_paths(command, arguments, false);

  arguments = std::make_shared<FsArguments>();
  add_fs_paths(add_fs_command(fs, "cat", "Print the content of files", arguments, context, fs_cat),
               arguments);

  arguments = std::make_shared<FsArguments>();
  command = add_fs_command(fs, "stat", "Show all about files", arguments, context, fs_stat);
  add_fs_json(command, arguments);
  add_fs_paths(command, arguments);

  arguments = std::make_shared<FsArguments>();
  add_fs_json(add_fs_command(fs, "df", "Show the room on the disk of each cell", arguments,
                             context, fs_df),
              arguments);
}

void add_changing(CLI::App& fs, Context& context) {
  auto arguments = std::make_shared<FsArguments>();
  CLI::App* command =
      add_fs_command(fs, "mkdir", "Make directories", arguments, context, fs_make_directories);
  command->add_flag("-p,--parents", arguments->parents, "Those above, too, where need be");
  add_fs_paths(command, arguments);

  arguments = std::make_shared<FsArguments>();
  command = add_fs_command(fs, "rm", "Remove files", arguments, context, fs_remove);
  add_recursive(command, arguments, "Directories, too, with all that is in them");
  add_fs_paths(command, arguments);

  arguments = std::make_shared<FsArguments>();
  command = add_fs_command(fs, "mv", "Rename a file or directory", arguments, context, fs_move);
  add_two_paths(command, arguments, "What", "Its new name, or a directory to move it into");

  arguments = std::make_shared<FsArguments>();
  command = add_fs_command(fs, "cp", "Copy files within the machine", arguments, context,
                           fs_copy_inside);
  add_recursive(command, arguments, "Directories, too, with all that is in them");
  add_fs_json(command, arguments);
  add_two_paths(command, arguments, "What", "The name of the copy, or a directory to make it in");
}

void add_in_and_out(CLI::App& fs, Context& context) {
  auto arguments = std::make_shared<FsArguments>();
  CLI::App* command = add_fs_command(fs, "put", "Copy files of the host into the machine",
                                     arguments, context, fs_put);
  add_fs_json(command, arguments);
  add_two_paths(command, arguments, "A file or tree of the host", "Its name on the machine");

  arguments = std::make_shared<FsArguments>();
  command = add_fs_command(fs, "get", "Copy files of the machine out to the host", arguments,
                           context, fs_get);
  add_fs_json(command, arguments);
  add_two_paths(command, arguments, "A file or tree of the machine", "Its name on the host");
}

}  // namespace

void add_fs(CLI::App& app, Context& context) {
  CLI::App* fs = app.add_subcommand("fs", "Work with the files of the machine");
  fs->require_subcommand(1);
  add_looking(*fs, context);
  add_changing(*fs, context);
  add_in_and_out(*fs, context);
}

}  // namespace hive::cli

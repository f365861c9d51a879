#include "cli/fs_show.h"

#include <cerrno>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/table.h"
#include "monitor/sizes.h"

namespace hive::cli {
namespace {

Json json_of(const FileInfo& about) {
  return {{"kind", kind_text(about.kind)},
          {"mode", fmt::format("{:04o}", about.mode)},
          {"home", about.home},
          {"number", about.number},
          {"size", about.size},
          {"disk_bytes", about.disk_bytes},
          {"generation", about.generation},
          {"accessed_ns", about.accessed_ns},
          {"modified_ns", about.modified_ns},
          {"changed_ns", about.changed_ns}};
}

// What one path comes to.
struct Lines {
  Json json = Json::array();
  Table table{{"MODE", "HOME", "SIZE", "MODIFIED", "NAME"}};
  std::vector<std::string> names;
};

class Lister {
 public:
  Lister(FsAccess& access, bool with_info) : files_(access.files), with_info_(with_info) {}

  Lines lines(const std::string& path) {
    Lines lines;
    const auto about = files_.stat(path);
    if (!about) {
      fails(fs_refusal(path, about.error()));
      return lines;
    }
    if (about->kind != FileKind::directory) {
      add(lines, path, {path, about->kind, about->home, about->number});
      return lines;
    }
    const auto list = files_.readdir(path);
    if (!list) {
      fails(fs_refusal(path, list.error()));
      return lines;
    }
    for (const DirectoryEntry& entry : list->entries) add(lines, below(path, entry.name), entry);
    for (const int cell : list->missing) {
      fails({monitor::exit_failed, fmt::format("cell {} is down: what it holds of {} is not shown",
                                               cell, printable(path))});
    }
    return lines;
  }
  int status() const { return status_; }

 private:
  void add(Lines& lines, const std::string& path, const DirectoryEntry& entry) {
    Json json = {{"name", entry.name}, {"kind", kind_text(entry.kind)}, {"home", entry.home}};
    std::string name = printable(entry.name);
    if (with_info_) {
      const auto about = files_.lstat(path);
      // It went meanwhile.
      if (!about && about.error().sys_errno == ENOENT) return;
      if (!about) {
        fails(fs_refusal(path, about.error()));
        lines.table.add({"?", std::to_string(entry.home), "?", "?", name});
        json["error"] = about.error().message();
      } else {
        json.update(json_of(*about));
        if (about->kind == FileKind::link) {
          const auto target = files_.readlink(path);
          json["target"] = target ? *target : "";
          name += " -> " + printable(target ? *target : "?");
        }
        lines.table.add({mode_text(about->kind, about->mode), std::to_string(about->home),
                         std::to_string(about->size), time_text(about->modified_ns), name});
      }
    }
    lines.json.push_back(std::move(json));
    lines.names.push_back(std::move(name));
  }
  void fails(const Refusal& refusal) { status_ = complain(refusal); }

  const FileSystem& files_;
  const bool with_info_;
  int status_ = monitor::exit_ok;
};

}  // namespace

int list_paths(FsAccess& access, const std::vector<std::string>& paths, bool as_long,
               bool as_json) {
  const std::vector<std::string> all = paths.empty() ? std::vector<std::string>{"/"} : paths;
  Lister lister(access, as_long);
  Json json = Json::object();
  bool is_first = true;
  for (const std::string& path : all) {
    const Lines lines = lister.lines(path);
    json[path] = lines.json;
    if (as_json) continue;
    if (all.size() > 1) fmt::print("{}{}:\n", is_first ? "" : "\n", printable(path));
    is_first = false;
    if (as_long && !lines.table.empty()) lines.table.print();
    if (!as_long) {
      for (const std::string& name : lines.names) fmt::print("{}\n", name);
    }
  }
  if (as_json) print_json({{"paths", json}});
  return lister.status();
}

int show_status(FsAccess& access, const std::vector<std::string>& paths, bool as_json) {
  int status = monitor::exit_ok;
  Json json = Json::object();
  for (const std::string& path : paths) {
    const auto about = access.files.lstat(path);
    if (!about) {
      status = complain(fs_refusal(path, about.error()));
      continue;
    }
    json[path] = json_of(*about);
    if (as_json) continue;
    fmt::print("{}: {}\n", printable(path), kind_text(about->kind));
    fmt::print("  mode        {:04o} ({})\n", about->mode, mode_text(about->kind, about->mode));
    fmt::print("  size        {} bytes, {} on the disk of cell {}\n", about->size,
               monitor::format_size(about->disk_bytes), about->home);
    fmt::print("  number      {}\n  generation  {}\n", about->number, about->generation);
    fmt::print("  accessed    {}\n  modified    {}\n  changed     {}\n",
               time_text(about->accessed_ns), time_text(about->modified_ns),
               time_text(about->changed_ns));
  }
  if (as_json) print_json({{"paths", json}});
  return status;
}

int show_space(FsAccess& access, bool as_json) {
  int status = monitor::exit_ok;
  Json json = Json::array();
  Table table({"CELL", "SIZE", "FREE"});
  for (int cell = 0; cell < access.cells; ++cell) {
    const auto space = access.files.space(cell);
    if (!space) {
      status = complain(fs_refusal(fmt::format("cell {}", cell), space.error()));
      table.add({std::to_string(cell), "-", "-"});
      json.push_back({{"cell", cell}, {"error", space.error().message()}});
      continue;
    }
    table.add({std::to_string(cell), monitor::format_size(space->total),
               monitor::format_size(space->free)});
    json.push_back({{"cell", cell}, {"total", space->total}, {"free", space->free}});
  }
  if (as_json) {
    print_json({{"disks", json}});
  } else {
    table.print();
  }
  return status;
}

}  // namespace hive::cli

#include "cli/fs_access.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

#include "base/ids.h"
#include "base/time.h"
#include "cli/command.h"
#include "cli/table.h"

namespace hive::cli {

Outcome<FsAccess> attach_fs(const FsPlace& place) {
  const auto machine = find_machine(place.name);
  if (!machine) return tl::unexpected(machine.error());
  AttachOptions options{.machine = machine->name, .cell = -1};
  if (!place.cell.empty()) {
    options.cell = number_option("--cell", place.cell, 0, max_cells - 1);
    if (const auto there = check_cell(*machine, options.cell); !there) {
      return tl::unexpected(there.error());
    }
  }
  auto session = attach(options);
  if (!session) return monitor::refuse(monitor::exit_failed, session.error().message());
  FileSystem files = session->files();
  return FsAccess{std::move(*session), std::move(files), machine->cells};
}

Refusal fs_refusal(const std::string& path, const Error& error) {
  std::string words;
  if (error.sys_errno == EHOSTDOWN && error.cell >= 0) {
    words = fmt::format("cell {} is down", error.cell);
  } else if (error.sys_errno == EIO || error.sys_errno == EMEDIUMTYPE || error.sys_errno == 0) {
    words = error.message();
  } else {
    words = std::strerror(error.sys_errno);
  }
  return {monitor::exit_failed, fmt::format("{}: {}", printable(path), words)};
}

std::string below(const std::string& path, const std::string& name) {
  return path.ends_with('/') ? path + name : path + "/" + name;
}

std::string last_name(const std::string& path) {
  std::string text = path;
  while (text.ends_with('/')) text.pop_back();
  return text.substr(text.rfind('/') + 1);
}

std::string mode_text(FileKind kind, mode_t mode) {
  std::string text = kind == FileKind::directory ? "d" : kind == FileKind::link ? "l" : "-";
  constexpr const char* letters = "rwxrwxrwx";
  for (int i = 0; i < 9; ++i) text += (mode & (0400U >> i)) != 0 ? letters[i] : '-';
  return text;
}

std::string time_text(std::int64_t ns) {
  const std::time_t seconds = ns / static_cast<std::int64_t>(ns_per_s);
  std::tm calendar{};
  ::localtime_r(&seconds, &calendar);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%F %T", &calendar);
  return text.data();
}

const char* kind_text(FileKind kind) {
  return kind == FileKind::directory ? "directory" : kind == FileKind::link ? "link" : "file";
}

}  // namespace hive::cli

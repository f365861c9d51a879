// The host's files, and the machine's, as sides of a copy.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "cli/fs_access.h"
#include "cli/fs_tree.h"
#include "cli/table.h"
#include "proto/files.h"

namespace hive::cli {
namespace {

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr mode_t owner_writes = 0700;  // a directory that is being filled

tl::unexpected<monitor::Refusal> host_refusal(const std::string& path) {
  return monitor::refuse(monitor::exit_failed,
                         fmt::format("{}: {}", printable(path), std::strerror(errno)));
}

class HostSide final : public TreeSide {
 public:
  Outcome<std::unique_ptr<TreeInfo>> look(const std::string& path) override {
    struct stat about {};
    if (::lstat(path.c_str(), &about) != 0) {
      if (errno == ENOENT) return nullptr;
      return host_refusal(path);
    }
    auto info = std::make_unique<TreeInfo>();
    info->kind = S_ISDIR(about.st_mode)   ? FileKind::directory
                 : S_ISLNK(about.st_mode) ? FileKind::link
                                          : FileKind::file;
    info->is_special = info->kind == FileKind::file && !S_ISREG(about.st_mode);
    info->mode = about.st_mode & proto::file_mode_bits;
    info->bytes = static_cast<std::uint64_t>(about.st_size);
    info->accessed_ns = ns_of(about.st_atim);
    info->modified_ns = ns_of(about.st_mtim);
    return info;
  }
  bool is_directory(const std::string& path) override {
    struct stat about {};
    return ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
  }
  Outcome<std::vector<std::string>> list(const std::string& path) override {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator at(path, error);
    for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
      names.push_back(at->path().filename().string());
    }
    if (error) {
      return monitor::refuse(monitor::exit_failed,
                             fmt::format("{}: {}", printable(path), error.message()));
    }
    std::ranges::sort(names);
    return names;
  }
  Outcome<std::string> link(const std::string& path) override {
    std::error_code error;
    const auto target = std::filesystem::read_symlink(path, error);
    if (!error) return target.string();
    return monitor::refuse(monitor::exit_failed,
                           fmt::format("{}: {}", printable(path), error.message()));
  }
  Outcome<void> read(const std::string& path, const Sink& sink) override {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) return host_refusal(path);
    std::vector<std::byte> buffer(chunk_bytes);
    while (true) {
      const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return host_refusal(path);
      if (n == 0) return {};
      if (auto taken = sink(std::span(buffer).first(static_cast<std::size_t>(n))); !taken) {
        return taken;
      }
    }
  }

  Outcome<void> make_directory(const std::string& path, mode_t mode) override {
    if (::mkdir(path.c_str(), (mode & 0777) | owner_writes) == 0) return {};
    if (errno == EEXIST && is_directory(path)) return {};
    return host_refusal(path);
  }
  Outcome<void> make_link(const std::string& path, const std::string& target) override {
    if (::symlink(target.c_str(), path.c_str()) == 0) return {};
    if (errno != EEXIST || ::unlink(path.c_str()) != 0 ||
        ::symlink(target.c_str(), path.c_str()) != 0) {
      return host_refusal(path);
    }
    return {};
  }
  Outcome<void> write(const std::string& path, const TreeInfo& like,
                      const Source& source) override {
    const UniqueFd file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (like.mode & 0777) | 0200));
    if (!file) return host_refusal(path);
    return source([&](std::span<const std::byte> bytes) -> Outcome<void> {
      while (!bytes.empty()) {
        const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return host_refusal(path);
        bytes = bytes.subspan(static_cast<std::size_t>(n));
      }
      return {};
    });
  }
  Outcome<void> set_like(const std::string& path, const TreeInfo& like) override {
    const std::array times = {wall_timespec(like.accessed_ns), wall_timespec(like.modified_ns)};
    if (::chmod(path.c_str(), like.mode) == 0 &&
        ::utimensat(AT_FDCWD, path.c_str(), times.data(), 0) == 0) {
      return {};
    }
    return host_refusal(path);
  }
};

class HiveSide final : public TreeSide {
 public:
  explicit HiveSide(FileSystem files) : files_(std::move(files)) {}

  Outcome<std::unique_ptr<TreeInfo>> look(const std::string& path) override {
    const auto about = files_.lstat(path);
    if (!about && about.error().sys_errno == ENOENT) return nullptr;
    if (!about) return tl::unexpected(fs_refusal(path, about.error()));
    return std::make_unique<TreeInfo>(TreeInfo{about->kind, false, about->mode, about->size,
                                               about->accessed_ns, about->modified_ns});
  }
  bool is_directory(const std::string& path) override {
    const auto about = files_.stat(path);
    return about && about->kind == FileKind::directory;
  }
  Outcome<std::vector<std::string>> list(const std::string& path) override {
    const auto list = files_.readdir(path);
    if (!list) return tl::unexpected(fs_refusal(path, list.error()));
    if (!list->missing.empty()) {
      return monitor::refuse(monitor::exit_failed,
                             fmt::format("{}: cell {} is down, and what it holds can not be seen",
                                         printable(path), list->missing.front()));
    }
    std::vector<std::string> names;
    for (const DirectoryEntry& entry : list->entries) names.push_back(entry.name);
    return names;
  }
  Outcome<std::string> link(const std::string& path) override {
    auto target = files_.readlink(path);
    if (!target) return tl::unexpected(fs_refusal(path, target.error()));
    return std::move(*target);
  }
  Outcome<void> read(const std::string& path, const Sink& sink) override {
    auto file = files_.open(path, O_RDONLY | O_NOFOLLOW);
    if (!file) return tl::unexpected(fs_refusal(path, file.error()));
    std::vector<std::byte> buffer(chunk_bytes);
    while (true) {
      const auto n = file->read(buffer);
      if (!n) return tl::unexpected(fs_refusal(path, n.error()));
      if (*n == 0) return {};
      if (auto taken = sink(std::span(buffer).first(*n)); !taken) return taken;
    }
  }

  Outcome<void> make_directory(const std::string& path, mode_t mode) override {
    const auto made = files_.mkdir(path, mode);
    if (made || (made.error().sys_errno == EEXIST && is_directory(path))) return {};
    return tl::unexpected(fs_refusal(path, made.error()));
  }
  Outcome<void> make_link(const std::string& path, const std::string& target) override {
    auto made = files_.symlink(target, path);
    if (!made && made.error().sys_errno == EEXIST && files_.unlink(path)) {
      made = files_.symlink(target, path);
    }
    if (made) return {};
    return tl::unexpected(fs_refusal(path, made.error()));
  }
  Outcome<void> write(const std::string& path, const TreeInfo& like,
                      const Source& source) override {
    auto file = files_.open(path, O_WRONLY | O_CREAT | O_TRUNC, like.mode);
    if (!file) return tl::unexpected(fs_refusal(path, file.error()));
    auto copied = source([&](std::span<const std::byte> bytes) -> Outcome<void> {
      while (!bytes.empty()) {
        const auto n = file->write(bytes);
        if (!n) return tl::unexpected(fs_refusal(path, n.error()));
        bytes = bytes.subspan(*n);
      }
      return {};
    });
    if (!copied) return copied;
    if (auto synced = file->fsync(); !synced) {
      return tl::unexpected(fs_refusal(path, synced.error()));
    }
    return {};
  }
  Outcome<void> set_like(const std::string& path, const TreeInfo& like) override {
    auto done = files_.chmod(path, like.mode);
    if (done) done = files_.utimens(path, like.accessed_ns, like.modified_ns);
    if (done) return {};
    // The root is as it is.
    if (done.error().sys_errno == EPERM && last_name(path).empty()) return {};
    return tl::unexpected(fs_refusal(path, done.error()));
  }

 private:
  const FileSystem files_;
};

}  // namespace

std::unique_ptr<TreeSide> host_side() { return std::make_unique<HostSide>(); }
std::unique_ptr<TreeSide> hive_side(const FileSystem& files) {
  return std::make_unique<HiveSide>(files);
}

}  // namespace hive::cli

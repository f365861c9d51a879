// Files, links and directories as objects of a disk, whatever their names are.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/time.h"
#include "cell/files/disk_store.h"
#include "machine/disk_fault.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t host_block_bytes = 512;  // of st_blocks

// What the cell itself needs, also where the mode does not have it.
std::uint32_t needed(FileKind kind) { return kind == FileKind::directory ? 0700 : 0600; }

timespec host_time(std::int64_t ns) {
  if (ns == proto::file_time_omit) return {0, UTIME_OMIT};
  if (ns == proto::file_time_now) return {0, UTIME_NOW};
  return wall_timespec(ns);
}

std::string mode_note(FileNumber number) { return std::to_string(number) + ".m"; }
std::string generation_note(FileNumber number) { return std::to_string(number) + ".g"; }

// Where an object of this number lies, and as what.
struct Place {
  int folder = -1;
  struct stat about {};
};

Result<Place> place_of(int files, int names, const std::string& number) {
  Place place{files, {}};
  if (::fstatat(files, number.c_str(), &place.about, AT_SYMLINK_NOFOLLOW) == 0) return place;
  if (errno != ENOENT) return fail_errno(errno);
  place.folder = names;
  if (::fstatat(names, number.c_str(), &place.about, AT_SYMLINK_NOFOLLOW) == 0) return place;
  return fail_errno(errno);
}

FileKind kind_of(const struct stat& about) {
  return S_ISDIR(about.st_mode)   ? FileKind::directory
         : S_ISLNK(about.st_mode) ? FileKind::link
                                  : FileKind::file;
}

}  // namespace

Result<proto::FileStatus> DiskStore::status(FileNumber number) const {
  const auto place = place_of(files_.get(), names_.get(), text(number));
  if (!place) return fail(place.error());
  const struct stat& about = place->about;
  const FileKind kind = kind_of(about);
  proto::FileStatus status;
  status.kind = static_cast<std::uint8_t>(kind);
  status.home = static_cast<std::uint8_t>(self_);
  status.mode = static_cast<std::uint16_t>(about.st_mode & proto::file_mode_bits);
  status.number = number;
  status.bytes = kind == FileKind::directory ? 0 : static_cast<std::uint64_t>(about.st_size);
  status.disk_bytes = static_cast<std::uint64_t>(about.st_blocks) * host_block_bytes;
  status.accessed_ns = ns_of(about.st_atim);
  status.modified_ns = ns_of(about.st_mtim);
  status.changed_ns = ns_of(about.st_ctim);
  if (kind == FileKind::link) return status;
  if (const auto mode = attributes_.read(mode_note(number)); mode) {
    status.mode = static_cast<std::uint16_t>(std::strtoul(mode->c_str(), nullptr, 8) &
                                             proto::file_mode_bits);
  }
  const auto now = generation(number);
  if (!now) return fail(now.error());
  status.generation = *now;
  return status;
}

Result<void> DiskStore::set_mode(FileNumber number, std::uint32_t mode) {
  const auto place = place_of(files_.get(), names_.get(), text(number));
  if (!place) return fail(place.error());
  const FileKind kind = kind_of(place->about);
  if (kind == FileKind::link) return fail_errno(EINVAL);
  const std::scoped_lock lock(attributes_mutex_);
  mode &= proto::file_mode_bits;
  // The note counts where there is one: so it comes first, and goes last.
  const bool is_whole = (mode & needed(kind)) == needed(kind);
  if (!is_whole) {
    std::array<char, 8> octal{};
    std::snprintf(octal.data(), octal.size(), "%o", mode);
    if (auto noted = attributes_.write(mode_note(number), octal.data()); !noted) return noted;
  }
  if (auto set = set_host_mode(number, kind, mode); !set) return set;
  return is_whole ? attributes_.erase(mode_note(number)) : Result<void>();
}

Result<void> DiskStore::set_host_mode(FileNumber number, FileKind kind, std::uint32_t mode) const {
  const int folder = kind == FileKind::directory ? names_.get() : files_.get();
  file_step();
  if (::fchmodat(folder, text(number).c_str(), mode | needed(kind), 0) == 0) return {};
  return fail_errno(errno);
}

Result<void> DiskStore::set_times(FileNumber number, std::int64_t accessed_ns,
                                  std::int64_t modified_ns) {
  const auto place = place_of(files_.get(), names_.get(), text(number));
  if (!place) return fail(place.error());
  const timespec times[2] = {host_time(accessed_ns), host_time(modified_ns)};
  file_step();
  if (::utimensat(place->folder, text(number).c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return {};
  return fail_errno(errno);
}

Result<std::string> DiskStore::read_link(FileNumber number) const {
  return read_host_link(files_.get(), text(number));
}

Result<UniqueFd> DiskStore::open_content(FileNumber number) const {
  const auto place = place_of(files_.get(), names_.get(), text(number));
  if (!place) return fail(place.error());
  if (kind_of(place->about) != FileKind::file) return fail_errno(EINVAL);
  UniqueFd file(::openat(files_.get(), text(number).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno(errno);
  return file;
}

Result<std::uint64_t> DiskStore::generation(FileNumber number) const {
  const auto noted = attributes_.read(generation_note(number));
  if (noted) return std::strtoull(noted->c_str(), nullptr, 10);
  if (noted.error().sys_errno == ENOENT) return 0;
  return fail(noted.error());
}

Result<std::uint64_t> DiskStore::raise_generation(FileNumber number) {
  const std::scoped_lock lock(attributes_mutex_);
  const auto now = generation(number);
  if (!now) return now;
  const std::uint64_t next = *now + 1;
  if (auto noted = attributes_.write(generation_note(number), std::to_string(next)); !noted) {
    return fail(noted.error());
  }
  if (auto synced = attributes_.sync(); !synced) return fail(synced.error());
  return next;
}

Result<DiskStore::Space> DiskStore::space() const {
  struct statvfs about {};
  if (::fstatvfs(root_.get(), &about) != 0) return fail_errno(errno);
  return Space{about.f_blocks * about.f_frsize, about.f_bavail * about.f_frsize};
}

Result<void> DiskStore::sync_objects() const {
  if (::fsync(files_.get()) == 0) return {};
  return fail_errno(errno);
}

Result<void> DiskStore::sync_directory(FileNumber directory) const {
  const UniqueFd folder(
      ::openat(names_.get(), text(directory).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return fail_errno(errno);
  // The folder of folders as well: this one may be new.
  if (::fsync(folder.get()) == 0 && ::fsync(names_.get()) == 0) return {};
  return fail_errno(errno);
}

Result<void> DiskStore::make_content(FileNumber number, std::uint32_t mode) {
  constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  file_step();
  if (const int refused = machine::disk_refuses(machine::DiskUse::make); refused != 0) {
    return fail_errno(refused);
  }
  const UniqueFd file(::openat(files_.get(), text(number).c_str(), flags, 0600));
  if (!file) return fail_errno(errno);
  return set_mode(number, mode);
}

Result<FileNumber> DiskStore::make_for(CellId namer, std::uint32_t mode) {
  const auto number = take_number();
  if (!number) return number;
  Pending pending{.entry = {FileKind::file, self_, *number}, .what = Pending::What::claim};
  pending.cell = namer;
  {
    const std::scoped_lock lock(names_mutex_);
    if (auto noted = note(pending); !noted) return fail(noted.error());
  }
  if (auto made = make_content(*number, mode); !made) {
    (void)bury(pending.entry);
    return fail(made.error());
  }
  return number;
}

Result<void> DiskStore::adopt(const FileEntry& entry) {
  const std::scoped_lock lock(names_mutex_);
  const auto is_there = exists(entry);
  if (!is_there) return fail(is_there.error());
  const auto found = pending_.find(pending_key(entry));
  const bool is_claim = found != pending_.end() && found->second.what == Pending::What::claim;
  // One that is on its way out has no name for anybody.
  if (!*is_there || (found != pending_.end() && !is_claim)) return fail_errno(ENOENT);
  return is_claim ? forget_locked(entry) : Result<void>();
}

Result<void> DiskStore::drop(const FileEntry& entry) {
  const std::scoped_lock lock(names_mutex_);
  const auto is_there = exists(entry);
  if (!is_there) return fail(is_there.error());
  if (!*is_there) return forget_locked(entry);
  if (entry.kind == FileKind::directory) return remove_object(entry);
  return note({.entry = entry, .what = Pending::What::gone});
}

Result<bool> DiskStore::drop_claim(const FileEntry& entry) {
  const std::scoped_lock lock(names_mutex_);
  const auto found = pending_.find(pending_key(entry));
  if (found == pending_.end() || found->second.what != Pending::What::claim) return false;
  if (auto noted = note({.entry = entry, .what = Pending::What::gone}); !noted) {
    return fail(noted.error());
  }
  return true;
}

Result<void> DiskStore::bury(const FileEntry& entry) {
  if (auto removed = remove_object(entry); !removed) return removed;
  const std::scoped_lock lock(names_mutex_);
  return forget_locked(entry);
}

Result<bool> DiskStore::exists(const FileEntry& entry) const {
  const auto place = place_of(files_.get(), names_.get(), text(entry.number));
  if (place) return kind_of(place->about) == entry.kind;
  if (place.error().sys_errno == ENOENT) return false;
  return fail(place.error());
}

// A kernel that dies in the middle does it again at the next start: the note of it goes last.
Result<void> DiskStore::remove_object(const FileEntry& entry) {
  const bool is_directory = entry.kind == FileKind::directory;
  file_step();
  if (::unlinkat(is_directory ? names_.get() : files_.get(), text(entry.number).c_str(),
                 is_directory ? AT_REMOVEDIR : 0) != 0 &&
      errno != ENOENT) {
    return fail_errno(errno == EEXIST ? ENOTEMPTY : errno);
  }
  // Numbers are not used again, so nobody misses these.
  const std::scoped_lock lock(attributes_mutex_);
  if (auto erased = attributes_.erase(mode_note(entry.number)); !erased) return erased;
  return attributes_.erase(generation_note(entry.number));
}

}  // namespace hive::cell

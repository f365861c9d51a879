// The file system, as tasks and data homes agree on it: names, kinds, what travels in the data of
// a gate. Operations are in gate.h.
//
// An object (file, directory, symbolic link) is (home, number): it lies on the disk of that cell.
// A directory's entries name objects of any home. The root has number 0 and a part on each cell: a
// name in it lies on the cell that home_of_root_name() says, also while that is down.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <hive/error.h>
#include "base/ids.h"
#include "proto/causes.h"

namespace hive::proto {

inline constexpr std::size_t file_name_max = 255;   // bytes
inline constexpr std::size_t file_path_max = 4095;  // bytes; of the target of a link, too
inline constexpr int file_links_max = 40;           // symbolic links in one walk; then ELOOP
inline constexpr std::uint64_t file_root = 0;
inline constexpr std::uint32_t file_mode_bits = 07777;
inline constexpr std::uint64_t file_bytes_max = (std::uint64_t{1} << 44) - 4096;

enum class FileKind : std::uint8_t { file = 1, directory = 2, link = 3 };
inline bool is_file_kind(std::uint64_t kind) { return kind >= 1 && kind <= 3; }

// What a name leads to.
struct FileEntry {
  FileKind kind = FileKind::file;
  CellId home = -1;
  std::uint64_t number = 0;
  bool operator==(const FileEntry&) const = default;
};

// How an entry travels in the values of a reply: this word, and the number.
inline constexpr std::uint64_t pack_entry(FileKind kind, CellId home) {
  return static_cast<std::uint64_t>(kind) | static_cast<std::uint64_t>(home) << 8;
}

// A name as an entry may have it. Errors: an errno, or 0.
inline int check_file_name(std::string_view name) {
  if (name.empty()) return ENOENT;
  if (name.size() > file_name_max) return ENAMETOOLONG;
  if (name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos) {
    return EINVAL;
  }
  return 0;
}

// FNV-1a; part of the format of the disks.
inline constexpr CellId home_of_root_name(std::string_view name, std::uint32_t cells) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return static_cast<CellId>((hash ^ hash >> 32) % cells);
}

// What file_status answers, in the data of the reply.
struct FileStatus {
  std::uint8_t kind = 0;
  std::uint8_t home = 0;
  std::uint16_t mode = 0;  // permission bits: kept, not enforced
  std::uint32_t reserved = 0;
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
  std::uint64_t disk_bytes = 0;
  std::uint64_t generation = 0;   // goes up when content was lost
  std::uint64_t incarnation = 0;  // of the home
  std::int64_t accessed_ns = 0;   // since 1970, as the others
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
};
static_assert(sizeof(FileStatus) == 72);

// What file_list answers: some of these, each followed by its name.
struct ListedFile {
  std::uint64_t number = 0;
  std::uint8_t kind = 0;
  std::uint8_t home = 0;
  std::uint8_t name_length = 0;
  std::uint8_t reserved = 0;
};
static_assert(sizeof(ListedFile) == 16);

// Of file_open, file_set.
inline constexpr std::uint64_t file_open_truncate = 1;
inline constexpr std::uint64_t file_set_mode = 1;
inline constexpr std::uint64_t file_set_times = 2;
// A time that is to be left as it is; now.
inline constexpr std::int64_t file_time_omit = INT64_MIN;
inline constexpr std::int64_t file_time_now = INT64_MIN + 1;

// What a caller can do about an errno.
inline Code code_of_errno(int number) noexcept {
  switch (number) {
    case ENOENT:
    case ESTALE:
      return Code::not_found;
    case EEXIST:
      return Code::exists;
    case EBUSY:
    case EAGAIN:
      return Code::busy;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return Code::exhausted;
    case EHOSTDOWN:
      return Code::cell_down;
    case ETIMEDOUT:
      return Code::timed_out;
    case EACCES:
    case EPERM:
    case EROFS:
    case EMEDIUMTYPE:
      return Code::refused;
    case EBADF:
    case EFBIG:
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOTDIR:
    case ENOTEMPTY:
    case EXDEV:
      return Code::bad_argument;
    default:
      return Code::host;
  }
}

// `return fail_errno(ENOENT);`
inline Failure fail_errno(int number, CellId cell = -1) noexcept {
  return fail(code_of_errno(number), cause::file_refused, cell, number);
}

}  // namespace hive::proto

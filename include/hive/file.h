// The files of the machine: one name space that looks the same from every cell. The calls mirror
// POSIX; an Error carries its errno in `sys_errno`.
//
//   auto files = session->files();
//   auto file = files.open("/results/part-1", O_RDWR | O_CREAT, 0644);
//   file->pwrite(bytes, 0);
//   if (auto done = file->fsync(); !done) report(done.error());
//
// A file lies on the disk of one cell, its data home: the cell of the task that made it, unless
// OpenOptions say otherwise. A name in the root lies on a cell that follows from the name; what is
// below it, there too. What lies on a cell that is down gives EHOSTDOWN until the cell is back.
//
// What write has acknowledged is seen by everybody, and outlives the task. It outlives the data
// home only after fsync. A file that was open when its data home died gives EIO from then on;
// opened anew, it is what was on the disk: at least all that fsync had acknowledged.
//
// Paths: up to 4095 bytes, names up to 255; all begin at the root, also those without a '/' in
// front. Modes are kept but not enforced, since all tasks of a machine are one user's; the umask
// plays no part. There are no hard links. A rename may not replace a directory that lies on
// another cell than its name (EXDEV).
//
// Thread-safety: any thread. Reads and writes of one File at its offset happen one after the
// other. What is cached is read in place, without a call. Every other call blocks for one round
// trip to a cell, or several, and as long as the host's disk does. A read sees all that was
// acknowledged before it began; beside a write of the same bytes it may see a part of that.
// Errors of all calls, beside those of POSIX: EHOSTDOWN (names: the cell is down), EIO (the same
// for an open file; or the disk fails), ETIMEDOUT (no answer in time; it may have happened),
// ENOTCONN (the session is detached), EAGAIN (the cell has too many requests), EBUSY (the name is
// on its way from one cell to another that does not answer), EMEDIUMTYPE (the disks were written
// by a machine of another number of cells).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <hive/error.h>
#include <hive/mapping.h>
#include <sys/mman.h>
#include <sys/types.h>

namespace hive {

namespace lib {
class FileImpl;
class SessionImpl;
}  // namespace lib

enum class FileKind : std::uint8_t { file = 1, directory = 2, link = 3 };

// What stat says. Times are nanoseconds since 1970.
struct FileInfo {
  FileKind kind = FileKind::file;
  mode_t mode = 0;               // permission bits
  int home = -1;                 // the cell whose disk it lies on
  std::uint64_t number = 0;      // unique on its home, never used again
  std::uint64_t size = 0;        // bytes
  std::uint64_t disk_bytes = 0;  // that it takes on the disk
  std::uint64_t generation = 0;  // goes up when content was lost that was not on the disk
  std::int64_t accessed_ns = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
};

struct DirectoryEntry {
  std::string name;
  FileKind kind = FileKind::file;
  int home = -1;  // of what it names
  std::uint64_t number = 0;
};

// What a directory holds, by name, without "." and "..". `missing`: cells that are down and have a
// part of it; only the root has such.
struct DirectoryList {
  std::vector<DirectoryEntry> entries;
  std::vector<int> missing;
};

struct FileSpace {
  std::uint64_t total = 0;  // bytes, of the host's file system
  std::uint64_t free = 0;
};

struct OpenOptions {
  int home = -1;  // where a file lies that is made; -1: on the task's own cell
};

// For utimens: leave it; now.
inline constexpr std::int64_t time_omit = INT64_MIN;
inline constexpr std::int64_t time_now = INT64_MIN + 1;

// An open file, or directory (for fstat and fsync only). EBADF: it is closed, or not open for
// that.
class File {
 public:
  File(File&&) noexcept;
  File& operator=(File&&) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();  // closes

  // Bytes that were read; fewer than asked for: the file ends there, or an error came after them.
  // What is in `out` behind them is undefined.
  Result<std::size_t> read(std::span<std::byte> out);
  Result<std::size_t> pread(std::span<std::byte> out, std::int64_t offset);
  // Bytes that were written; fewer than given: ask again to hear why. With O_APPEND each call's
  // first 64 KiB go to the end as a whole, wherever that is by then; the offset plays no part.
  // Errors: EFBIG (about 16 TiB), ENOSPC, EIO.
  Result<std::size_t> write(std::span<const std::byte> bytes);
  Result<std::size_t> pwrite(std::span<const std::byte> bytes, std::int64_t offset);
  // SEEK_SET, SEEK_CUR, SEEK_END. Returns the new offset. Errors: EINVAL.
  Result<std::uint64_t> lseek(std::int64_t offset, int whence);

  Result<FileInfo> fstat() const;
  Result<void> ftruncate(std::int64_t size);  // EINVAL (not open for writing), EFBIG
  // Maps [offset, offset + length) of the file, whether or not it is as long as that (mapping.h).
  // `protection`: PROT_READ, PROT_READ | PROT_WRITE; `flags`: MAP_SHARED, MAP_PRIVATE. The mapping
  // does not need this File any more. Errors: EACCES (not open for reading; shared and writable:
  // or for writing too), EINVAL (no bytes, an offset that is no multiple of 4096, other flags),
  // ENODEV (a directory), EOVERFLOW, ENOMEM (too many mappings), EMFILE, EOPNOTSUPP (a machine
  // without firewall), EIO.
  Result<Mapping> mmap(std::uint64_t length, int protection, int flags, std::int64_t offset) const;
  // What was written is on the disk when it succeeds, and so is the file's name when this File
  // made it. Of a directory: the names in it.
  Result<void> fsync();
  Result<void> fchmod(mode_t mode);
  Result<void> futimens(std::int64_t accessed_ns, std::int64_t modified_ns);

  // Closing twice is fine.
  void close();

 private:
  friend class FileSystem;
  explicit File(std::unique_ptr<lib::FileImpl> impl);
  std::unique_ptr<lib::FileImpl> impl_;
};

// The name space as a task sees it. From Session::files(); copies are the same.
class FileSystem {
 public:
  // `flags` of <fcntl.h>: O_RDONLY, O_WRONLY, O_RDWR, and O_CREAT, O_EXCL, O_TRUNC, O_APPEND,
  // O_DIRECTORY, O_NOFOLLOW, O_DSYNC, O_SYNC. A task has at most 1024 files of one home open
  // (EMFILE).
  Result<File> open(std::string_view path, int flags, mode_t mode = 0666,
                    const OpenOptions& options = {}) const;

  Result<FileInfo> stat(std::string_view path) const;
  Result<FileInfo> lstat(std::string_view path) const;  // does not follow a link at the end
  Result<void> mkdir(std::string_view path, mode_t mode = 0777) const;
  Result<void> rmdir(std::string_view path) const;
  Result<void> unlink(std::string_view path) const;
  Result<void> rename(std::string_view from, std::string_view to) const;
  Result<void> symlink(std::string_view target, std::string_view path) const;
  Result<std::string> readlink(std::string_view path) const;
  Result<void> chmod(std::string_view path, mode_t mode) const;
  // Nanoseconds since 1970, time_omit or time_now.
  Result<void> utimens(std::string_view path, std::int64_t accessed_ns,
                       std::int64_t modified_ns) const;
  // All of it at once; a name that is there all the time is in the list once.
  Result<DirectoryList> readdir(std::string_view path) const;

  // Of the disk of a cell. Errors: EINVAL (no such cell).
  Result<FileSpace> space(int cell) const;

 private:
  friend class Session;
  explicit FileSystem(std::shared_ptr<lib::SessionImpl> impl);
  std::shared_ptr<lib::SessionImpl> impl_;
};

}  // namespace hive

// The content of files, as the file service of a data home uses it, and the host's files behind.
//
//   auto content = cache.open(number, [&] { return HostFile::open(path); });  // page_cache.h
//   if (auto done = (*content)->write(offset, bytes); !done) return errno_of(done.error());
//   ... (*content)->flush();  // fsync
//   content->reset();         // the descriptor is closed; what is dirty is written back in time
//
// Errors are values whose `sys_errno` is what POSIX says to the caller. Besides those that a call
// lists, all can give
//   host, EIO          the host's file failed, or the frames did
//   exhausted, ENOMEM  no frame is to be had, however long one writes back
//   busy, EAGAIN       somebody else's I/O on the same pages takes longer than content_wait_max_ns
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include <hive/error.h>
#include "base/time.h"

namespace hive::cell {

// Of a file, on its data home; never used again while anything of the old one is in use. Not 0.
using FileNumber = std::uint64_t;

inline constexpr std::size_t content_call_bytes_max = 64 << 10;
// Pages of 4 KiB are counted with 32 bits.
inline constexpr std::uint64_t content_bytes_max = (std::uint64_t{1} << 44) - 4096;
inline constexpr std::uint64_t content_wait_max_ns = 30 * ns_per_s;

// Thread-safe. Every call but size() may block for as long as the host's disk does: they belong on
// workers, never on the receive loop. Writes, appends and truncations of one file happen one after
// the other; a read beside a write may see a part of it.
class FileContent {
 public:
  virtual ~FileContent() = default;

  // Copies what is there into `out`, at most content_call_bytes_max bytes. Fewer: the file ends
  // there. Errors: bad_argument, EINVAL (more bytes than that).
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) = 0;

  // Stores bytes, at most content_call_bytes_max; the file grows as needed, and reads as zero
  // where nothing was written. Fewer than given: the rest had no room; ask again to hear why. Not
  // on the disk before flush(). Errors: bad_argument with EINVAL or EFBIG; exhausted, ENOSPC
  // (nothing cached can be written back).
  virtual Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  // The same at the end of the file, wherever that is by then.
  struct Appended {
    std::uint64_t offset = 0;  // where they begin
    std::size_t bytes = 0;
  };
  virtual Result<Appended> append(std::span<const std::byte> bytes) = 0;

  // Errors: bad_argument, EFBIG; exhausted, ENOSPC. After an error the file is as it was.
  virtual Result<void> truncate(std::uint64_t bytes) = 0;

  // fsync: all that was written before is on the disk when it succeeds. Errors: exhausted, ENOSPC;
  // host, EIO; also once for a write-back that has failed since the last flush. What could not be
  // written stays cached and dirty, and the next flush tries again.
  virtual Result<void> flush() = 0;

  virtual std::uint64_t size() const = 0;

  // Forgets what is cached, also what is dirty: the file is what is on the disk. For a file that
  // nobody can reach any more, and for discard. Errors: busy; host.
  virtual Result<void> drop() = 0;
};

// The file of the host that content lies in. Called from many threads at once, with memory of the
// cell's own: never with a frame.
class FileBacking {
 public:
  virtual ~FileBacking() = default;
  // Fewer bytes than asked for: the file ends there. Errors: host.
  virtual Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) = 0;
  // All of it, or an error: then any part may have been written. Errors: exhausted (ENOSPC,
  // EDQUOT, EFBIG), host.
  virtual Result<void> pwrite(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual Result<void> fdatasync() = 0;
  virtual Result<void> truncate(std::uint64_t bytes) = 0;
  virtual Result<std::uint64_t> size() = 0;
};

using MakeBacking = std::function<Result<std::unique_ptr<FileBacking>>()>;

}  // namespace hive::cell

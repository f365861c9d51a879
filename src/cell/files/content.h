// The content of files, as the file service of a data home uses it, and the host's files behind.
//
//   auto content = cache.open(number, [&] { return HostFile::open(path); });  // page_cache.h
//   if (auto done = (*content)->write(offset, bytes); !done) return errno_of(done.error());
//   ... (*content)->flush();  // fsync
//   content.reset();          // the descriptor is closed; what is dirty is written back in time
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
#include <optional>
#include <span>
#include <vector>

#include <hive/error.h>
#include "base/time.h"
#include "cell/frames/cache_frames.h"

namespace hive::cell {

// Of a file, on its data home; never used again while anything of the old one is in use. Not 0.
using FileNumber = std::uint64_t;

inline constexpr std::size_t content_call_bytes_max = 64 << 10;
// Pages of 4 KiB are counted with 32 bits.
inline constexpr std::uint64_t content_bytes_max = (std::uint64_t{1} << 44) - 4096;
inline constexpr std::uint64_t content_wait_max_ns = 30 * ns_per_s;

// Thread-safe. All calls but write_now(), size(), record(), set_generation() may block for as long
// as the host's disk does: they belong on workers, never on the receive loop. Writes, appends and
// truncations of one file happen one after the other; a read beside a write may see a part of it.
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

  // The same of whole pages, if it has to wait for no disk, no frame and nobody else. False: any of
  // it may have been stored, or none; write() does the rest. Short enough for a gate worker.
  virtual bool write_now(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  // The same as write() at the end of the file, wherever that is by then.
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

  // For mappings: the frame that holds the page now, brought in if need be, and those that hold
  // others of [first, first + count). Any of them may leave its frame at any time, and has another
  // sequence number then. Errors: bad_argument, ENXIO (the file ends before the page).
  virtual Result<std::vector<HeldFrame>> hold(std::uint32_t page, std::uint32_t first,
                                              std::uint32_t count) = 0;
  // Somebody is about to store to it through a mapping: it is dirty until it has been closed and
  // written back. Errors: busy (the page has left the frame).
  virtual Result<void> expect_stores(const HeldFrame& held) = 0;
  // Where the FileRecord is published (file_record.h), as long as this is not destroyed; 0: the
  // heap had no room, and nobody reads this file in place.
  virtual std::uint64_t record() const = 0;
  // Readers in place that have opened the file with another generation get an error from now on.
  virtual void set_generation(std::uint64_t generation) = 0;

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
  // When it was changed last: nanoseconds since 1970. Errors: host.
  virtual Result<void> set_modified(std::int64_t ns) = 0;
};

using MakeBacking = std::function<Result<std::unique_ptr<FileBacking>>()>;

// What the disk does not know yet of a file, since its content is cached.
struct ContentStatus {
  std::uint64_t bytes = 0;            // the size
  std::uint64_t unwritten_bytes = 0;  // whole pages
  std::int64_t modified_ns = 0;       // since 1970; 0: what the disk says
  std::int64_t changed_ns = 0;        // the same; of the content
};

// Where content comes from. Thread-safe; open(), forget() and set_modified() block for as long as
// the disk does.
class ContentSource {
 public:
  virtual ~ContentSource() = default;

  // The same content for everybody who has the file open. `make` is called if the file is not
  // cached, perhaps for nothing, with no lock held. Errors: those of `make`, and of its size();
  // not_found, ENOENT (it is being forgotten).
  virtual Result<std::shared_ptr<FileContent>> open(FileNumber number,
                                                    const MakeBacking& make) = 0;

  // A file that is about to be removed: its pages go, also the dirty ones, and no new ones come;
  // who still has the content hears EBADF. Errors: busy, and then the pages go later.
  virtual Result<void> forget(FileNumber number) = 0;

  // Nothing: the disk knows all. Ask this before the disk: what is known here and written in
  // between is on the disk by then.
  virtual std::optional<ContentStatus> status(FileNumber number) const = 0;

  // Of all files.
  virtual std::uint64_t unwritten_bytes() const = 0;

  // What these frames hold is not to be believed any more: whoever could store there has died.
  // They are not written back from now on; what a reader copies out of them is anything at all,
  // so descriptors have to be told before. Does not block.
  virtual void doubt(std::span<const HeldFrame> frames) = 0;
  // The file is without what was doubted: on the disk, or zero. Errors: busy; those of open().
  virtual Result<void> drop_doubted(FileNumber number) = 0;

  // After it was set on the disk: write-back keeps it from now on.
  virtual void set_modified(FileNumber number, std::int64_t ns) = 0;
};

}  // namespace hive::cell

// What a page cache knows of its frames and files besides what it publishes. All of it is guarded
// by the cache's mutex, but for what says otherwise.
#pragma once

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include <hive/error.h>
#include "cell/files/cache_table.h"
#include "cell/files/content.h"
#include "cell/files/file_record.h"

namespace hive::cell::files {

struct CacheFile;

// A frame is
//   absent     not the cache's
//   spare      the cache's, holding nothing; in a list of its own
//   moving     with one thread, which is about to put a page into it or to give it back
//   filling    linked in the table, with one thread, which fills it, or takes it from those who
//              have it mapped; others wait
//   ready      linked, with content
// and goes absent -> moving -> filling -> ready -> moving -> absent, or to spare in between.
enum class PageState : std::uint8_t { absent, spare, moving, filling, ready };

struct CachePage {
  CacheFile* file = nullptr;  // while filling or ready
  std::uint32_t page = 0;
  std::uint32_t ring_at = 0;  // where it is in the ring of the clock hand, while ready
  std::uint32_t file_before = no_frame;  // the list of the file's frames
  std::uint32_t file_after = no_frame;
  std::uint32_t pins = 0;  // threads that copy into or out of it
  PageState state = PageState::absent;
  bool referenced = false;  // since the hand passed, by a call
  bool used = false;        // since give_up_idle() passed
  bool writing = false;     // its content is being written to the disk
  bool lost = false;        // what its frame held is: it leaves as soon as nobody is at work on it
  bool stored_to = false;   // through a mapping: also behind the end of the file, perhaps
  bool doubted = false;     // who could store there has died; it is about to be dropped
  std::uint32_t passed = 0;  // the sweep in which the hand passed last
  std::uint64_t dirty = 0;  // when it became so first, by the cache's count; 0: it is clean
  std::uint64_t written = 0;  // when it was written back last, by the same count
  std::uint64_t due_ns = 0;       // while dirty: its place in the order of write-back
  std::uint64_t tries_at_ns = 0;  // not to be written back in the background before
};

struct FreeRecord {
  TaggedHeap* heap = nullptr;
  void operator()(FileRecord* record) const { heap->destroy(record); }
};

// A file that has pages here, or that somebody has open.
struct CacheFile {
  FileNumber number = 0;
  std::unique_ptr<FileBacking> backing;  // thread-safe
  std::uint64_t size = 0;  // changed by set_size() only
  std::unique_ptr<FileRecord, FreeRecord> record;  // published; null: the heap was full
  std::int64_t modified_ns = 0;  // since 1970; 0: as on the disk. Write-back puts it there
  std::int64_t changed_ns = 0;   // the same, as nobody can set it
  bool is_gone = false;          // it is being removed: no page comes any more
  std::uint32_t opens = 0;
  std::uint32_t first_frame = no_frame;  // the list of its frames
  std::uint32_t frames = 0;
  std::map<std::uint32_t, std::uint32_t> dirty;  // page -> frame
  std::uint32_t writing = 0;                     // pages in batches
  std::uint32_t leaving = 0;                     // frames that are being taken from mappings

  // Who is at work on it. Reads and read-ahead go beside each other and beside one write; a
  // truncation goes alone.
  std::uint32_t readers = 0;
  bool writer = false;
  bool alone = false;
  std::uint32_t waits_alone = 0;  // no new readers or writers while somebody waits for that
  // Of pages being written back, by number, and when the first of them became dirty.
  std::map<std::uint64_t, std::uint64_t> batches;

  // To be told by the next flush.
  std::optional<Error> failed;
  Error last_failure = error(Code::host, "a page could not be written back", -1, EIO);
  std::uint64_t written = 0;  // when its disk was changed last, by the cache's count
  std::uint64_t synced = 0;  // all that was written back by then, by the cache's count, is on disk
  std::uint64_t sync_failures = 0;
  bool syncing = false;  // by one thread

  // Of a reader who goes from the beginning to the end.
  std::uint64_t disk_ns = 0;      // how long its disk took to answer last
  std::uint64_t next_read = 0;    // where it would go on
  std::uint32_t ahead_pages = 0;  // how far to read ahead; 0: nobody goes on
  std::uint32_t ahead_until = 0;  // the first page that was not asked for

  void set_size(std::uint64_t bytes) {
    size = bytes;
    if (record) record->size.store(bytes, std::memory_order_release);
  }
};

// The bytes of a page that the file has.
inline std::uint32_t bytes_in_page(const CacheFile& file, std::uint32_t page) {
  const std::uint64_t begin = std::uint64_t{page} * machine::page_bytes;
  if (file.size <= begin) return 0;
  const std::uint64_t bytes = file.size - begin;
  return static_cast<std::uint32_t>(bytes < machine::page_bytes ? bytes : machine::page_bytes);
}

inline std::uint32_t pages_of(std::uint64_t bytes) {
  return static_cast<std::uint32_t>((bytes + machine::page_bytes - 1) / machine::page_bytes);
}

}  // namespace hive::cell::files

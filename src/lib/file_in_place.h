// Reading an open file without leaving the process: its cached pages are copied out of the frames
// that they lie in. What can't be had that way is asked of the data home, by the caller.
//
// INVARIANT. Bytes are returned only if the sequence number of their frame, at its memory home,
// was the same even number before and after the copy, and the tag of the frame was this page's
// when it had that number. And only if the file was not cut meanwhile, nor has lost content since
// it was opened, and its home and the frame's are up.
//
// Thread-safe. No call may be made in a signal handler.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "lib/session_impl.h"
#include "proto/pages.h"

namespace hive::lib {

// Pages that are looked up, copied and checked in one go.
inline constexpr std::uint32_t part_pages_max = 16;
inline constexpr int in_place_tries_max = 3;
// Where the pages of a file lie that were read last; each is remembered in the process.
inline constexpr std::uint32_t places_max = 4096;

// A file as its home opened it.
struct OpenedFile {
  std::uint64_t number = 0;
  std::uint64_t record = 0;  // address of its FileRecord; 0: it has none
  std::uint64_t generation = 0;
};

class FileInPlace {
 public:
  // Both outlive it.
  FileInPlace(SessionImpl& session, Peer& home, const OpenedFile& file) noexcept;
  FileInPlace(const FileInPlace&) = delete;
  FileInPlace& operator=(const FileInPlace&) = delete;

  struct Read {
    std::size_t bytes = 0;    // that were copied
    bool is_end = false;      // the file ends there
    std::size_t missing = 0;  // what follows, and has to be asked for
  };
  // Copies from the beginning of the range as far as pages are to be had. What is in `out` behind
  // that is undefined. `missing_max`: of what is asked for at once.
  Read read(std::uint64_t offset, std::span<std::byte> out, std::size_t missing_max);

  // None: ask the home.
  std::optional<std::uint64_t> size() const noexcept;

 private:
  struct Place {
    std::uint64_t sequence = 0;
    Peer* memory_home = nullptr;  // null: nothing is known of the page
    std::uint32_t page = 0;
    std::uint32_t frame = 0;
    std::uint32_t entry = 0;
  };
  // What the steps of one read have in common.
  struct Reading {
    std::vector<Place>* known = nullptr;  // null: another thread has it
    std::uint32_t sweep = 0;
  };
  struct Part {
    std::size_t bytes = 0;
    bool is_missing = false;  // what follows it
  };

  bool look(proto::FileRecord& record) const noexcept;
  Read read_once(std::uint64_t offset, std::span<std::byte> out, std::size_t missing_max,
                 Reading& reading);
  Part read_part(std::uint64_t offset, std::span<std::byte> out, Reading& reading);
  std::optional<Place> place_of(std::uint32_t page, Reading& reading);
  std::optional<Place> find(std::uint32_t page);
  bool holds(const Place& place) const noexcept;
  bool copy(std::span<const Place> places, std::size_t skip, std::span<std::byte> out) noexcept;
  bool is_up(std::span<const Place> places) const noexcept;
  void ask_for(std::span<const Place> places, Reading& reading);
  std::size_t missing_bytes(std::uint64_t offset, std::size_t most, Reading& reading);
  void mark(const Place& place, std::uint32_t sweep) noexcept;

  SessionImpl& session_;
  Peer& home_;
  const OpenedFile file_;
  const bool trusts_;              // Sabotage::sequence
  std::uint32_t record_count_ = 0;  // of the record's tag
  bool is_usable_ = false;

  std::mutex mutex_;             // never waited for
  std::vector<Place> places_;    // guarded by mutex_; a page has one place where it may be
  std::uint64_t next_ = 0;       // guarded by mutex_; where one would go on who reads all
  std::uint32_t ahead_ = 0;      // guarded by mutex_; how many pages he asks for beyond
};

}  // namespace hive::lib

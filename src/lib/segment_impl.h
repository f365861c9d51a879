// An open segment: what Segment, WriteWindow and the helpers of sync.h hold on to. Offsets and
// pages here count from the beginning of the segment.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <hive/error.h>
#include <hive/window.h>
#include "lib/session_impl.h"

namespace hive::lib {

class LockImpl;

// Where a segment lies, as its home said and we checked.
struct SegmentPlace {
  std::uint64_t id = 0;
  machine::PageRange pages;  // of the node
  const std::uint32_t* losses = nullptr;  // in the home's kernel memory; read with care
};

// Pages that are asked for with one call; the home answers them with one system call for each gap.
inline constexpr std::uint32_t give_pages_max = 256;
// read() copies this much before it looks whether that went well.
inline constexpr std::uint64_t read_chunk_bytes = 64 * 1024;
// How often a page may be taken away between being given and being read, before read() gives up.
inline constexpr int read_tries_max = 64;

// Thread-safe. No call may be made in a signal handler.
class SegmentImpl {
 public:
  SegmentImpl(std::shared_ptr<SessionImpl> session, Peer* peer, std::string name,
              const SegmentPlace& place);
  ~SegmentImpl();
  SegmentImpl(const SegmentImpl&) = delete;
  SegmentImpl& operator=(const SegmentImpl&) = delete;

  std::byte* data() const { return data_; }
  std::uint64_t bytes() const { return std::uint64_t{place_.pages.count} * machine::page_bytes; }
  CellId home() const { return peer_->cell(); }
  const std::string& name() const { return name_; }
  std::uint64_t id() const { return place_.id; }
  const std::shared_ptr<SessionImpl>& session() const { return session_; }
  Peer& peer() const { return *peer_; }

  // The mutex or condition of that name; one object for each in this process.
  Result<std::shared_ptr<LockImpl>> lock(proto::LockKind kind, std::string_view name);

  // Tears the windows that are open through this object and closes the segment. Twice is fine.
  void close() noexcept;

  // A call to the home, which may hand on any of its errors; bad_argument after close().
  Result<GateValues> call(const GateCall& call) const;

  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const;
  // How often pages of the segment have been torn so far. Errors: cell_down.
  Result<std::uint32_t> losses() const;
  Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes);
  Result<void> touch(std::uint64_t offset, std::uint64_t length) const;
  Result<void> reset(std::uint64_t offset, std::uint64_t length);
  Result<void> destroy();

  // The pages that hold the range. Errors: bad_argument (it does not lie in the segment).
  Result<machine::PageRange> pages_of(std::uint64_t offset, std::uint64_t length) const;

  Result<std::uint32_t> open_window(machine::PageRange pages, WindowMode mode);
  // Both end the window in every case. A window that close() has torn is `lost`.
  Result<void> commit_window(std::uint32_t window);
  void abort_window(std::uint32_t window) noexcept;

 private:
  struct OpenWindow {
    std::uint32_t id;
    machine::PageRange pages;  // of the node
  };

  machine::PageRange on_node(machine::PageRange pages) const {
    return {place_.pages.first + pages.first, pages.count};
  }
  Result<void> copy_out(std::uint64_t offset, std::span<std::byte> out) const;
  Result<void> give(machine::PageRange pages) const;
  // `range` is `pages` as the node counts them.
  Result<std::uint32_t> ask_for_window(machine::PageRange pages, machine::PageRange range,
                                       WindowMode mode);
  Result<GateValues> end_window(const OpenWindow& window, proto::GateOp op) noexcept;
  bool forget_window(std::uint32_t id, OpenWindow& out);

  const std::shared_ptr<SessionImpl> session_;
  Peer* const peer_;  // as long as the session object
  const std::string name_;
  const SegmentPlace place_;
  std::byte* const data_;
  const int name_ticket_;
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::vector<OpenWindow> windows_;  // guarded by mutex_
  struct OpenLock {
    proto::LockKind kind;
    std::string name;
    machine::PageRange page;  // of the node
    std::shared_ptr<LockImpl> lock;
  };
  std::vector<OpenLock> locks_;  // guarded by mutex_
};

// What Session does with segments; see session.h for the errors.
Result<std::shared_ptr<SegmentImpl>> create_segment(const std::shared_ptr<SessionImpl>& session,
                                                    std::string_view name, std::uint64_t bytes,
                                                    CellId home, std::uint64_t flags);
Result<std::shared_ptr<SegmentImpl>> open_segment(const std::shared_ptr<SessionImpl>& session,
                                                  std::string_view name,
                                                  std::chrono::nanoseconds wait);

}  // namespace hive::lib

// A segment is a named, contiguous range of memory whose home is one cell. Every task that opens
// it sees it at the same machine-wide address, so plain pointers inside a segment work in every
// task.
//
// Loads go straight to memory; the first touch of a page costs a fault that gives 64 KiB around.
// Stores need a write window (window.h): without one they are a SIGBUS in the task that stored.
//
// When the home fails, or a range is torn, a plain load from it ends the task with a message that
// names the cell. Programs that want to survive that use read(), which returns an error instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>

#include <hive/error.h>
#include <hive/window.h>

namespace hive {

namespace lib {
class SegmentImpl;
}

inline constexpr std::uint64_t page_size = 4096;

// What becomes of the pages of a window whose task dies, or closes it without commit.
enum class OnLoss : std::uint8_t {
  tear,      // they are torn: everybody gets `lost` until somebody resets them
  rollback,  // they get back what they held when the window was opened. The home copies them each
             // time a window is opened; windows are exclusive ones. If the home fails they are
             // lost. Readers see stores of an open window, as always, until they are taken back,
             // some milliseconds after the death; with Versioned<T> they would not.
};

struct SegmentOptions {
  int home = -1;      // cell whose memory holds it; -1: the task's own cell
  bool keep = false;  // stay when the last task has closed it, until destroy()
  OnLoss on_loss = OnLoss::tear;
};

class Segment {
 public:
  Segment(Segment&&) noexcept;
  Segment& operator=(Segment&&) noexcept;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment();  // closes it; an open window of it is torn

  const std::byte* data() const;  // machine-wide address, page aligned
  std::uint64_t size() const;     // bytes, a multiple of page_size
  int home() const;
  const std::string& name() const;

  template <class T>
  const T* at(std::uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>,
                  "a segment holds trivially copyable types only");
    return reinterpret_cast<const T*>(data() + offset);
  }

  // Opens [offset, offset + length) to stores by this task, widened to whole pages. By default no
  // other task may have a window on the same pages (busy). Blocks for one round trip to the home.
  // Errors: busy, lost (the range is torn: reset it first), cell_down, timed_out, bad_argument.
  Result<WriteWindow> write(std::uint64_t offset, std::uint64_t length,
                            WindowMode mode = WindowMode::exclusive);
  Result<WriteWindow> write_all(WindowMode mode = WindowMode::exclusive);

  // Has the home store bytes: one round trip, no window. If this task dies meanwhile, each 4096
  // bytes from the first are stored whole or not at all (within a page), and nothing is torn. For
  // small things; a window is faster for more than a few pages, and for stores in place. Errors:
  // busy (another task has an exclusive window there), lost (the range is torn: reset it first),
  // cell_down, timed_out (it may have been stored), bad_argument.
  Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes);
  template <class T>
  Result<void> put_as(std::uint64_t offset, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>,
                  "a segment holds trivially copyable types only");
    return put(offset, std::as_bytes(std::span(&value, 1)));
  }

  // Copies bytes out without ever raising a signal. Errors: lost, cell_down, bad_argument.
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const;
  template <class T>
  Result<T> read_as(std::uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>,
                  "a segment holds trivially copyable types only");
    T value{};
    auto bytes = std::span(reinterpret_cast<std::byte*>(&value), sizeof value);
    if (auto done = read(offset, bytes); !done) return fail(done.error());
    return value;
  }

  // Makes every page of the range present in this task, so that the touches that follow do not
  // fault, and system calls can read from it. Errors: lost, cell_down.
  Result<void> touch(std::uint64_t offset, std::uint64_t length) const;

  // Gives up what a torn range held: its pages become zero and usable again. Ranges that are not
  // torn are left as they are. Errors: busy (a window is open there), cell_down.
  Result<void> reset(std::uint64_t offset, std::uint64_t length);

  // Removes the name now and the memory when the last task closes it. Errors: cell_down.
  Result<void> destroy();

  std::shared_ptr<lib::SegmentImpl> impl() const { return impl_; }  // for the helpers of sync.h

 private:
  friend class Session;
  explicit Segment(std::shared_ptr<lib::SegmentImpl> impl);
  std::shared_ptr<lib::SegmentImpl> impl_;
};

}  // namespace hive

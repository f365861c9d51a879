// A write window: open a range of a segment, store at the speed of memory, commit.
//
//   auto w = segment.write(offset, length);
//   if (!w) return report(w.error());
//   std::memcpy(w->data(), source, length);
//   if (auto done = w->commit(); !done) return report(done.error());
//
// A window that is destroyed without commit, or whose task dies, leaves its range torn: everybody
// else gets `lost` for it until somebody resets it. Readers see stores as they happen; a window is
// protection, not a transaction.
//
// Thread-safety: a window may be moved between threads; commit() is called once. Stores through it
// may be made by any thread of the task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include <hive/error.h>

namespace hive {

namespace lib {
class SegmentImpl;
}

enum class WindowMode : std::uint8_t {
  exclusive,  // no other window on the same pages
  shared,     // others with `shared` may store there too; if one tears it, all lose it
};

class WriteWindow {
 public:
  WriteWindow(WriteWindow&&) noexcept;
  WriteWindow& operator=(WriteWindow&&) noexcept;
  WriteWindow(const WriteWindow&) = delete;
  WriteWindow& operator=(const WriteWindow&) = delete;
  ~WriteWindow();  // an uncommitted window is torn

  std::byte* data() const;       // the address of `offset` as asked for
  std::uint64_t length() const;  // as asked for
  std::span<std::byte> bytes() const { return {data(), static_cast<std::size_t>(length())}; }

  template <class T>
  T* at(std::uint64_t offset_in_window) const {
    static_assert(std::is_trivially_copyable_v<T>,
                  "a segment holds trivially copyable types only");
    return reinterpret_cast<T*>(data() + offset_in_window);
  }

  // Closes the window. After it returns, a store to the range by this task is a SIGBUS again.
  // Errors: cell_down (the home has failed: the content is lost), timed_out, lost (the range was
  // torn under us by another holder of a shared window).
  Result<void> commit();

  bool is_open() const { return impl_ != nullptr; }

 private:
  friend class Segment;
  WriteWindow(std::shared_ptr<lib::SegmentImpl> impl, std::uint32_t id, std::byte* data,
              std::uint64_t length);
  std::shared_ptr<lib::SegmentImpl> impl_;  // null once committed or moved from
  std::uint32_t id_ = 0;
  std::byte* data_ = nullptr;
  std::uint64_t length_ = 0;
};

}  // namespace hive

// Reading in place, for who does not want a copy and does not want to die of a failed home either.
//
// A plain load from a segment whose home has failed, or from a torn range, is a bus error, which
// ends the task. Two things help. A view says whether what it shows is still what was there: look,
// use, look again. And guarded() runs a piece of code in which such a bus error is an error value:
//
//   auto sum = 0.0;
//   auto read = hive::guarded([&] { for (const Quote& q : quotes->items()) sum += q.price; });
//   if (!read || !quotes->valid()) return read_another_way();
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include <hive/error.h>
#include <hive/segment.h>

namespace hive {

// How often pages of a segment have been torn so far. Errors: cell_down, refused.
Result<std::uint32_t> segment_losses(const lib::SegmentImpl& segment);

// Some items of a segment, in place. Valid for as long as the home lives and no page of the
// *segment* has been torn since it was made. It says nothing of stores of a writer who is at work:
// see versioned.h for that. Thread-safety: any thread.
template <class T>
class View {
  static_assert(std::is_trivially_copyable_v<T>, "a segment holds trivially copyable types only");

 public:
  const T* data() const { return items_.data(); }
  std::size_t size() const { return items_.size(); }
  std::span<const T> items() const { return items_; }
  const T& operator*() const { return items_.front(); }
  const T* operator->() const { return items_.data(); }

  // Some nanoseconds; no call. False once it has been false: make a new view.
  bool valid() const {
    const auto losses = segment_losses(*segment_);
    return losses && *losses == losses_;
  }

 private:
  template <class U>
  friend Result<View<U>> view(const Segment& segment, std::uint64_t offset, std::size_t count);
  View(std::shared_ptr<lib::SegmentImpl> segment, std::span<const T> items, std::uint32_t losses)
      : segment_(std::move(segment)), items_(items), losses_(losses) {}

  std::shared_ptr<lib::SegmentImpl> segment_;
  std::span<const T> items_;
  std::uint32_t losses_;
};

// A view of `count` items at the offset; their pages are made present. Errors: lost (a page of
// them is torn), cell_down, bad_argument (outside the segment, or not aligned for the type).
template <class T>
Result<View<T>> view(const Segment& segment, std::uint64_t offset, std::size_t count = 1) {
  const auto losses = segment_losses(*segment.impl());
  if (!losses) return fail(losses.error());
  if (offset % alignof(T) != 0 || count == 0 || count > segment.size() / sizeof(T)) {
    return fail(Code::bad_argument, "the view lies outside the segment, or is not aligned",
                segment.home());
  }
  if (auto here = segment.touch(offset, count * sizeof(T)); !here) return fail(here.error());
  return View<T>(segment.impl(), {segment.at<T>(offset), count}, *losses);
}

namespace lib {
Result<void> run_guarded(void (*body)(void*), void* argument);
}

// Runs body(). A load from memory of a cell in it that cannot be served (lost, cell_down), or a
// store without a window (refused), ends it there and then, by a jump: no destructor of body's own
// runs, so it should make no objects that own something. Locks and memory that it holds by others
// stay held. All other faults are the program's, as always. Can be nested; each thread by itself.
template <class Body>
Result<void> guarded(Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  return lib::run_guarded([](void* argument) { (*static_cast<Plain*>(argument))(); },
                          const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace hive

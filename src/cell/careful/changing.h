// A structure that its owner changes while other cells read it (a sequence lock).
//
//   struct Published { static constexpr ...; TypeTag tag; Changing<Load> load; };
//   published->load.update([](Load& l) { ++l.runnable; });   // owner: one thread at a time
//   reader.read_changing<Load>(address of published->load);  // careful.h, on another cell
//
// The sequence is odd while a change is under way. Readers never write, so they never disturb the
// owner, and an owner that dies in the middle leaves it odd: readers get `busy`.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace hive::cell {

template <class T>
class Changing {
 public:
  static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>,
                "only plain data can be read while it changes");

  // Owner. Between begin() and end() the value may be stored to.
  T& begin() {
    sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // odd is seen before any change
    return value_;
  }
  void end() {
    sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  template <class Change>
  void update(Change&& change) {
    change(begin());
    end();
  }
  void set(const T& value) {
    begin() = value;
    end();
  }

  // The owner's own view, or what a copy holds; nothing is checked.
  const T& unchecked() const { return value_; }

 private:
  friend class CarefulReader;
  std::atomic<std::uint32_t> sequence_{0};  // first: read_steady() relies on it
  T value_{};
};

}  // namespace hive::cell

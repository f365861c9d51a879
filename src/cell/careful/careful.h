// Careful reference: how a cell reads another cell's kernel memory without trusting it.
//
//   CarefulReader reader(layout, cell, &counters);
//   auto root = reader.read<CellRoot>(address);          // Result<CarefulCopy<CellRoot>>
//   if (!root) return fail(root.error());                // corrupt, busy or cell_down
//   use((*root)->pid);                                   // a local copy: it can't change any more
//   auto table = reader.follow<Table>(pointer_address);  // a published pointer and its target
//   reader.walk_list<Entry>(first, &Entry::next, entries_max,
//       [&](const Entry& e, std::uint64_t at) { ...; return true; });  // false ends the walk
//   auto now = reader.read_changing<Load>(address);      // of a Changing<Load>
//
// Each read checks, in this order: that the address is aligned and [address, address + size) lies
// in the kernel memory of the cell that is expected; the type tag; it copies everything to local
// memory with a routine that turns a bus error into an error; and checks that the tag, with its
// allocation count, is still the same. Values inside the copy are as the other cell left them:
// whoever uses them as an index, a length or a pointer checks them first.
//
// Any thread; never blocks, never allocates; no locks. Needs a fault handler that calls
// safe_copy_fixup(). Errors, always with the number of the cell that was read:
//   corrupt    a check failed; a hint that the cell is not sane. Also given to the hook.
//   busy       the structure was changed or freed while it was read; reading again may do.
//   cell_down  a bus error: the memory is gone. A hint too.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include <hive/error.h>
#include "base/ids.h"
#include "base/safe_copy.h"
#include "cell/careful/changing.h"
#include "cell/heap/tagged_heap.h"
#include "machine/layout.h"
#include "machine/sabotage.h"

namespace hive::cell {

inline constexpr std::size_t heap_alignment = 64;
inline constexpr int follow_tries_max = 8;       // of a pointer whose target is replaced meanwhile
inline constexpr int changing_tries_max = 1000;  // of a structure that its owner is changing

// Causes of errors; each is one object, so that they can be told apart by address.
inline constexpr char careful_misaligned[] = "an address in the cell's memory is not aligned";
inline constexpr char careful_outside[] = "an address lies outside the cell's kernel memory";
inline constexpr char careful_bus_error[] = "bus error while reading the cell's memory";
inline constexpr char careful_free[] = "a pointer in the cell's memory leads to a free block";
inline constexpr char careful_other_type[] = "a structure in the cell's memory has another type";
inline constexpr char careful_reused[] = "the structure was freed or reused while it was read";
inline constexpr char careful_null[] = "the pointer in the cell's memory is null";
inline constexpr char careful_unsteady[] = "the structure keeps changing while it is read";
inline constexpr char careful_endless[] = "a list in the cell's memory is longer than its bound";

// A value that was copied out of another cell's memory. It may be of a type that can't be copied
// otherwise, because of the atomics in it.
template <class T>
class CarefulCopy {
 public:
  static_assert(std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>,
                "only plain data can be read from another cell");
  CarefulCopy() noexcept {}  // NOLINT: the bytes stay uninitialised until they are copied in

  const T& operator*() const { return *get(); }
  const T* operator->() const { return get(); }
  const T* get() const { return std::launder(reinterpret_cast<const T*>(bytes_)); }
  std::byte* bytes() { return bytes_; }

 private:
  alignas(T) std::byte bytes_[sizeof(T)];
};

// What one cell's checks came to, seen from here. `hook`, if set, is called for every failed check
// and bus error (not for busy), on the thread that read; it must not block.
struct CarefulCounters {
  std::atomic<std::uint64_t> corrupt{0};      // checks that failed, of which:
  std::atomic<std::uint64_t> bad_address{0};  // misaligned, outside
  std::atomic<std::uint64_t> bad_tag{0};      // free, of another type
  std::atomic<std::uint64_t> bus_errors{0};
  std::atomic<std::uint64_t> raced{0};
  void (*hook)(void* context, const Error& what) = nullptr;
  void* context = nullptr;
};

class CarefulReader {
 public:
  CarefulReader(const machine::Layout& layout, CellId cell, CarefulCounters* counters = nullptr,
                const machine::Sabotage& sabotage = {})
      : begin_(layout.kernel_begin(cell)),
        end_(layout.kernel_end(cell)),
        cell_(cell),
        trusts_(sabotage.careful),
        counters_(counters) {}

  CellId cell() const { return cell_; }

  // A structure of the cell's tagged heap.
  template <Tagged T>
  Result<CarefulCopy<T>> read(std::uint64_t address) const {
    Result<CarefulCopy<T>> copy;
    const char* cause = read_tagged(address, sizeof(T), T::type, copy->bytes());
    if (cause != nullptr) [[unlikely]] copy = failure(cause);
    return copy;
  }

  // Plain data without a tag. There is no way to see that it means what the caller thinks.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  Result<T> read_raw(std::uint64_t address) const {
    CarefulCopy<T> copy;
    const char* cause = read_bytes(address, sizeof(T), alignof(T), copy.bytes());
    if (cause != nullptr) [[unlikely]] return failure(cause);
    return *copy;
  }

  // Bytes, such as a part of an array whose bounds the caller knows.
  Result<void> read_bytes_to(std::uint64_t address, void* out, std::size_t size,
                             std::size_t alignment = 1) const {
    const char* cause = read_bytes(address, size, alignment, out);
    if (cause != nullptr) [[unlikely]] return failure(cause);
    return {};
  }

  // Reads the pointer at `pointer_address` and the structure that it names. A structure that is
  // replaced at that moment is looked up again; a pointer that stays and leads nowhere is corrupt.
  // not_found: the pointer is null.
  template <Tagged T>
  Result<CarefulCopy<T>> follow(std::uint64_t pointer_address) const {
    Result<CarefulCopy<T>> copy;
    const char* cause = follow_tagged(pointer_address, sizeof(T), T::type, copy->bytes());
    if (cause != nullptr) [[unlikely]] copy = failure(cause);
    return copy;
  }

  // Visits the list whose first element is at `first` (0: an empty list) and whose elements name
  // the next one in `next` (std::uint64_t, std::atomic<std::uint64_t> or T*). visit(const T&,
  // address) returns false to stop. Returns how many were visited. More than `bound` elements, and
  // so any cycle, is corrupt. busy: the list changed under the walk; what was visited was there.
  // The owner unlinks an element before it frees it.
  template <Tagged T, class Next, class Visitor>
  Result<std::uint32_t> walk_list(std::uint64_t first, Next T::*next, std::uint32_t bound,
                                  Visitor&& visit) const {
    std::uint64_t link = 0;  // address of the pointer that led here; 0 for the first
    std::uint64_t at = first;
    for (std::uint32_t visited = 0;; ++visited) {
      if (at == 0) return visited;
      if (visited == bound) return failure(careful_endless);
      CarefulCopy<T> element;
      const char* cause = read_tagged(at, sizeof(T), T::type, element.bytes());
      if (cause != nullptr) [[unlikely]] return failure(cause_if_linked(cause, link, at, T::type));
      if (!visit(*element, at)) return visited + 1;
      const Next& pointer = (*element).*next;
      const auto offset = reinterpret_cast<const std::byte*>(&pointer) - element.bytes();
      link = at + static_cast<std::uint64_t>(offset);
      at = as_address(pointer);
    }
  }
  // The same for a list whose first element is named by the pointer at `head_address`.
  template <Tagged T, class Next, class Visitor>
  Result<std::uint32_t> walk_list_at(std::uint64_t head_address, Next T::*next,
                                     std::uint32_t bound, Visitor&& visit) const {
    auto head = read_raw<std::uint64_t>(head_address);
    if (!head) return fail(head.error());
    return walk_list<T>(*head, next, bound, static_cast<Visitor&&>(visit));
  }

  // The value of the Changing<T> at `address`, as it was at one moment. busy: its owner was
  // changing it all the time, or has stopped in the middle.
  template <class T>
  Result<T> read_changing(std::uint64_t address) const {
    CarefulCopy<Changing<T>> copy;
    const char* cause =
        read_steady(address, sizeof(Changing<T>), alignof(Changing<T>), copy.bytes());
    if (cause != nullptr) [[unlikely]] return failure(cause);
    return copy->unchecked();
  }

  // Counts a check that the caller itself made on a copy and that failed, and returns the error.
  Failure reject(const char* cause) const { return failure(cause, Code::corrupt); }

 private:
  static std::uint64_t as_address(std::uint64_t value) { return value; }
  static std::uint64_t as_address(const std::atomic<std::uint64_t>& value) {
    return value.load(std::memory_order_relaxed);
  }
  template <class U>
  static std::uint64_t as_address(U* const& value) {
    return reinterpret_cast<std::uint64_t>(value);
  }

  // All return null, or the cause of the failure.
  const char* check(std::uint64_t address, std::size_t size, std::size_t alignment) const {
    if (trusts_) [[unlikely]] return nullptr;
    if (address % alignment != 0) [[unlikely]] return careful_misaligned;
    if (address < begin_ || address > end_ || size > end_ - address) [[unlikely]] {
      return careful_outside;
    }
    return nullptr;
  }
  const char* read_bytes(std::uint64_t address, std::size_t size, std::size_t alignment,
                         void* out) const {
    if (const char* cause = check(address, size, alignment)) return cause;
    return safe_copy(out, reinterpret_cast<const void*>(address), size) ? nullptr
                                                                        : careful_bus_error;
  }
  const char* read_tagged(std::uint64_t address, std::size_t size, std::uint32_t type,
                          void* out) const;
  const char* follow_tagged(std::uint64_t pointer_address, std::size_t size, std::uint32_t type,
                            void* out) const;
  const char* read_steady(std::uint64_t address, std::size_t size, std::size_t alignment,
                          void* out) const;
  const char* cause_if_linked(const char* cause, std::uint64_t link, std::uint64_t target,
                              std::uint32_t type) const;

  Failure failure(const char* cause) const;
  Failure failure(const char* cause, Code code) const;

  std::uint64_t begin_;
  std::uint64_t end_;
  CellId cell_;
  bool trusts_;  // Sabotage::careful
  CarefulCounters* counters_;
};

}  // namespace hive::cell

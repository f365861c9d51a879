// The kernel's heap: structures that other cells may read, in the node's kernel memory.
//
// Each object begins with a TypeTag that the allocator writes and the free routine removes. A
// reader on another cell checks it before it believes a structure; the count goes up with every
// allocation, so that reuse of memory for the same type is noticed between two reads.
//
//   struct Thing {
//     static constexpr std::uint32_t type = type_name("THNG");
//     TypeTag tag;
//     std::uint64_t value = 0;
//   };
//   TaggedHeap heap(begin, bytes);            // zeroed memory of this node
//   Thing* thing = heap.create<Thing>();      // null when the heap is full
//   ... publish its address; later unlink it from everything published, and then
//   heap.destroy(thing);
//
// Sizes are rounded up to powers of two from 64 bytes to 32 MiB, beyond that to pages. Memory that
// was freed serves only requests of the same rounded size; nothing is split or merged, so that a
// block begins with a tag for ever, and a stale pointer to it finds one.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include <hive/error.h>
#include "base/check.h"

namespace hive::cell {

// Types are named by four letters: type_name("TASK").
constexpr std::uint32_t type_name(const char (&text)[5]) {
  return static_cast<std::uint32_t>(static_cast<unsigned char>(text[0])) |
         static_cast<std::uint32_t>(static_cast<unsigned char>(text[1])) << 8 |
         static_cast<std::uint32_t>(static_cast<unsigned char>(text[2])) << 16 |
         static_cast<std::uint32_t>(static_cast<unsigned char>(text[3])) << 24;
}

struct TypeTag {
  std::atomic<std::uint32_t> type{0};   // zero when free
  std::atomic<std::uint32_t> count{0};  // of allocations of this block so far; survives the free
};

// A type that lives in the heap: standard layout, a TypeTag called `tag` first, and
// `static constexpr std::uint32_t type = type_name("...."); `.
template <class T>
concept Tagged = std::is_standard_layout_v<T> && requires(T& t) {
  { t.tag } -> std::same_as<TypeTag&>;
  { T::type } -> std::convertible_to<std::uint32_t>;
};

class TaggedHeap {
 public:
  // Takes over [begin, begin + bytes), which is zero and begins at a multiple of 64. Thread-safe
  // from then on.
  TaggedHeap(void* begin, std::size_t bytes);
  TaggedHeap(const TaggedHeap&) = delete;
  TaggedHeap& operator=(const TaggedHeap&) = delete;

  // Null when the heap is full. Objects are aligned to 64 bytes.
  template <Tagged T, class... Arguments>
  T* create(Arguments&&... arguments) {
    return create_sized<T>(sizeof(T), std::forward<Arguments>(arguments)...);
  }
  // The head of an array: `bytes` in all, at least sizeof(T). What follows it is for the caller to
  // make; it may hold old bytes. Goes by destroy_sized with the same size.
  template <Tagged T, class... Arguments>
  T* create_sized(std::size_t bytes, Arguments&&... arguments) {
    static_assert(alignof(T) <= 64, "the heap aligns to 64 bytes");
    HIVE_CHECK(bytes >= sizeof(T));
    void* memory = allocate(bytes);
    if (memory == nullptr) return nullptr;
    const std::uint32_t count = next_count(memory);
    T* object = new (memory) T(std::forward<Arguments>(arguments)...);
    object->tag.count.store(count, std::memory_order_relaxed);
    object->tag.type.store(T::type, std::memory_order_release);  // last: now it may be believed
    return object;
  }
  template <Tagged T>
  void destroy(T* object) {
    destroy_sized(object, sizeof(T));
  }
  template <Tagged T>
  void destroy_sized(T* object, std::size_t bytes) {
    if (object == nullptr) return;
    HIVE_CHECK(object->tag.type.load(std::memory_order_relaxed) == T::type);  // not freed twice
    object->tag.type.store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // no longer believed before it changes
    const std::uint32_t count = object->tag.count.load(std::memory_order_relaxed);
    object->~T();
    release(object, bytes, count);
  }

  std::size_t bytes_used() const;
  // The part from which something was allocated so far.
  std::span<const std::byte> touched() const;
  std::size_t bytes_total() const { return bytes_; }

 private:
  // A block that is free, as it lies in the heap: its tag stays where it was, for readers.
  struct FreeBlock {
    TypeTag tag;
    FreeBlock* next = nullptr;
    std::size_t bytes = 0;  // rounded; tells blocks beyond the classes apart
  };

  static constexpr int class_count = 20;  // 64 bytes << 0 .. << 19
  static constexpr std::size_t smallest = 64;
  static constexpr std::size_t page = 4096;

  static int class_of(std::size_t bytes);             // class_count: beyond the classes
  static std::size_t rounded(std::size_t bytes);
  void* allocate(std::size_t bytes);
  static std::uint32_t next_count(void* memory);
  void release(void* memory, std::size_t bytes, std::uint32_t count);
  void check_free_block_locked(const FreeBlock* block, std::size_t bytes) const;

  mutable std::mutex mutex_;
  std::byte* begin_;
  std::size_t bytes_;
  std::size_t fresh_ = 0;  // never allocated from here on; guarded by mutex_
  std::size_t used_ = 0;   // guarded by mutex_
  FreeBlock* free_[class_count + 1] = {};  // the last: beyond the classes; guarded by mutex_
};

}  // namespace hive::cell

// A heap inside a segment: one task builds linked data in place, commits, and every task walks it.
//
//   auto heap = Heap::create(segment, 0, segment.size());     // the one task that writes
//   Node* node = *(*heap)->make<Node>(Node{.value = 7});
//   (*heap)->set_root((*heap)->ref(node));
//   (*heap)->commit();
//
//   auto view = HeapView::open(segment);                      // any task, afterwards
//   for (auto at = *view->root<Node>(); at; ) {
//     auto node = view->read(at);                             // a checked copy, never a signal
//     at = node->next;                                        // a Ref<Node>
//   }
//
// All that the next writer needs lies in the segment, so it can resume() after a commit; the lists
// of free blocks are built anew then, from the blocks themselves, each of which is checked. A
// writer that dies leaves the whole heap torn: reset it and create() again.
//
// Links. A segment lies at the same address in every task, so plain pointers inside it work as
// they are, also those of std::pmr containers. What they cannot do is to be checked: a reader that
// follows one trusts who wrote it. Ref<T> is an offset in the segment instead, which a reader
// turns into a pointer or a copy only if it lies inside the heap and is aligned.
//
// Reading. While a writer has the heap open it changes under its readers. They may wait until it
// has committed (a Barrier, a Counter), or take a stamp before they walk, walk by copies (read),
// and believe what they have seen if the heap is unchanged() since. A walk in place (at) is a
// plain load: if the writer opens the heap and dies meanwhile, it ends the reader with a message.
//
// std::pmr containers may live in it and be walked in place by programs built with the same
// standard library. They remember the address of their Heap, so only the task that made them,
// while that Heap object lives, may change them; to hand data to a later writer, link it with Ref.
//
// Blocks are found by size class with two bit maps and joined with their free neighbours at once
// (boundary tags: Knuth, The Art of Computer Programming 1, 2.5; two-level classes: Masmano and
// others, "TLSF", ECRTS 2004). Both allocation and release take constant time. A block costs 16
// bytes, and is a multiple of 16.
//
// Cost: some fifty nanoseconds for each, half a microsecond when the block was not in the cache.
// resume() looks at all blocks, some nanoseconds each. After each opening of a window the first
// store to a page is a page fault of Linux, so a writer that changes much in many pages does
// better to keep the heap open than to commit and resume for each change.
//
// Ownership: the Segment has to stay open as long as the Heap; closing it tears the heap. A Heap
// that is destroyed without commit is torn. Thread-safety: a Heap is used by one thread at a time;
// a HeapView by any number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include <hive/error.h>
#include <hive/segment.h>
#include <hive/shareable.h>
#include <hive/window.h>

namespace hive {

namespace lib {
class HeapBlocks;
struct HeapHead;
}  // namespace lib

// Where an object lies, counted in bytes from the beginning of its segment; 0 is nowhere. The same
// in every task. T may be incomplete.
template <class T>
struct Ref {
  std::uint64_t offset = 0;

  explicit operator bool() const { return offset != 0; }
  friend bool operator==(Ref, Ref) = default;
};

// The writer's side.
class Heap final : public std::pmr::memory_resource {
 public:
  static constexpr std::size_t alignment_max = page_size;

  // Makes an empty heap in [offset, offset + length), whole pages, whatever was there before, and
  // opens all of it. Blocks for one round trip to the home. Errors: bad_argument, busy (another
  // writer has it), lost (the last writer died: reset the range first), cell_down, timed_out.
  static Result<std::unique_ptr<Heap>> create(Segment& segment, std::uint64_t offset,
                                              std::uint64_t length);
  // Goes on from what another writer has committed. Looks at every block. Errors: those of
  // create(); not_found (nothing was made there); corrupt (it does not add up; nothing is
  // changed).
  static Result<std::unique_ptr<Heap>> resume(Segment& segment, std::uint64_t offset = 0);
  ~Heap() override;

  // Ends writing; everything in it stays. Errors: as WriteWindow::commit; corrupt (the program has
  // stored over the heap's own data or released what was not allocated: the heap stays open, and
  // destroying it tears it).
  Result<void> commit();

  // Errors: exhausted (no block is found that is large enough; of the size class itself only the
  // first few are looked at), bad_argument (an alignment that is no power of
  // two or more than alignment_max; committed already), corrupt (as in commit).
  Result<void*> try_allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t));
  // Errors: corrupt (nothing is allocated there, or as in commit), bad_argument.
  Result<void> try_deallocate(void* p);

  // A new object. Errors: as try_allocate.
  template <class T, class... Args>
  Result<T*> make(Args&&... args) {
    static_assert(Shareable<T>,
                  "a segment holds trivially copyable types only, and no bare pointer");
    auto place = try_allocate(sizeof(T), alignof(T));
    if (!place) return fail(place.error());
    return new (*place) T{std::forward<Args>(args)...};
  }
  // `count` objects, all zero. Errors: as try_allocate.
  template <class T>
  Result<std::span<T>> make_array(std::size_t count) {
    static_assert(Shareable<T>,
                  "a segment holds trivially copyable types only, and no bare pointer");
    if (count > length_ / sizeof(T)) return fail(Code::exhausted, "it is larger than the heap");
    auto place = try_allocate(count * sizeof(T), alignof(T));
    if (!place) return fail(place.error());
    T* const first = static_cast<T*>(*place);
    for (std::size_t i = 0; i < count; ++i) new (first + i) T{};
    return std::span<T>(first, count);
  }

  // The reference to an object of this heap; null for a pointer that does not lie in it.
  template <class T>
  Ref<T> ref(const T* p) const {
    return {offset_of(p, sizeof(T))};
  }
  // The object of a reference; null if that does not lie in this heap or is not aligned.
  template <class T>
  T* at(Ref<T> ref) const {
    return static_cast<T*>(object(ref.offset, sizeof(T), alignof(T)));
  }

  // The one object that readers start from. Errors: bad_argument (not in this heap; committed).
  template <class T>
  Result<void> set_root(Ref<T> root) {
    return set_root(root.offset, sizeof(T), alignof(T));
  }
  // Errors: not_found (none was set), corrupt (it is not one of this size).
  template <class T>
  Result<Ref<T>> root() const {
    auto offset = root(sizeof(T), alignof(T));
    if (!offset) return fail(offset.error());
    return Ref<T>{*offset};
  }

  std::uint64_t used() const;  // bytes of blocks in use, with what each costs
  std::uint64_t free() const;  // the rest, in however many blocks

  // Looks at every block. Errors: corrupt.
  Result<void> check() const;

 private:
  Heap(WriteWindow window, std::uint64_t offset, std::uint64_t length);
  Result<void> check_open() const;
  lib::HeapHead& head() const;
  std::uint64_t offset_of(const void* p, std::size_t bytes) const;
  void* object(std::uint64_t offset, std::size_t bytes, std::size_t alignment) const;
  Result<void> set_root(std::uint64_t offset, std::size_t bytes, std::size_t alignment);
  Result<std::uint64_t> root(std::size_t bytes, std::size_t alignment) const;

  // The one place in Hive where an exception appears, because the contract of memory_resource asks
  // for it: allocate() throws std::bad_alloc where try_allocate() returns an error. deallocate()
  // of something else than an allocated block does nothing, and shows in commit().
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

  WriteWindow window_;
  std::byte* const base_;  // of the heap
  const std::uint64_t offset_;
  const std::uint64_t length_;
  std::unique_ptr<lib::HeapBlocks> blocks_;
};

// A reader's side. What it finds is input: checked, and copied with care where that is asked for.
class HeapView {
 public:
  // Errors: not_found (nothing was made there), corrupt (something else is there), lost,
  // cell_down, bad_argument.
  static Result<HeapView> open(const Segment& segment, std::uint64_t offset = 0);

  // A number that changes with every opening by a writer. Errors: busy (a writer has it open now),
  // lost, cell_down.
  Result<std::uint64_t> stamp() const;
  // Errors: busy (a writer has opened it since: what was read meanwhile may be a mixture), lost,
  // cell_down.
  Result<void> unchanged(std::uint64_t stamp) const;

  // Errors: not_found (none was set), corrupt (not one of this size, or outside), lost, cell_down.
  template <class T>
  Result<Ref<T>> root() const {
    auto offset = root(sizeof(T), alignof(T));
    if (!offset) return fail(offset.error());
    return Ref<T>{*offset};
  }

  // Copies an object out, without ever raising a signal. Errors: corrupt (it does not lie in the
  // heap, or is not aligned), lost, cell_down.
  template <class T>
  Result<T> read(Ref<T> ref) const {
    T value{};
    auto done = read(ref, std::span<T>(&value, 1));
    if (!done) return fail(done.error());
    return value;
  }
  // The same for an array that begins there.
  template <class T>
  Result<void> read(Ref<T> first, std::span<T> out) const {
    static_assert(Shareable<T>, "only trivially copyable types can be copied out");
    return read(first.offset, alignof(T), std::as_writable_bytes(out));
  }

  // The object where it lies; null if that is not in the heap, or not aligned. See "Reading"
  // above.
  template <class T>
  const T* at(Ref<T> ref) const {
    return static_cast<const T*>(object(ref.offset, sizeof(T), alignof(T)));
  }

 private:
  HeapView(const Segment& segment, std::uint64_t offset, std::uint64_t length);
  Result<std::uint64_t> root(std::size_t bytes, std::size_t alignment) const;
  Result<void> read(std::uint64_t offset, std::size_t alignment, std::span<std::byte> out) const;
  const void* object(std::uint64_t offset, std::size_t bytes, std::size_t alignment) const;

  std::shared_ptr<lib::SegmentImpl> segment_;
  std::uint64_t offset_;
  std::uint64_t length_;
};

}  // namespace hive

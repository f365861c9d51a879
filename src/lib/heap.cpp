#include <hive/heap.h>

#include <atomic>
#include <bit>

#include "base/time.h"
#include "lib/careful_store.h"
#include "lib/heap_blocks.h"
#include "lib/heap_layout.h"
#include "lib/segment_impl.h"

namespace hive {

using lib::heap_head_bytes;
using lib::HeapHead;

namespace {

constexpr const char* cause_spoilt = "the heap's own data has been spoilt";

Result<void> check_place(const lib::SegmentImpl& segment, std::uint64_t offset,
                         std::uint64_t length) {
  if (offset % page_size != 0 || length % page_size != 0 || length == 0) {
    return fail(Code::bad_argument, "a heap begins and ends at a page boundary", segment.home());
  }
  auto pages = segment.pages_of(offset, length);
  if (!pages) return fail(pages.error());
  return {};
}

Result<HeapHead> read_head(const lib::SegmentImpl& segment, std::uint64_t offset) {
  if (auto good = check_place(segment, offset, page_size); !good) return fail(good.error());
  HeapHead head;
  auto read = segment.read(offset, std::as_writable_bytes(std::span(&head, 1)));
  if (!read) return fail(read.error());
  if (head.magic == 0) {  // also while create() is at it for the first time
    return fail(Code::not_found, "nothing has been made there yet", segment.home());
  }
  if (head.magic != lib::heap_magic || !check_place(segment, offset, head.length)) {
    return fail(Code::corrupt, "there is no heap", segment.home());
  }
  return head;
}

// Others look at it to know whether what they have copied is whole: no store of the writer may be
// seen before the stamp that announces it, none after the stamp that ends them.
void set_stamp(HeapHead& head, std::uint64_t stamp) {
  std::atomic_ref(head.stamp).store(stamp, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace

Heap::Heap(WriteWindow window, std::uint64_t offset, std::uint64_t length)
    : window_(std::move(window)),
      base_(window_.data()),
      offset_(offset),
      length_(length),
      blocks_(
          std::make_unique<lib::HeapBlocks>(base_ + heap_head_bytes, length - heap_head_bytes)) {}
Heap::~Heap() = default;

HeapHead& Heap::head() const { return *reinterpret_cast<HeapHead*>(base_); }

Result<std::unique_ptr<Heap>> Heap::create(Segment& segment, std::uint64_t offset,
                                           std::uint64_t length) {
  if (auto good = check_place(*segment.impl(), offset, length); !good) return fail(good.error());
  auto window = segment.write(offset, length);
  if (!window) return fail(window.error());
  std::unique_ptr<Heap> heap(new Heap(std::move(*window), offset, length));
  HeapHead& head = heap->head();
  set_stamp(head, now_ns() | 1);
  head.root = head.root_bytes = 0;
  head.length = length;
  head.magic = lib::heap_magic;
  heap->blocks_->format();
  return heap;
}

Result<std::unique_ptr<Heap>> Heap::resume(Segment& segment, std::uint64_t offset) {
  const auto before = read_head(*segment.impl(), offset);
  if (!before) return fail(before.error());
  auto window = segment.write(offset, before->length);
  if (!window) return fail(window.error());
  std::unique_ptr<Heap> heap(new Heap(std::move(*window), offset, before->length));
  // Now that nobody else stores there, once more.
  const HeapHead head = heap->head();
  Result<void> good;
  if (head.magic != lib::heap_magic || head.length != before->length || head.stamp % 2 != 0) {
    good = fail(Code::corrupt, "there is no heap that was committed");
  } else {
    good = heap->blocks_->check();
  }
  if (!good) {
    // Nothing was stored, so nothing is to be torn.
    (void)heap->window_.commit();
    return fail(good.error().code, good.error().cause, segment.home());
  }
  set_stamp(heap->head(), head.stamp + 1);
  if (auto adopted = heap->blocks_->adopt(); !adopted) return fail(adopted.error());
  return heap;
}

Result<void> Heap::check_open() const {
  if (!window_.is_open()) return fail(Code::bad_argument, "the heap has been committed already");
  if (blocks_->broken()) return fail(Code::corrupt, cause_spoilt);
  return {};
}

Result<void> Heap::commit() {
  if (auto open = check_open(); !open) return open;
  set_stamp(head(), head().stamp + 1);
  return window_.commit();
}

Result<void*> Heap::try_allocate(std::size_t bytes, std::size_t alignment) {
  if (auto open = check_open(); !open) return fail(open.error());
  if (!std::has_single_bit(alignment) || alignment > alignment_max) {
    return fail(Code::bad_argument, "an alignment is a power of two, and at most a page");
  }
  void* const p = blocks_->allocate(bytes, alignment);
  if (p != nullptr) return p;
  if (blocks_->broken()) return fail(Code::corrupt, cause_spoilt);
  return fail(Code::exhausted, "no free block of the heap is large enough");
}

Result<void> Heap::try_deallocate(void* p) {
  if (auto open = check_open(); !open) return open;
  if (p == nullptr) return {};
  if (!blocks_->release(static_cast<std::byte*>(p))) {
    return fail(Code::corrupt, "what was released is not allocated, or the heap is spoilt");
  }
  return {};
}

void* Heap::do_allocate(std::size_t bytes, std::size_t alignment) {
  auto p = try_allocate(bytes, alignment);
  if (!p) throw std::bad_alloc();
  return *p;
}

void Heap::do_deallocate(void* p, std::size_t, std::size_t) { (void)try_deallocate(p); }

bool Heap::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
  return this == &other;
}

std::uint64_t Heap::used() const { return blocks_->used(); }
std::uint64_t Heap::free() const { return blocks_->free(); }
Result<void> Heap::check() const { return blocks_->check(); }

std::uint64_t Heap::offset_of(const void* p, std::size_t bytes) const {
  const auto base = reinterpret_cast<std::uintptr_t>(base_);
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  if (address < base || address - base > length_) return 0;
  const std::uint64_t offset = offset_ + (address - base);
  return lib::in_heap(offset_, length_, offset, bytes, 1) ? offset : 0;
}

void* Heap::object(std::uint64_t offset, std::size_t bytes, std::size_t alignment) const {
  if (!lib::in_heap(offset_, length_, offset, bytes, alignment)) return nullptr;
  return base_ + (offset - offset_);
}

Result<void> Heap::set_root(std::uint64_t offset, std::size_t bytes, std::size_t alignment) {
  if (auto open = check_open(); !open) return open;
  if (!lib::in_heap(offset_, length_, offset, bytes, alignment)) {
    return fail(Code::bad_argument, "the root does not lie in the heap");
  }
  head().root = offset;
  head().root_bytes = bytes;
  return {};
}

namespace {

Result<std::uint64_t> checked_root(const HeapHead& head, std::uint64_t heap, std::size_t bytes,
                                   std::size_t alignment) {
  if (head.root == 0) return fail(Code::not_found, "the heap has no root yet");
  if (head.root_bytes != bytes || !lib::in_heap(heap, head.length, head.root, bytes, alignment)) {
    return fail(Code::corrupt, "the root of the heap is not of this type");
  }
  return head.root;
}

}  // namespace

Result<std::uint64_t> Heap::root(std::size_t bytes, std::size_t alignment) const {
  if (auto open = check_open(); !open) return fail(open.error());
  HeapHead now = head();
  now.length = length_;
  return checked_root(now, offset_, bytes, alignment);
}

HeapView::HeapView(const Segment& segment, std::uint64_t offset, std::uint64_t length)
    : segment_(segment.impl()), offset_(offset), length_(length) {}

Result<HeapView> HeapView::open(const Segment& segment, std::uint64_t offset) {
  const auto head = read_head(*segment.impl(), offset);
  if (!head) return fail(head.error());
  return HeapView(segment, offset, head->length);
}

Result<std::uint64_t> HeapView::stamp() const {
  const auto head = read_head(*segment_, offset_);
  if (!head) return fail(head.error());
  if (head->stamp % 2 != 0) {
    return fail(Code::busy, "a writer has the heap open", segment_->home());
  }
  if (head->length != length_) {
    return fail(Code::lost, "the heap was made anew; open it again", segment_->home());
  }
  return head->stamp;
}

Result<void> HeapView::unchanged(std::uint64_t stamp) const {
  lib::order_after_long_copy();
  const auto head = read_head(*segment_, offset_);
  if (!head) return fail(head.error());
  if (head->stamp == stamp) return {};
  return fail(Code::busy, "a writer has opened the heap since", segment_->home());
}

Result<std::uint64_t> HeapView::root(std::size_t bytes, std::size_t alignment) const {
  auto head = read_head(*segment_, offset_);
  if (!head) return fail(head.error());
  head->length = length_;
  return checked_root(*head, offset_, bytes, alignment);
}

Result<void> HeapView::read(std::uint64_t offset, std::size_t alignment,
                            std::span<std::byte> out) const {
  if (!lib::in_heap(offset_, length_, offset, out.size(), alignment)) {
    return fail(Code::corrupt, "a reference does not lie in the heap", segment_->home());
  }
  return segment_->read(offset, out);
}

const void* HeapView::object(std::uint64_t offset, std::size_t bytes,
                             std::size_t alignment) const {
  if (!lib::in_heap(offset_, length_, offset, bytes, alignment)) return nullptr;
  return segment_->data() + offset;
}

}  // namespace hive

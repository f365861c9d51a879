#include "cell/heap/tagged_heap.h"

#include <bit>

namespace hive::cell {

TaggedHeap::TaggedHeap(void* begin, std::size_t bytes)
    : begin_(static_cast<std::byte*>(begin)), bytes_(bytes) {
  HIVE_CHECK(reinterpret_cast<std::uintptr_t>(begin) % smallest == 0);
}

std::size_t TaggedHeap::bytes_used() const {
  const std::scoped_lock lock(mutex_);
  return used_;
}

std::span<const std::byte> TaggedHeap::touched() const {
  const std::scoped_lock lock(mutex_);
  return {begin_, fresh_};
}

int TaggedHeap::class_of(std::size_t bytes) {
  const std::size_t units = (bytes + smallest - 1) / smallest;
  const int index = std::bit_width(units - (units > 0 ? 1 : 0));
  return index < class_count ? index : class_count;
}

std::size_t TaggedHeap::rounded(std::size_t bytes) {
  const int index = class_of(bytes);
  return index < class_count ? smallest << index : (bytes + page - 1) / page * page;
}

std::uint32_t TaggedHeap::next_count(void* memory) {
  return static_cast<FreeBlock*>(memory)->tag.count.load(std::memory_order_relaxed) + 1;
}

// The heap is our own memory: a free block that looks wrong means that this cell is corrupt.
void TaggedHeap::check_free_block_locked(const FreeBlock* block, std::size_t bytes) const {
  const auto at = reinterpret_cast<std::uintptr_t>(block);
  const auto begin = reinterpret_cast<std::uintptr_t>(begin_);
  HIVE_CHECK(at >= begin && at < begin + fresh_);
  HIVE_CHECK((at - begin) % smallest == 0);
  HIVE_CHECK(block->tag.type.load(std::memory_order_relaxed) == 0);
  HIVE_CHECK(block->bytes >= smallest && block->bytes <= fresh_ - (at - begin));
  HIVE_CHECK(class_of(bytes) == class_count || block->bytes == bytes);
}

void* TaggedHeap::allocate(std::size_t bytes) {
  const std::size_t need = rounded(bytes);
  const std::scoped_lock lock(mutex_);
  // Walks only the list beyond the classes; everywhere else the first block fits. The list is no
  // longer than the heap has pages.
  for (FreeBlock** link = &free_[class_of(bytes)]; *link != nullptr; link = &(*link)->next) {
    FreeBlock* block = *link;
    check_free_block_locked(block, need);
    if (block->bytes != need) continue;
    *link = block->next;
    used_ += need;
    return block;
  }
  if (need > bytes_ - fresh_) return nullptr;
  void* memory = begin_ + fresh_;
  fresh_ += need;
  used_ += need;
  return memory;
}

void TaggedHeap::release(void* memory, std::size_t bytes, std::uint32_t count) {
  // The count is written again because the destructor may have run over the tag.
  auto* block = new (memory) FreeBlock{{}, nullptr, rounded(bytes)};
  block->tag.count.store(count, std::memory_order_relaxed);
  const std::scoped_lock lock(mutex_);
  FreeBlock*& head = free_[class_of(bytes)];
  block->next = head;
  head = block;
  used_ -= block->bytes;
}

}  // namespace hive::cell

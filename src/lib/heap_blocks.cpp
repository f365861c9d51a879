#include "lib/heap_blocks.h"

#include <algorithm>
#include <bit>

namespace hive::lib {

HeapBlocks::Bin HeapBlocks::bin_of(std::uint64_t size) {
  const int row = std::max(parts_log2, 63 - std::countl_zero(size));  // no block is smaller
  return {row, static_cast<int>((size >> (row - parts_log2)) & (parts - 1))};
}

// Whether a block lies there that agrees with its neighbours about sizes.
bool HeapBlocks::is_block(std::uint64_t at) const {
  if (at >= end_ || at % block_step != 0) return false;
  const Block& b = block(at);
  const std::uint64_t size = b.size();
  if (size < block_bytes_min || size % block_step != 0 || size > end_ - at) return false;
  if (block(at + size).before != size) return false;
  if (at == 0) return b.before == 0;
  return b.before >= block_bytes_min && b.before % block_step == 0 && b.before <= at &&
         block(at - b.before).size() == b.before;
}

bool HeapBlocks::is_free_block(std::uint64_t at) const {
  return is_block(at) && block(at).is_free();
}

void HeapBlocks::set(std::uint64_t at, std::uint64_t size, bool is_free) {
  block(at).size_and_free = size | (is_free ? free_bit : 0);
  block(at + size).before = size;
}

void HeapBlocks::put_in(std::uint64_t at) {
  const auto [row, part] = bin_of(block(at).size());
  std::uint64_t& first = first_[row][part];
  links(at) = {first, none};
  if (first != none) links(first).previous = at;
  first = at;
  rows_ |= std::uint64_t{1} << row;
  parts_of_[row] |= static_cast<std::uint8_t>(1 << part);
}

// False: it is not where it should be.
bool HeapBlocks::take_out(std::uint64_t at) {
  const auto [row, part] = bin_of(block(at).size());
  std::uint64_t& first = first_[row][part];
  const auto [next, previous] = links(at);
  if (next != none && (!is_free_block(next) || links(next).previous != at)) return false;
  if (previous == none ? first != at : !is_free_block(previous) || links(previous).next != at) {
    return false;
  }
  if (next != none) links(next).previous = previous;
  if (previous != none) {
    links(previous).next = next;
    return true;
  }
  first = next;
  if (first != none) return true;
  parts_of_[row] &= static_cast<std::uint8_t>(~(1 << part));
  if (parts_of_[row] == 0) rows_ &= ~(std::uint64_t{1} << row);
  return true;
}

std::byte* HeapBlocks::broken_now() {
  broken_ = true;
  return nullptr;
}

void HeapBlocks::format() {
  block(0).before = 0;
  block(end_).size_and_free = 0;
  set(0, end_, true);
  put_in(0);
}

template <class Visit>
Result<void> HeapBlocks::walk(Visit visit) const {
  bool after_free = false;
  std::uint64_t at = 0;
  while (at < end_) {  // ends: a block has at least block_bytes_min
    if (!is_block(at)) return fail(Code::corrupt, "a block of the heap makes no sense");
    const bool is_free = block(at).is_free();
    if (is_free && after_free)
      return fail(Code::corrupt, "free blocks of the heap are not joined");
    after_free = is_free;
    visit(at);
    at += block(at).size();
  }
  if (block(end_).size_and_free != 0) return fail(Code::corrupt, "the heap has no end");
  return {};
}

Result<void> HeapBlocks::adopt() {
  // Checked first and then changed: putting a block in stores to the blocks of its list.
  auto whole = check();
  if (!whole) return whole;
  return walk([this](std::uint64_t at) {
    if (block(at).is_free()) {
      put_in(at);
    } else {
      used_ += block(at).size();
    }
  });
}

Result<void> HeapBlocks::check() const {
  if (broken_) return fail(Code::corrupt, "the heap's own data has been spoilt");
  return walk([](std::uint64_t) {});
}

// The first blocks of a bin; `none` if they are too small.
std::uint64_t HeapBlocks::find_in(Bin bin, std::uint64_t size) const {
  std::uint64_t at = first_[bin.row][bin.part];
  for (int looks = 0; looks < looks_max && at != none && is_free_block(at); ++looks) {
    if (block(at).size() >= size) return at;
    at = links(at).next;
  }
  return none;
}

std::uint64_t HeapBlocks::find(std::uint64_t size) const {
  const Bin own = bin_of(size);
  // The smallest bin above, all of whose blocks are large enough.
  std::uint32_t above = static_cast<std::uint32_t>(parts_of_[own.row]) >> (own.part + 1);
  if (above != 0) return first_[own.row][own.part + 1 + std::countr_zero(above)];
  if (const std::uint64_t at = find_in(own, size); at != none) return at;
  const std::uint64_t rows = own.row == classes - 1 ? 0 : rows_ >> (own.row + 1);
  if (rows == 0) return none;
  const int row = own.row + 1 + std::countr_zero(rows);
  above = parts_of_[row];
  return first_[row][std::countr_zero(above)];
}

std::byte* HeapBlocks::allocate(std::uint64_t bytes, std::uint64_t alignment) {
  if (broken_ || bytes > end_ || alignment > end_) return nullptr;
  const std::uint64_t size = std::max(
      block_bytes_min, (bytes + block_step - 1) / block_step * block_step + block_head_bytes);
  // Room to go forward to an aligned place, so far that what lies before it is a block.
  const std::uint64_t slack = alignment <= block_step ? 0 : alignment + block_bytes_min;
  std::uint64_t at = find(size + slack);
  if (at == none) return nullptr;
  if (!is_free_block(at) || block(at).size() < size + slack || !take_out(at)) return broken_now();

  std::uint64_t whole = block(at).size();
  if (slack != 0) {
    const auto address = reinterpret_cast<std::uintptr_t>(arena_ + at + block_head_bytes);
    std::uint64_t gap = (alignment - address % alignment) % alignment;
    if (gap != 0 && gap < block_bytes_min) gap += alignment;
    if (gap != 0) {
      set(at, gap, true);
      put_in(at);
      at += gap;
      whole -= gap;
    }
  }
  const std::uint64_t rest = whole - size;
  const std::uint64_t taken = rest >= block_bytes_min ? size : whole;
  set(at, taken, false);
  if (taken != whole) {
    set(at + taken, rest, true);
    put_in(at + taken);
  }
  used_ += taken;
  return arena_ + at + block_head_bytes;
}

bool HeapBlocks::release(const std::byte* p) {
  if (broken_) return false;
  broken_ = true;  // unless all goes well
  const auto begin = reinterpret_cast<std::uintptr_t>(arena_) + block_head_bytes;
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  if (address < begin || address - begin >= end_) return false;
  std::uint64_t at = address - begin;
  if (!is_block(at) || block(at).is_free()) return false;
  std::uint64_t size = block(at).size();
  const std::uint64_t freed = size;
  const std::uint64_t next = at + size;
  block(at).size_and_free |= free_bit;  // so that releasing it again shows, also when it is joined
  if (next != end_ && block(next).is_free()) {
    if (!is_block(next) || !take_out(next)) return false;
    size += block(next).size();
  }
  if (at != 0) {
    const std::uint64_t previous = at - block(at).before;
    if (block(previous).is_free()) {
      if (!is_block(previous) || !take_out(previous)) return false;
      size += block(previous).size();
      at = previous;
    }
  }
  set(at, size, true);
  put_in(at);
  used_ -= freed;
  broken_ = false;
  return true;
}

}  // namespace hive::lib

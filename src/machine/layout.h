// Where the memory of the nodes lies. Every process that maps a node's memory maps it at the same
// machine-wide address, so that a pointer read from a remote structure is usable as it is.
//
//   base                      base + stride             base + 2 * stride      end
//   | kernel 0 |  user 0  |gap| kernel 1 |  user 1  |gap| ...           | moulds | views |
//
// Behind the nodes each process has what is its own: for every node that it has mapped a *mould*,
// a second mapping of the user memory that lets nothing through, and *views*, ranges in which
// single frames lie side by side (linux/fence.h). A machine whose nodes fill the span has none.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace hive::machine {

inline constexpr std::uint64_t page_bytes = 4096;
// The range in which plain, ASan and TSan builds of GCC and clang all leave room: above the shadow
// of the sanitizers, below the lowest address of a position-independent executable.
inline constexpr std::uint64_t machine_base = 0x550000000000;
inline constexpr std::uint64_t machine_span_max = std::uint64_t{341} << 30;

// Whole pages of a node's user memory, counted from its beginning.
struct PageRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  constexpr std::uint32_t end() const { return first + count; }
  constexpr bool overlaps(const PageRange& other) const {
    return first < other.end() && other.first < end();
  }
  constexpr bool contains(std::uint32_t page) const { return page >= first && page < end(); }
  constexpr bool operator==(const PageRange&) const = default;
};

struct Layout {
  std::uint64_t base = machine_base;
  std::uint64_t stride = 0;
  std::uint64_t kernel_bytes = 0;
  std::uint64_t user_bytes = 0;
  std::uint32_t cells = 0;
  std::uint32_t reserved = 0;

  constexpr std::uint64_t kernel_begin(CellId n) const {
    return base + static_cast<std::uint64_t>(n) * stride;
  }
  constexpr std::uint64_t kernel_end(CellId n) const { return kernel_begin(n) + kernel_bytes; }
  constexpr std::uint64_t user_begin(CellId n) const { return kernel_end(n); }
  constexpr std::uint64_t user_end(CellId n) const { return user_begin(n) + user_bytes; }
  constexpr std::uint64_t end() const { return base + stride * cells; }
  constexpr std::uint32_t user_pages() const {
    return static_cast<std::uint32_t>(user_bytes / page_bytes);
  }
  constexpr std::uint64_t mould_begin(CellId n) const {
    return end() + static_cast<std::uint64_t>(n) * user_bytes;
  }
  constexpr std::uint64_t views_begin() const { return end() + std::uint64_t{cells} * user_bytes; }
  constexpr std::uint64_t views_end() const { return machine_base + machine_span_max; }
  constexpr bool has_views() const { return views_begin() < views_end(); }
  // Whole pages of the views.
  constexpr bool in_views(std::uint64_t address, std::uint64_t bytes) const {
    return has_views() && address % page_bytes == 0 && address >= views_begin() &&
           address < views_end() && bytes <= views_end() - address;
  }
  // Where the addresses end that a process holds for the machine.
  constexpr std::uint64_t held_end() const { return has_views() ? views_end() : end(); }
  // The node whose range holds the address, or -1.
  constexpr CellId node_of(std::uint64_t address) const {
    return address < base || address >= end() ? -1
                                              : static_cast<CellId>((address - base) / stride);
  }
  constexpr bool in_kernel(CellId n, std::uint64_t address) const {
    return address >= kernel_begin(n) && address < kernel_end(n);
  }
  constexpr bool in_user(CellId n, std::uint64_t address) const {
    return address >= user_begin(n) && address < user_end(n);
  }
  constexpr bool has_pages(PageRange range) const {
    return std::uint64_t{range.first} + range.count <= user_pages();
  }
  constexpr bool operator==(const Layout&) const = default;
};

// The layout of a machine; user_bytes is rounded up to pages. A stride of zero means that it does
// not fit into machine_span_max.
constexpr Layout make_layout(int cells, std::uint64_t user_bytes) {
  constexpr std::uint64_t mib = std::uint64_t{1} << 20;
  Layout layout;
  layout.cells = static_cast<std::uint32_t>(cells);
  layout.user_bytes = (user_bytes + page_bytes - 1) / page_bytes * page_bytes;
  // Rings for every ordered pair, a heap, and 256 bytes for each frame: its pfdat and its entries
  // in the table of the page cache are 112, and the heap rounds up to powers of two.
  layout.kernel_bytes = (8 * mib + layout.user_bytes / 16 + 2 * mib - 1) / (2 * mib) * (2 * mib);
  const std::uint64_t need = layout.kernel_bytes + layout.user_bytes;
  const std::uint64_t stride = (need + 2 * mib + 2 * mib - 1) / (2 * mib) * (2 * mib);
  if (cells > 0 && stride <= machine_span_max / static_cast<std::uint64_t>(cells))
    layout.stride = stride;
  return layout;
}

}  // namespace hive::machine

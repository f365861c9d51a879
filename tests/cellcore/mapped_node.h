// For tests: a node's kernel memory at its place in the machine's layout, with a header, in this
// process; shared, so that it outlives a fork.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "machine/layout.h"
#include "machine/node_header.h"
#include "machine/sips.h"

namespace hive::test {

inline constexpr std::uint64_t heap_at = std::uint64_t{1} << 20;  // in kernel memory

class MappedNode {
 public:
  MappedNode(const machine::Layout& layout, CellId node)
      : layout_(layout), node_(node), fd_(::memfd_create("node", MFD_CLOEXEC)) {
    HIVE_CHECK(fd_ >= 0 && ::ftruncate(fd_, static_cast<off_t>(layout.kernel_bytes)) == 0);
    void* mapped = ::mmap(base(), layout.kernel_bytes, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_FIXED_NOREPLACE, fd_, 0);
    HIVE_CHECK(mapped == base());
    machine::NodeHeader* h = header();
    h->magic = machine::node_magic;
    h->layout_version = machine::node_layout_version;
    h->node = static_cast<std::uint32_t>(node);
    h->rings_offset = machine::page_bytes;
    h->consumed_offset = h->rings_offset + layout.cells * sizeof(machine::SipsRing);
    h->heap_offset = heap_at;
  }
  MappedNode(const MappedNode&) = delete;
  MappedNode& operator=(const MappedNode&) = delete;
  ~MappedNode() {
    ::munmap(base(), layout_.kernel_bytes);
    ::close(fd_);
  }

  void* base() const { return reinterpret_cast<void*>(layout_.kernel_begin(node_)); }
  machine::NodeHeader* header() const { return machine::node_header(layout_, node_); }
  std::byte* heap() const { return static_cast<std::byte*>(base()) + heap_at; }
  std::size_t heap_bytes() const { return layout_.kernel_bytes - heap_at; }
  machine::SipsRing* ring_to(CellId to) const {
    return reinterpret_cast<machine::SipsRing*>(static_cast<std::byte*>(base()) +
                                                header()->rings_offset) + to;
  }
  // The memory is gone: every access to it, by anybody, is a bus error from now on.
  void fail() const { HIVE_CHECK(::ftruncate(fd_, 0) == 0); }
  // As another cell maps it.
  void make_read_only() const {
    HIVE_CHECK(::mprotect(base(), layout_.kernel_bytes, PROT_READ) == 0);
  }

 private:
  const machine::Layout layout_;
  const CellId node_;
  const int fd_;
};

}  // namespace hive::test

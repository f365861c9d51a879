#include "machine/linux/fence.h"

#include <cerrno>
#include <mutex>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/linux/node_mapping.h"
#include "machine/linux/userfault.h"

namespace hive::machine {
namespace {

// The range that this process holds: it takes part in one machine at a time.
struct Reservation {
  std::mutex mutex;
  Layout layout{};    // guarded by mutex
  pid_t process = 0;  // guarded by mutex; a forked child inherits no mapping of the range
  CellSet mapped;     // guarded by mutex; the nodes that have a fence
};
Reservation reservation;

// Two fences of one node would take each other's mapping away, and outside the range a mapping
// would land on somebody else's.
Result<void> begin_fence(const Layout& layout, CellId node) {
  if (!machine_range_is_reserved(layout)) {
    return fail(Code::bad_argument, "the range of the machine is not reserved", node);
  }
  const std::lock_guard lock(reservation.mutex);
  if (reservation.mapped.has(node)) {
    return fail(Code::busy, "this process has mapped the node already", node);
  }
  reservation.mapped.add(node);
  return {};
}

void end_fence(CellId node) {
  const std::lock_guard lock(reservation.mutex);
  reservation.mapped.remove(node);
}

Result<void> map_memory(std::uint64_t address, std::uint64_t bytes, const UniqueFd& memory,
                        CellId node, int protection = PROT_READ) {
  struct stat status {};
  if (::fstat(memory.get(), &status) != 0) return fail(Code::host, "fstat", node, errno);
  if (static_cast<std::uint64_t>(status.st_size) != bytes) {
    return fail(Code::bad_argument, "the memory of the node has another size", node);
  }
  const long got = map_fixed(address, bytes, protection, MAP_SHARED | MAP_FIXED, memory.get());
  if (got < 0) {
    return fail(got == -ENOMEM ? Code::exhausted : Code::host, "cannot map the memory of a node",
                node, static_cast<int>(-got));
  }
  if (const long refused = keep_to_this_process(address, bytes); refused < 0) {
    return fail(Code::host, "madvise", node, static_cast<int>(-refused));
  }
  return {};
}

}  // namespace

Result<void> reserve_machine_range(const Layout& layout) {
  if (layout.stride == 0 || layout.cells == 0) {
    return fail(Code::bad_argument, "the machine does not fit into its address range");
  }
  if (auto gate = open_memory_gate(); !gate) return gate;
  const std::lock_guard lock(reservation.mutex);
  const bool held = reservation.process == ::getpid();
  if (held && reservation.layout == layout) return {};
  if (held) return fail(Code::exhausted, "this process is part of another machine already");
  const std::uint64_t bytes = layout.held_end() - layout.base;
  const long got = take_addresses(layout.base, bytes, MAP_FIXED_NOREPLACE);
  if (got < 0 || static_cast<std::uint64_t>(got) != layout.base) {
    if (got >= 0) memory_call(SYS_munmap, static_cast<std::uint64_t>(got), bytes);
    return fail(Code::exhausted, "something else lies in the address range of the machine", -1,
                got < 0 ? static_cast<int>(-got) : EEXIST);
  }
  reservation.layout = layout;
  reservation.process = ::getpid();
  reservation.mapped = CellSet();
  return {};
}

bool machine_range_is_reserved(const Layout& layout) {
  const std::lock_guard lock(reservation.mutex);
  return reservation.process == ::getpid() && reservation.layout == layout;
}

void release_machine_range(const Layout& layout) {
  const std::lock_guard lock(reservation.mutex);
  if (reservation.process != ::getpid() || !(reservation.layout == layout)) return;
  memory_call(SYS_munmap, layout.base, layout.held_end() - layout.base);
  reservation.process = 0;
}

Fence::Fence(Fence&& other) noexcept
    : layout_(other.layout_),
      node_(std::exchange(other.node_, -1)),
      mode_(other.mode_),
      owns_kernel_mapping_(other.owns_kernel_mapping_),
      userfault_(std::move(other.userfault_)) {}

Fence& Fence::operator=(Fence&& other) noexcept {
  if (this == &other) return *this;
  Fence old(std::move(*this));  // goes first: both may be of the same node
  layout_ = other.layout_;
  node_ = std::exchange(other.node_, -1);
  mode_ = other.mode_;
  owns_kernel_mapping_ = other.owns_kernel_mapping_;
  userfault_ = std::move(other.userfault_);
  return *this;
}

Fence::~Fence() {
  if (node_ < 0) return;
  // The mapping goes before the descriptor that protects it.
  take_addresses(layout_.user_begin(node_), layout_.user_bytes, MAP_FIXED);
  if (owns_kernel_mapping_) {
    take_addresses(layout_.kernel_begin(node_), layout_.kernel_bytes, MAP_FIXED);
    if (layout_.has_views()) hide(layout_.mould_begin(node_), layout_.user_bytes);
  }
  end_fence(node_);
}

Result<Fence> Fence::map(const Layout& layout, CellId node, UniqueFd kernel_memory,
                         UniqueFd user_memory, FirewallMode mode) {
  UniqueFd for_mould(::fcntl(user_memory.get(), F_DUPFD_CLOEXEC, 0));
  if (!for_mould) return fail(Code::exhausted, "no descriptor left", node, errno);
  auto fence = map_user_only(layout, node, std::move(user_memory), mode);
  if (!fence) return fence;
  fence->owns_kernel_mapping_ = true;
  if (auto mould = fence->map_mould(for_mould); !mould) return fail(mould.error());
  auto kernel = map_memory(layout.kernel_begin(node), layout.kernel_bytes, kernel_memory, node);
  if (!kernel) return fail(kernel.error());
  return fence;
}

Result<Fence> Fence::map_user_only(const Layout& layout, CellId node, UniqueFd user_memory,
                                   FirewallMode mode) {
  if (node < 0 || static_cast<std::uint32_t>(node) >= layout.cells) {
    return fail(Code::bad_argument, "no such node", node);
  }
  if (auto begun = begin_fence(layout, node); !begun) return fail(begun.error());
  Fence fence;
  fence.layout_ = layout;
  fence.node_ = node;  // from here on its destructor puts everything back
  fence.mode_ = mode;
  const std::uint64_t address = layout.user_begin(node);
  if (auto mapped = map_memory(address, layout.user_bytes, user_memory, node); !mapped) {
    return fail(mapped.error());
  }
  if (mode == FirewallMode::cooperative) return fence;
  auto userfault = make_userfaultfd();
  if (!userfault) return fail(userfault.error());
  fence.userfault_ = std::move(*userfault);
  const int refused = userfault_register(fence.userfault_.get(), address, layout.user_bytes);
  if (refused != 0) {
    return fail(Code::host, "userfaultfd does not take the memory of a node", node, refused);
  }
  return fence;
}

Result<void> Fence::map_mould(const UniqueFd& user_memory) const {
  if (!layout_.has_views() || mode_ == FirewallMode::cooperative) return {};
  return map_memory(layout_.mould_begin(node_), layout_.user_bytes, user_memory, node_, PROT_NONE);
}

Result<UniqueFd> Fence::copy_for_home() const {
  if (mode_ == FirewallMode::cooperative) return UniqueFd();
  UniqueFd copy(::fcntl(userfault_.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail(Code::exhausted, "no descriptor left", node_, errno);
  return copy;
}

Result<void> Fence::arm() {
  if (mode_ != FirewallMode::mmu) return {};
  const long refused =
      protect(layout_.user_begin(node_), layout_.user_bytes, PROT_READ | PROT_WRITE);
  if (refused < 0) return fail(Code::host, "mprotect", node_, static_cast<int>(-refused));
  return {};
}

Result<void> Fence::begin_stores(PageRange range) const {
  return set_protection(range, PROT_READ | PROT_WRITE);
}

Result<void> Fence::end_stores(PageRange range) const {
  if (mode_ != FirewallMode::mmu) return set_protection(range, PROT_READ);
  if (!layout_.has_pages(range)) return fail(Code::bad_argument, "no such page", node_);
  const int refused =
      userfault_protect(userfault_.get(), layout_.user_begin(node_) + range.first * page_bytes,
                        range.count * page_bytes, true);
  if (refused != 0) return fail(Code::host, "UFFDIO_WRITEPROTECT", node_, refused);
  return {};
}

Result<void> Fence::show(std::uint64_t address, PageRange frames, bool stores) const {
  const std::uint64_t bytes = frames.count * page_bytes;
  if (mode_ == FirewallMode::cooperative || !owns_kernel_mapping_) {
    return fail(Code::refused, "there are no views without the firewall", node_);
  }
  if (!layout_.has_pages(frames) || frames.count == 0 || !layout_.in_views(address, bytes)) {
    return fail(Code::bad_argument, "no such page", node_);
  }
  const auto give_up = [&](long refused, const char* cause) {
    hide(address, bytes);
    return fail(refused == ENOMEM ? Code::exhausted : Code::host, cause, node_,
                static_cast<int>(refused));
  };
  // Of no old pages at all: Linux makes a second mapping of the same memory, which is registered
  // nowhere, and as inaccessible as the mould.
  const long got = memory_call(SYS_mremap, layout_.mould_begin(node_) + frames.first * page_bytes,
                               0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, address);
  if (got < 0) return give_up(-got, "the process has too many mappings");
  if (const int refused = userfault_register(userfault_.get(), address, bytes); refused != 0) {
    return give_up(refused, "userfaultfd does not take a view");
  }
  const bool writable = stores && mode_ == FirewallMode::mmu;
  const long refused = protect(address, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ);
  if (refused < 0) return give_up(-refused, "mprotect");
  return {};
}

void Fence::hide(std::uint64_t address, std::uint64_t bytes) noexcept {
  take_addresses(address, bytes, MAP_FIXED);
}

Result<void> Fence::let_stores(std::uint64_t address, std::uint64_t bytes, bool on) const {
  if (mode_ != FirewallMode::mmu_windowed) return {};
  if (!layout_.in_views(address, bytes)) return fail(Code::bad_argument, "no such page", node_);
  const long refused = protect(address, bytes, on ? PROT_READ | PROT_WRITE : PROT_READ);
  if (refused < 0) return fail(Code::host, "mprotect", node_, static_cast<int>(-refused));
  return {};
}

Result<void> Fence::set_protection(PageRange range, int protection) const {
  if (mode_ == FirewallMode::mmu) return {};
  if (!layout_.has_pages(range)) return fail(Code::bad_argument, "no such page", node_);
  const long refused = protect(layout_.user_begin(node_) + range.first * page_bytes,
                               range.count * page_bytes, protection);
  if (refused < 0) return fail(Code::host, "mprotect", node_, static_cast<int>(-refused));
  return {};
}

}  // namespace hive::machine

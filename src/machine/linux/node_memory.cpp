// The memory of a node, in the hands of its own kernel.
#include <atomic>
#include <cerrno>
#include <new>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "machine/linux/firewall.h"
#include "machine/linux/memory_limits.h"
#include "machine/linux/node_mapping.h"
#include "machine/node_header.h"
#include "machine/sips.h"

namespace hive::machine {
namespace {

constexpr std::uint64_t whole_pages(std::uint64_t bytes) {
  return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

// Refills are small and frequent; a look at the host's memory would cost more than they do.
constexpr std::uint64_t small_refill_bytes = std::uint64_t{4} << 20;

Result<UniqueFd> make_memory(const char* kind, CellId node, std::uint64_t bytes) {
  const std::string name = std::string("hive-") + kind + "-" + std::to_string(node);
  UniqueFd memory(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory) return hive::fail(Code::exhausted, "memfd_create", node, errno);
  if (::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
    return hive::fail(Code::exhausted, "the memory of a node is larger than the host allows", node,
                      errno);
  }
  return memory;
}

Result<UniqueFd> copy_of(const UniqueFd& fd, CellId node) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return hive::fail(Code::exhausted, "no descriptor left", node, errno);
  return copy;
}

void write_header(const Layout& layout, CellId node, std::uint64_t incarnation) {
  auto* header = ::new (static_cast<void*>(node_header(layout, node))) NodeHeader{};
  header->magic = node_magic;
  header->layout_version = node_layout_version;
  header->node = static_cast<std::uint32_t>(node);
  header->header_bytes = sizeof(NodeHeader);
  header->incarnation = incarnation;
  header->kernel_pid = ::getpid();
  header->rings_offset = page_bytes;
  header->consumed_offset = header->rings_offset + sizeof(SipsRing) * layout.cells;
  header->heap_offset = whole_pages(header->consumed_offset + sizeof(SipsConsumed) * layout.cells);
  for (std::uint32_t cell = 0; cell < layout.cells; ++cell) {
    const std::uint64_t begin = layout.kernel_begin(node);
    ::new (reinterpret_cast<void*>(begin + header->rings_offset + cell * sizeof(SipsRing)))
        SipsRing;
    ::new (reinterpret_cast<void*>(begin + header->consumed_offset + cell * sizeof(SipsConsumed)))
        SipsConsumed;
  }
}

}  // namespace

struct NodeMemory::State {
  State(const Layout& l, CellId n) : layout(l), node(n) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (!kernel_mapped) return;
    take_addresses(layout.kernel_begin(node), layout.kernel_bytes, MAP_FIXED);
  }

  Result<void> map_kernel_memory();
  Result<void> map_user_memory(FirewallMode mode);

  Layout layout;
  CellId node;
  UniqueFd kernel;
  UniqueFd user;
  bool kernel_mapped = false;
  std::atomic<bool> failed{false};  // for good: nothing may bring pages back
  std::unique_ptr<Fence> fence;
  std::unique_ptr<FencedSpace> own_space;
};

Result<void> NodeMemory::State::map_kernel_memory() {
  const std::uint64_t begin = layout.kernel_begin(node);
  const long got = map_fixed(begin, layout.kernel_bytes, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_FIXED | MAP_POPULATE, kernel.get());
  if (got < 0) {
    return hive::fail(Code::host, "cannot map kernel memory", node, static_cast<int>(-got));
  }
  kernel_mapped = true;
  if (const long refused = keep_to_this_process(begin, layout.kernel_bytes); refused < 0) {
    return hive::fail(Code::host, "madvise", node, static_cast<int>(-refused));
  }
  // From here on nobody can map it writable or write to it, by any descriptor. Its size stays
  // free, because that is how memory is made to fail.
  if (::fcntl(kernel.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return hive::fail(Code::host, "kernel memory cannot be sealed", node, errno);
  }
  return {};
}

Result<void> NodeMemory::State::map_user_memory(FirewallMode mode) {
  auto copy = copy_of(user, node);
  if (!copy) return hive::fail(copy.error());
  auto mapped = Fence::map_user_only(layout, node, std::move(*copy), mode);
  if (!mapped) return hive::fail(mapped.error());
  auto userfault = mapped->copy_for_home();
  if (!userfault) return hive::fail(userfault.error());
  own_space = std::make_unique<FencedSpace>(std::move(*userfault), layout, node, mode);
  fence = std::make_unique<Fence>(std::move(*mapped));
  return fence->arm();
}

Result<NodeMemory> NodeMemory::create(const Layout& layout, CellId node, std::uint64_t incarnation,
                                      FirewallMode mode, const Test& test) {
  if (!machine_range_is_reserved(layout) || node < 0 ||
      static_cast<std::uint32_t>(node) >= layout.cells) {
    return hive::fail(Code::bad_argument, "no such node in the range of this process", node);
  }
  auto state = std::make_unique<State>(layout, node);
  auto kernel = make_memory("kernel", node, layout.kernel_bytes);
  if (!kernel) return hive::fail(kernel.error());
  state->kernel = std::move(*kernel);
  auto user = make_memory("user", node, layout.user_bytes);
  if (!user) return hive::fail(user.error());
  state->user = std::move(*user);
  // Once it has failed, nothing brings any of it back.
  if (::fcntl(state->user.get(), F_ADD_SEALS, F_SEAL_GROW) != 0) {
    return hive::fail(Code::host, "user memory cannot be sealed", node, errno);
  }
  // Linux running out of memory later must not look like a node that fails.
  if (auto done = populate_memory(state->user.get(), 0, layout.user_bytes); !done) {
    return hive::fail(done.error());
  }
  if (auto done = populate_memory(state->kernel.get(), 0, layout.kernel_bytes); !done) {
    return hive::fail(done.error());
  }
  if (test) {
    auto sound = test(state->kernel.get(), layout.kernel_bytes);
    if (sound) sound = test(state->user.get(), layout.user_bytes);
    if (!sound) return hive::fail(sound.error());
  }
  if (auto done = state->map_kernel_memory(); !done) return hive::fail(done.error());
  write_header(layout, node, incarnation);
  if (auto done = state->map_user_memory(mode); !done) return hive::fail(done.error());
  return NodeMemory(std::move(state));
}

NodeMemory::NodeMemory(std::unique_ptr<State> state) : state_(std::move(state)) {}
NodeMemory::NodeMemory(NodeMemory&&) noexcept = default;
NodeMemory& NodeMemory::operator=(NodeMemory&&) noexcept = default;
NodeMemory::~NodeMemory() = default;

Result<UniqueFd> NodeMemory::kernel_descriptor() const {
  return copy_of(state_->kernel, state_->node);
}
Result<UniqueFd> NodeMemory::user_descriptor() const {
  return copy_of(state_->user, state_->node);
}

FencedSpace& NodeMemory::own_space() { return *state_->own_space; }

Result<void> NodeMemory::take_back(PageRange range) {
  if (!state_->layout.has_pages(range)) {
    return hive::fail(Code::bad_argument, "no such page", state_->node);
  }
  if (range.count == 0) return {};
  if (::fallocate(state_->user.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(range.first * page_bytes),
                  static_cast<off_t>(range.count * page_bytes)) != 0) {
    return hive::fail(Code::host, "pages cannot be taken back", state_->node, errno);
  }
  state_->own_space->forget(range);
  return {};
}

Result<void> NodeMemory::refill(PageRange range) {
  if (!state_->layout.has_pages(range)) {
    return hive::fail(Code::bad_argument, "no such page", state_->node);
  }
  if (state_->failed.load()) {
    return hive::fail(Code::lost, "the memory of the node has failed", state_->node);
  }
  const std::uint64_t offset = range.first * page_bytes;
  const std::uint64_t bytes = range.count * page_bytes;
  if (bytes > small_refill_bytes) return populate_memory(state_->user.get(), offset, bytes);
  while (bytes > 0 && ::fallocate(state_->user.get(), FALLOC_FL_KEEP_SIZE,
                                  static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0) {
    if (errno == EINTR) continue;
    return hive::fail(Code::exhausted, "the host has no memory for a page", state_->node, errno);
  }
  return {};
}

namespace {

// Moves `bytes` in as many steps as Linux needs; step() moves some at that offset.
template <class Step>
Result<void> move_all(CellId node, std::uint64_t offset, std::uint64_t bytes, Step step) {
  for (std::uint64_t done = 0; done < bytes;) {
    const ssize_t moved = step(done, static_cast<off_t>(offset + done));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return hive::fail(Code::host, "frames cannot be copied", node, errno);
    if (moved == 0) return hive::fail(Code::lost, "the memory of the node has failed", node);
    done += static_cast<std::uint64_t>(moved);
  }
  return {};
}

}  // namespace

Result<void> NodeMemory::read(std::uint64_t offset, std::span<std::byte> out) const {
  return move_all(state_->node, offset, out.size(), [&](std::uint64_t done, off_t at) {
    return ::pread(state_->user.get(), out.data() + done, out.size() - done, at);
  });
}

Result<void> NodeMemory::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (offset > state_->layout.user_bytes || bytes.size() > state_->layout.user_bytes - offset) {
    return hive::fail(Code::bad_argument, "no such page", state_->node);
  }
  if (state_->failed.load()) {
    return hive::fail(Code::lost, "the memory of the node has failed", state_->node);
  }
  return move_all(state_->node, offset, bytes.size(), [&](std::uint64_t done, off_t at) {
    return ::pwrite(state_->user.get(), bytes.data() + done, bytes.size() - done, at);
  });
}

void NodeMemory::fail() {
  state_->failed.store(true);
  // User memory first: truncating kernel memory may end the caller.
  [[maybe_unused]] const int user = ::ftruncate(state_->user.get(), 0);
  [[maybe_unused]] const int kernel = ::ftruncate(state_->kernel.get(), 0);
}

}  // namespace hive::machine

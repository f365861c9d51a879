#include "lib/peer.h"

#include <array>

#include <sched.h>
#include <sys/socket.h>

#include "base/safe_copy.h"
#include "base/time.h"
#include "machine/linux/fd_channel.h"
#include "proto/attach.h"

namespace hive::lib {
namespace {

GateSurroundings surroundings(const Attached& attached, const Membership& membership,
                              CallState& state) {
  const auto& welcome = attached.welcome;
  GateSurroundings with;
  with.self = membership.cell;
  with.server = welcome.node;
  with.own_header = membership.own_header();
  with.server_header = machine::node_header(membership.layout, welcome.node);
  with.replies = reinterpret_cast<const proto::GateReplies*>(welcome.replies);
  with.layout = &welcome.layout;
  with.requests = attached.requests.requests();
  with.doorbell = attached.doorbell.get();
  with.closing = &state.closing;
  with.spin = &state.spin;
  return with;
}

// The header of the node is what everything else is found by.
Result<void> check_header(const Attached& attached) {
  const CellId cell = attached.welcome.node;
  const machine::NodeHeader* header = machine::node_header(attached.welcome.layout, cell);
  std::uint32_t magic = 0;
  std::uint32_t version = 0;
  std::uint64_t incarnation = 0;
  if (!safe_load32(&header->magic, magic) || !safe_load32(&header->layout_version, version) ||
      !safe_load64(&header->incarnation, incarnation)) {
    return fail(Code::cell_down, "the memory of the cell has failed", cell);
  }
  // Only magic and version are at the same place in every layout: they come first.
  if (magic == machine::node_magic && version != machine::node_layout_version) {
    return fail(Code::version,
                "the machine lays out its memory otherwise than this program's libhive: "
                "it needs the libhive of the machine's version",
                cell);
  }
  if (magic != machine::node_magic || incarnation != attached.welcome.incarnation) {
    return fail(Code::corrupt, "the memory of the cell is not what its welcome said", cell);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Peer>> Peer::create(Attached attached, const Membership& membership,
                                           CallState& state) {
  if (auto header = check_header(attached); !header) return fail(header.error());
  return std::unique_ptr<Peer>(new Peer(std::move(attached), membership, state));
}

Peer::Peer(Attached attached, const Membership& membership, CallState& state)
    : cell_(attached.welcome.node),
      incarnation_(attached.welcome.incarnation),
      mode_(static_cast<machine::FirewallMode>(attached.welcome.firewall_mode)),
      attached_(std::make_unique<Attached>(std::move(attached))),
      gate_(surroundings(*attached_, membership, state)),
      windows_(mode_),
      pages_(attached_->welcome.layout, cell_, attached_->welcome.pages),
      views_(state.views) {}

void Peer::mark_used(std::uint32_t entry, std::uint32_t sweep) noexcept {
  auto* const marks = reinterpret_cast<std::uint32_t*>(
      reinterpret_cast<std::byte*>(attached_->requests.requests()) + proto::gate_used_offset);
  const std::atomic_ref<std::uint32_t> mark(marks[entry % proto::gate_used_words]);
  // Most of the time it is there already, and the line stays shared.
  if (mark.load(std::memory_order_relaxed) != sweep) mark.store(sweep, std::memory_order_relaxed);
}

void Peer::hang_up() noexcept {
  if (retired_.exchange(true, std::memory_order_seq_cst) || attached_ == nullptr) return;
  // Not just closed: a child of fork may hold a copy, and the cell is to see the end now. Without
  // the goodbye it would take the end of the connection for our death.
  (void)machine::channel_send(attached_->connection.get(),
                              machine::bytes_of(proto::AttachGoodbye{}), {}, 0);
  ::shutdown(attached_->connection.get(), SHUT_RDWR);
}

bool Peer::retire(std::uint64_t deadline_ns) noexcept {
  hang_up();
  while (users_.load(std::memory_order_acquire) != 0) {
    if (now_ns() >= deadline_ns) return false;
    ::sched_yield();
  }
  // Without the fence nothing would protect what they show.
  views_.hide_all_of(this);
  attached_.reset();
  return true;
}

void Peer::close_in_child() noexcept {
  // The object itself stays as it is: a copy of the parent's, never used nor destroyed.
  if (retired_.load() || attached_ == nullptr) return;
  ::close(attached_->connection.get());
  ::close(attached_->doorbell.get());
}

}  // namespace hive::lib

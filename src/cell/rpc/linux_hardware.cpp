#include "cell/rpc/linux_hardware.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <limits>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/futex.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "machine/linux/power.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t nap_ns = 50 * ns_per_us;
// The longest sleep of a caller before it looks for itself whether its call has ended: its ring
// may have gone with the memory of a node, and nobody can wake those who sleep on it then.
constexpr std::uint64_t look_again_ns = 10 * ns_per_ms;

// Whether `count` objects of this size fit at the offset in a node's kernel memory.
bool fits(const machine::Layout& layout, std::uint64_t offset, std::size_t size,
          std::uint32_t count) {
  return offset % 64 == 0 && offset <= layout.kernel_bytes &&
         std::uint64_t{size} * count <= layout.kernel_bytes - offset;
}

UniqueFd edge_triggered(int fd) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  HIVE_CHECK(epoll.valid() && ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  return epoll;
}

}  // namespace

Result<UniqueFd> LinuxHardware::make_doorbell() {
  UniqueFd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd) return fail(Code::host, "no eventfd for a doorbell", -1, errno);
  return fd;
}

LinuxHardware::LinuxHardware(const machine::Layout& layout, CellId self, UniqueFd own_doorbell)
    : layout_(layout),
      self_(self),
      own_(machine::node_header(layout, self)),
      doorbell_(std::move(own_doorbell)),
      doorbell_epoll_(edge_triggered(doorbell_.get())) {
  HIVE_CHECK(self >= 0 && self < cells());
  HIVE_CHECK(own_->magic == machine::node_magic);
  HIVE_CHECK(fits(layout, own_->rings_offset, sizeof(machine::SipsRing), layout.cells));
  HIVE_CHECK(fits(layout, own_->consumed_offset, sizeof(machine::SipsConsumed), layout.cells));
}

Result<void> LinuxHardware::connect(CellId peer, PeerDescriptors descriptors) {
  if (!is_peer(peer)) return fail(Code::bad_argument, "there is no such cell", peer);
  const machine::NodeHeader* header = machine::node_header(layout_, peer);
  // Only the plain numbers at its head are of interest; they never change once it is up.
  struct Head {
    std::uint32_t magic, layout_version, node, header_bytes;
    std::uint64_t incarnation;
    std::int32_t kernel_pid;
    std::uint32_t reserved;
    std::uint64_t rings_offset, consumed_offset;
  } head;
  static_assert(offsetof(Head, consumed_offset) == offsetof(machine::NodeHeader, consumed_offset));
  if (!safe_copy(&head, header, sizeof head)) {
    return fail(Code::cell_down, "bus error while reading the node's header", peer);
  }
  if (head.magic != machine::node_magic || head.node != static_cast<std::uint32_t>(peer) ||
      !fits(layout_, head.rings_offset, sizeof(machine::SipsRing), layout_.cells) ||
      !fits(layout_, head.consumed_offset, sizeof(machine::SipsConsumed), layout_.cells)) {
    return fail(Code::corrupt, "the node's header makes no sense", peer);
  }
  const std::uint64_t own_base = layout_.kernel_begin(self_);
  const std::uint64_t peer_base = layout_.kernel_begin(peer);
  auto* ring_to = reinterpret_cast<machine::SipsRing*>(own_base + own_->rings_offset) + peer;
  auto* consumed_from =
      reinterpret_cast<machine::SipsConsumed*>(own_base + own_->consumed_offset) + peer;

  Link& l = link(peer);
  l.header = header;
  l.ring_from = reinterpret_cast<const machine::SipsRing*>(peer_base + head.rings_offset) + self_;
  l.sender.emplace(
      ring_to,
      reinterpret_cast<const machine::SipsConsumed*>(peer_base + head.consumed_offset) + self_,
      self_, peer);
  l.receiver.emplace(l.ring_from, consumed_from, peer, self_);
  l.next_sequence.store(1, std::memory_order_relaxed);
  {
    const std::scoped_lock lock(l.descriptors_mutex);
    l.descriptors = std::move(descriptors);
    l.known_off = false;
  }
  l.connected.store(true, std::memory_order_release);
  return {};
}

void LinuxHardware::disconnect(CellId peer) {
  if (!is_peer(peer)) return;
  Link& l = link(peer);
  l.connected.store(false, std::memory_order_release);
  const std::scoped_lock lock(l.descriptors_mutex);
  l.descriptors.doorbell.reset();
}

void LinuxHardware::forget(CellId peer) {
  disconnect(peer);
  if (!is_peer(peer)) return;
  const std::uint64_t base = layout_.kernel_begin(self_);
  auto& ring = reinterpret_cast<machine::SipsRing*>(base + own_->rings_offset)[peer];
  auto& consumed = reinterpret_cast<machine::SipsConsumed*>(base + own_->consumed_offset)[peer];
  for (machine::SipsSlot& slot : ring.slots) slot.sequence.store(0, std::memory_order_relaxed);
  consumed.count.store(0, std::memory_order_release);
}

std::uint64_t LinuxHardware::now_ns() noexcept { return hive::now_ns(); }

// --- sending

bool LinuxHardware::send(CellId to, std::span<const std::byte> payload) noexcept {
  return send_and_wake(to, payload, true);
}

bool LinuxHardware::send_garbled(CellId to, std::span<const std::byte> payload) noexcept {
  return send_and_wake(to, payload, true, 1);
}

bool LinuxHardware::send_reply(CellId to, std::span<const std::byte> payload) noexcept {
  return send_and_wake(to, payload, false);
}

bool LinuxHardware::send_and_wake(CellId to, std::span<const std::byte> payload,
                                  bool doorbell, std::uint32_t damage) noexcept {
  Link& l = link(to);
  if (!l.connected.load(std::memory_order_acquire) || !l.sender->send(payload, damage)) {
    return false;
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::uint32_t asleep = 0;
  if (doorbell && safe_load32(&l.header->receiver_asleep, asleep) && asleep != 0) ring_doorbell(l);
  if (safe_load32(&l.header->reply_sleepers, asleep) && asleep != 0) {
    futex_wake(l.sender->last_sent_word(), std::numeric_limits<int>::max());
  }
  return true;
}

void LinuxHardware::ring_doorbell(Link& to) noexcept {
  const std::uint64_t one = 1;
  const std::scoped_lock lock(to.descriptors_mutex);
  if (!to.descriptors.doorbell) return;
  // Full means that it has been rung often enough.
  [[maybe_unused]] const auto written = ::write(to.descriptors.doorbell.get(), &one, sizeof one);
}

// --- receiving

machine::SipsReceived LinuxHardware::receive(CellId from, machine::SipsMessage& out) noexcept {
  Link& l = link(from);
  if (!l.connected.load(std::memory_order_acquire)) return machine::SipsReceived::none;
  // Only now: what the caller did with the message before is seen by whoever sees it gone.
  l.next_sequence.store(l.receiver->next_sequence(), std::memory_order_release);
  return l.receiver->receive(out);
}

const std::atomic<std::uint32_t>* LinuxHardware::next_word(const Link& from,
                                                           std::uint32_t sequence) const noexcept {
  return &from.ring_from->slots[(sequence - 1) % machine::sips_slots].sequence;
}

bool LinuxHardware::has_mail(CellId from) const noexcept {
  const Link& l = link(from);
  if (!l.connected.load(std::memory_order_acquire)) return false;
  const std::uint32_t next = l.next_sequence.load(std::memory_order_acquire);
  std::uint32_t sequence = 0;
  return safe_load32(next_word(l, next), sequence) && sequence == next;
}

CellSet LinuxHardware::mail(CellSet from) const noexcept {
  CellSet found;
  for (; !from.empty(); from.remove(from.lowest())) {
    if (has_mail(from.lowest())) found.add(from.lowest());
  }
  return found;
}

void LinuxHardware::wait_for_reply(CellId from, const std::atomic<std::uint32_t>& state,
                                   std::uint32_t expected, std::uint64_t deadline_ns) noexcept {
  const Link& l = link(from);
  own_->reply_sleepers.fetch_add(1, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint64_t until = std::min(deadline_ns, now_ns() + look_again_ns);
  FutexWait outcome = FutexWait::fault;
  if (l.connected.load(std::memory_order_acquire)) {
    // In this order: a message that is no longer next has left its mark in the state.
    const std::uint32_t next = l.next_sequence.load(std::memory_order_acquire);
    const auto* word = next_word(l, next);
    std::uint32_t value = 0;
    if (safe_load32(word, value)) {
      const bool look = value == next || state.load(std::memory_order_acquire) != expected;
      outcome = look ? FutexWait::woken : futex_wait(word, value, until);
    }
  }
  // A ring that can't be read brings no reply; the end of the call is then told by its state
  // alone.
  if (outcome == FutexWait::fault) futex_wait(&state, expected, until);
  own_->reply_sleepers.fetch_sub(1, std::memory_order_relaxed);
}

void LinuxHardware::wake_callers(CellId from) noexcept {
  const Link& l = link(from);
  if (!is_peer(from) || l.ring_from == nullptr || own_->reply_sleepers.load() == 0) return;
  // On every slot: whoever died between a message and its wake leaves sleepers behind.
  for (const machine::SipsSlot& slot : l.ring_from->slots) {
    futex_wake(&slot.sequence, std::numeric_limits<int>::max());
  }
}

void LinuxHardware::sleep_until_mail(CellSet from, std::uint64_t deadline_ns) noexcept {
  own_->receiver_asleep.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint64_t now = now_ns();
  if (mail(from).empty() && now < deadline_ns) {
    const timespec left = to_timespec(deadline_ns - now);
    epoll_event event;
    ::epoll_pwait2(doorbell_epoll_.get(), &event, 1, &left, nullptr);
  }
  own_->receiver_asleep.store(0, std::memory_order_relaxed);
}

void LinuxHardware::wake_receiver() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(doorbell_.get(), &one, sizeof one);
}

void LinuxHardware::nap() noexcept {
  const timespec t = to_timespec(nap_ns);
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
}

// --- memory and power

bool LinuxHardware::read_remote(std::uint64_t address, void* out, std::size_t bytes) noexcept {
  const CellId node = layout_.node_of(address);
  if (node < 0 || bytes > layout_.user_end(node) - std::min(address, layout_.user_end(node))) {
    return false;
  }
  return safe_copy(out, reinterpret_cast<const void*>(address), bytes);
}

void LinuxHardware::power_off(CellId node) noexcept {
  if (!is_peer(node)) return;
  Link& l = link(node);
  const std::scoped_lock lock(l.descriptors_mutex);
  if (!l.descriptors.power_pidfd) return;
  ::syscall(SYS_pidfd_send_signal, l.descriptors.power_pidfd.get(), SIGKILL, nullptr, 0);
}

bool LinuxHardware::is_off(CellId node) noexcept {
  if (!is_peer(node)) return false;
  Link& l = link(node);
  const std::scoped_lock lock(l.descriptors_mutex);
  if (l.known_off) return true;
  const PeerDescriptors& d = l.descriptors;
  l.known_off = d.power_pidfd && d.starter_pidfd && machine::pidfd_is_dead(d.power_pidfd.get()) &&
                machine::pidfd_is_dead(d.starter_pidfd.get());
  return l.known_off;
}

}  // namespace hive::cell

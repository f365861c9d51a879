#include "cell/control/peers.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "machine/linux/fd_channel.h"
#include "proto/attach.h"

namespace hive::cell {
namespace {

template <class T>
bool read_as(const machine::ChannelMessage& message, T& out) {
  if (message.bytes.size() != sizeof out) return false;
  std::memcpy(&out, message.bytes.data(), sizeof out);
  return out.magic == proto::attach_magic;
}

Result<void> check_welcome(const proto::AttachWelcome& welcome, const Config& config,
                           CellId cell) {
  if (welcome.version != proto::protocol_version) {
    return fail(Code::version, "the cell speaks another protocol version", cell);
  }
  if (welcome.accepted == 0) {
    if (welcome.code == static_cast<std::uint32_t>(Code::busy)) {
      return fail(Code::busy, "the cell has not yet done with this node's last incarnation", cell);
    }
    return fail(Code::refused, "the cell refused this kernel", cell);
  }
  if (welcome.layout != config.layout || welcome.node != cell) {
    return fail(Code::corrupt, "the cell's welcome does not fit this machine", cell);
  }
  return {};
}

Result<machine::ChannelMessage> answer(int socket, CellId cell, std::uint64_t deadline_ns) {
  auto message = machine::channel_receive(socket, deadline_ns);
  if (message && message->end)
    return fail(Code::cell_down, "the cell closed the connection", cell);
  return message;
}

// A memfd through /proc, because an O_PATH descriptor itself can do nothing.
Result<void> truncate_path(const UniqueFd& path) {
  if (!path) return {};
  const std::string name = "/proc/self/fd/" + std::to_string(path.get());
  const UniqueFd file(::open(name.c_str(), O_RDWR | O_CLOEXEC));
  if (!file || ::ftruncate(file.get(), 0) != 0) {
    return fail(Code::host, "a dead node's memory can not be given back", -1, errno);
  }
  return {};
}

}  // namespace

Result<Peer> connect_peer(const Config& config, CellId cell, int own_pidfd,
                          std::uint64_t deadline_ns) {
  Peer peer;
  peer.cell = cell;
  auto connection = machine::channel_connect(config.socket_path(cell));
  if (!connection) return fail(connection.error());
  peer.connection = std::move(*connection);
  const int socket = peer.connection.get();

  proto::AttachHello hello;
  hello.kind = proto::AttachKind::kernel;
  hello.cell = config.self;
  hello.incarnation = config.incarnation;
  if (auto sent = machine::channel_send(socket, machine::bytes_of(hello), {&own_pidfd, 1},
                                        deadline_ns);
      !sent) {
    return fail(sent.error());
  }
  auto message = answer(socket, cell, deadline_ns);
  if (!message) return fail(message.error());
  proto::AttachWelcome welcome;
  if (!read_as(*message, welcome)) return fail(Code::corrupt, "not a welcome", cell);
  if (auto fits = check_welcome(welcome, config, cell); !fits) return fail(fits.error());
  auto& fds = message->fds;
  if (fds.size() != welcome_fds)
    return fail(Code::corrupt, "a welcome without its descriptors", cell);
  peer.incarnation = welcome.incarnation;
  peer.doorbell = std::move(fds[welcome_doorbell]);
  peer.power_pidfd = std::move(fds[welcome_power_pidfd]);
  peer.starter_pidfd = std::move(fds[welcome_starter_pidfd]);
  peer.kernel_pidfd = std::move(fds[welcome_kernel_pidfd]);
  peer.kernel_path = std::move(fds[welcome_kernel_path]);
  peer.user_path = std::move(fds[welcome_user_path]);

  auto fence = machine::Fence::map(config.layout, cell, std::move(fds[welcome_kernel_memory]),
                                   std::move(fds[welcome_user_memory]), config.firewall);
  if (!fence) return fail(fence.error());
  UniqueFd userfault;
  if (config.firewall != machine::FirewallMode::cooperative) {
    auto copy = fence->copy_for_home();
    if (!copy) return fail(copy.error());
    userfault = std::move(*copy);
  }
  const int fd = userfault.get();
  if (auto sent = machine::channel_send(socket, machine::bytes_of(proto::AttachFence{}),
                                        {&fd, userfault ? 1U : 0U}, deadline_ns);
      !sent) {
    return fail(sent.error());
  }
  auto ready_message = answer(socket, cell, deadline_ns);
  if (!ready_message) return fail(ready_message.error());
  proto::AttachReady ready;
  if (!read_as(*ready_message, ready) || ready.code != 0) {
    return fail(Code::refused, "the cell did not take this kernel's fence", cell);
  }
  if (auto armed = fence->arm(); !armed) return fail(armed.error());
  peer.fence.emplace(std::move(*fence));
  return peer;
}

DeadMemory memory_of(const Peer& peer) {
  const auto copy = [](const UniqueFd& fd) {
    return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  };
  return {copy(peer.kernel_path), copy(peer.user_path)};
}

Result<void> truncate(const DeadMemory& memory) {
  auto user = truncate_path(memory.user_path);
  auto kernel = truncate_path(memory.kernel_path);
  return user ? kernel : user;
}

void Peers::add(Peer peer) {
  const std::scoped_lock lock(mutex_);
  const auto cell = static_cast<std::size_t>(peer.cell);
  last_incarnations_[cell] = std::max(last_incarnations_[cell], peer.incarnation);
  peers_[cell].emplace(std::move(peer));
}

std::optional<Peer> Peers::take(CellId cell) {
  const std::scoped_lock lock(mutex_);
  return std::exchange(peers_[static_cast<std::size_t>(cell)], std::nullopt);
}

bool Peers::is_new(CellId cell, std::uint64_t incarnation) {
  const std::scoped_lock lock(mutex_);
  std::uint64_t& last = last_incarnations_[static_cast<std::size_t>(cell)];
  if (incarnation <= last) return false;
  last = incarnation;
  return true;
}

std::uint64_t Peers::attached_incarnation(CellId cell) const {
  const std::scoped_lock lock(mutex_);
  const auto& peer = peers_[static_cast<std::size_t>(cell)];
  return peer ? peer->incarnation : 0;
}

std::uint64_t Peers::last_incarnation(CellId cell) const {
  const std::scoped_lock lock(mutex_);
  return last_incarnations_[static_cast<std::size_t>(cell)];
}

}  // namespace hive::cell

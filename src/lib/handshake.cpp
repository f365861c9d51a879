#include "lib/handshake.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

#include "lib/causes.h"
#include "machine/linux/fd_channel.h"
#include "proto/runtime_dir.h"

namespace hive::lib {
namespace {

using machine::FirewallMode;
using machine::Layout;
using machine::page_bytes;

// The descriptors that come with a welcome, in this order.
enum WelcomeFd : std::size_t { kernel_memory, user_memory, doorbell, welcome_fds };

struct Welcomed {
  proto::AttachWelcome welcome;
  std::vector<UniqueFd> fds;
};

Failure about(Error e, CellId cell) {
  e.cell = static_cast<std::int16_t>(cell);
  return fail(e);
}

Failure nonsense(CellId cell) {
  return fail(Code::corrupt, "the cell's answer to attaching makes no sense", cell);
}

// Errors of a channel in terms of the cell at its other end.
Failure channel_failure(const Error& e, CellId cell) {
  switch (e.code) {
    case Code::timed_out:
      return fail(Code::timed_out, cause_no_answer, cell);
    case Code::host:
      if (e.sys_errno == EPIPE || e.sys_errno == ECONNRESET) {
        return fail(Code::cell_down, "the cell hung up", cell);
      }
      return about(e, cell);
    default:
      return about(e, cell);
  }
}

template <std::size_t N>
void copy_text(std::array<char, N>& to, std::string_view from) {
  to.fill(0);
  std::copy_n(from.data(), std::min(from.size(), N - 1), to.data());
}

Result<UniqueFd> connect(const HandshakeWish& wish) {
  const std::string path = proto::cell_socket(wish.dir, wish.cell);
  auto socket = machine::channel_connect(path);
  if (socket) return socket;
  if (socket.error().code != Code::not_found) return about(socket.error(), wish.cell);
  if (::access(path.c_str(), F_OK) != 0) {
    return fail(Code::not_found, "the machine has no cell of this number, or it never came up",
                wish.cell);
  }
  return fail(Code::cell_down, "nobody answers on the cell's socket", wish.cell);
}

Result<void> send_hello(const HandshakeWish& wish, int socket, RequestPage& requests,
                        std::uint64_t deadline_ns) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!pidfd) return fail(Code::host, "pidfd_open", wish.cell, errno);
  proto::AttachHello hello;
  hello.cell = wish.own_cell;
  hello.task = wish.task;
  hello.cookie = wish.cookie;
  copy_text(hello.program, wish.program);
  const UniqueFd memory = requests.take_descriptor();
  const std::array<int, 2> fds = {pidfd.get(), memory.get()};
  auto sent = machine::channel_send(socket, machine::bytes_of(hello), fds, deadline_ns);
  if (!sent) return channel_failure(sent.error(), wish.cell);
  return {};
}

Failure refusal(const proto::AttachWelcome& welcome, CellId cell) {
  if (!is_code(welcome.code)) return nonsense(cell);
  const std::string_view cause(welcome.cause.data(),
                               ::strnlen(welcome.cause.data(), welcome.cause.size()));
  return fail(static_cast<Code>(welcome.code), lasting_cause(cause), cell);
}

bool is_sound(const proto::AttachWelcome& welcome, const HandshakeWish& wish) {
  const Layout& layout = welcome.layout;
  if (!lib::is_sound(layout) || (wish.layout != nullptr && !(layout == *wish.layout)))
    return false;
  if (welcome.node != wish.cell || wish.cell >= static_cast<CellId>(layout.cells)) return false;
  const auto mode = static_cast<FirewallMode>(welcome.firewall_mode);
  if (mode != FirewallMode::mmu && mode != FirewallMode::mmu_windowed &&
      mode != FirewallMode::cooperative) {
    return false;
  }
  if (wish.task != 0 ? welcome.task != wish.task : welcome.task == 0) return false;
  if (welcome.span_count < 1 || welcome.span_index < 0 ||
      welcome.span_index >= welcome.span_count) {
    return false;
  }
  return welcome.replies % alignof(proto::GateReplies) == 0 &&
         layout.in_kernel(wish.cell, welcome.replies) &&
         layout.kernel_end(wish.cell) - welcome.replies >= sizeof(proto::GateReplies);
}

Result<Welcomed> receive_welcome(const HandshakeWish& wish, int socket,
                                 std::uint64_t deadline_ns) {
  auto message = machine::channel_receive(socket, deadline_ns);
  if (!message) return channel_failure(message.error(), wish.cell);
  if (message->end) return fail(Code::cell_down, "the cell hung up", wish.cell);
  Welcomed welcomed;
  proto::AttachWelcome& welcome = welcomed.welcome;
  // Magic and version come first in every version of the message.
  const std::size_t known = std::min(message->bytes.size(), sizeof welcome);
  if (known < sizeof welcome.magic + sizeof welcome.version) return nonsense(wish.cell);
  std::memcpy(static_cast<void*>(&welcome), message->bytes.data(), known);
  if (welcome.magic != proto::attach_magic) return nonsense(wish.cell);
  if (welcome.version != proto::protocol_version) {
    return fail(Code::version,
                "the machine speaks another protocol than this program's libhive: "
                "it needs the libhive of the machine's version",
                wish.cell);
  }
  if (message->bytes.size() != sizeof welcome) return nonsense(wish.cell);
  if (welcome.accepted == 0) return refusal(welcome, wish.cell);
  if (message->fds.size() != welcome_fds || !is_sound(welcome, wish)) return nonsense(wish.cell);
  welcome.span_id.back() = 0;
  welcome.machine.back() = 0;
  welcomed.fds = std::move(message->fds);
  return welcomed;
}

// The home must have its copy, and have said so, before the mapping may become writable.
Result<void> hand_over(machine::Fence& fence, int socket, CellId cell, std::uint64_t deadline_ns) {
  auto copy = fence.copy_for_home();
  if (!copy) return fail(copy.error());
  const std::array<int, 1> fds = {copy->get()};
  const std::span<const int> sent(fds.data(), copy->valid() ? 1 : 0);
  auto done =
      machine::channel_send(socket, machine::bytes_of(proto::AttachFence{}), sent, deadline_ns);
  if (!done) return channel_failure(done.error(), cell);
  copy->reset();
  auto answer = machine::channel_receive(socket, deadline_ns);
  if (!answer) return channel_failure(answer.error(), cell);
  if (answer->end) return fail(Code::cell_down, "the cell hung up", cell);
  proto::AttachReady ready;
  if (answer->bytes.size() != sizeof ready) return nonsense(cell);
  std::memcpy(&ready, answer->bytes.data(), sizeof ready);
  if (ready.magic != proto::attach_magic) return nonsense(cell);
  // The wire has the code one higher, so that zero is success.
  if (ready.code != 0) {
    const auto code = is_code(ready.code - 1) ? static_cast<Code>(ready.code - 1) : Code::refused;
    return fail(code, "the cell does not take this task's fence", cell);
  }
  return fence.arm();
}

}  // namespace

bool is_sound(const Layout& layout) {
  const auto whole = [](std::uint64_t bytes) { return bytes % page_bytes == 0; };
  if (layout.cells < 1 || layout.cells > static_cast<std::uint32_t>(max_cells)) return false;
  if (!whole(layout.base) || !whole(layout.stride) || !whole(layout.kernel_bytes) ||
      !whole(layout.user_bytes)) {
    return false;
  }
  // Each is bounded before they are added or multiplied.
  const std::uint64_t most = machine::machine_span_max;
  if (layout.base < machine::machine_base || layout.base - machine::machine_base > most)
    return false;
  if (layout.kernel_bytes < page_bytes || layout.kernel_bytes > most ||
      layout.user_bytes < page_bytes || layout.user_bytes > most || layout.stride > most) {
    return false;
  }
  return layout.kernel_bytes + layout.user_bytes <= layout.stride &&
         layout.stride * layout.cells <= most - (layout.base - machine::machine_base);
}

Result<Attached> shake_hands(const HandshakeWish& wish, std::uint64_t deadline_ns) {
  auto socket = connect(wish);
  if (!socket) return fail(socket.error());
  auto requests = RequestPage::create();
  if (!requests) return fail(requests.error());
  if (auto sent = send_hello(wish, socket->get(), *requests, deadline_ns); !sent) {
    return fail(sent.error());
  }
  auto welcomed = receive_welcome(wish, socket->get(), deadline_ns);
  if (!welcomed) return fail(welcomed.error());
  const proto::AttachWelcome& welcome = welcomed->welcome;
  if (auto range = machine::reserve_machine_range(welcome.layout); !range) {
    return fail(range.error());
  }
  auto fence = machine::Fence::map(
      welcome.layout, wish.cell, std::move(welcomed->fds[kernel_memory]),
      std::move(welcomed->fds[user_memory]), static_cast<FirewallMode>(welcome.firewall_mode));
  if (!fence) return about(fence.error(), wish.cell);
  if (auto given = hand_over(*fence, socket->get(), wish.cell, deadline_ns); !given) {
    return fail(given.error());
  }
  return Attached{welcome, std::move(*socket), std::move(welcomed->fds[doorbell]),
                  std::move(*requests), std::move(*fence)};
}

}  // namespace hive::lib

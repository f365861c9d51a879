// The process behind Puppet: maps a node as a task does and carries out commands from descriptor
// 3.

#include <csignal>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/safe_copy.h"
#include "machine/linux/fd_channel.h"
#include "puppet.h"

namespace hive::cell::test {
namespace {

using machine::page_bytes;

constexpr int channel = 3;
std::optional<machine::Fence> fence;

bool load_word(std::uint64_t address, std::uint64_t& value) {
  return safe_load64(reinterpret_cast<const void*>(address), value);
}
bool store_word(std::uint64_t address, std::uint64_t value) {
  return safe_copy(reinterpret_cast<void*>(address), &value, sizeof value);
}

// In the mode where the mapping is not writable by itself, a task makes it so around its windows.
void make_storable(std::uint64_t address, std::uint64_t pages, const PuppetCommand& attached) {
  const std::uint64_t begin = attached.layout.user_begin(attached.node);
  if (!fence || address < begin) return;
  (void)fence->begin_stores({static_cast<std::uint32_t>((address - begin) / page_bytes),
                             static_cast<std::uint32_t>(pages)});
}

[[noreturn]] void hammer(std::uint64_t address, std::uint64_t pages) {
  for (std::uint64_t n = 1;; ++n) (void)store_word(address + n % pages * page_bytes, n);
}

[[noreturn]] void fork_for_ever(std::byte* heap, std::uint64_t bytes) {
  while (true) {
    // Pages of its own, not those that it shares with its last child, make a fork slow.
    for (std::uint64_t at = 0; at < bytes; at += page_bytes) heap[at] ^= std::byte{1};
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    if (child > 0) ::waitpid(child, nullptr, 0);
  }
}

bool start_forking(std::uint64_t bytes) {
  void* heap = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (heap == MAP_FAILED) return false;
  ::madvise(heap, bytes, MADV_NOHUGEPAGE);
  std::memset(heap, 1, bytes);
  std::thread(fork_for_ever, static_cast<std::byte*>(heap), bytes).detach();
  return true;
}

PuppetAnswer attach(const PuppetCommand& command, std::vector<UniqueFd> fds, UniqueFd& userfault) {
  PuppetAnswer answer;
  if (fds.size() != 2 || !machine::reserve_machine_range(command.layout)) return answer;
  auto mapped = machine::Fence::map(command.layout, command.node, std::move(fds[0]),
                                    std::move(fds[1]),
                                    static_cast<machine::FirewallMode>(command.mode));
  if (!mapped) return answer;
  fence.emplace(std::move(*mapped));
  if (auto copy = fence->copy_for_home()) {
    userfault = std::move(*copy);
    answer.ok = 1;
  }
  return answer;
}

PuppetAnswer carry_out(const PuppetCommand& command, const PuppetCommand& attached) {
  PuppetAnswer answer;
  switch (command.op) {
    case PuppetOp::arm: answer.ok = fence && fence->arm() ? 1 : 0; break;
    case PuppetOp::load:
      answer.ok = load_word(command.address, answer.value) ? 1 : 0;
      break;
    case PuppetOp::store:
      make_storable(command.address, 1, attached);
      answer.ok = store_word(command.address, command.value) ? 1 : 0;
      break;
    case PuppetOp::store_pages:
      make_storable(command.address, command.count, attached);
      answer.ok = 1;
      for (std::uint64_t i = 0; i < command.count && answer.ok != 0; ++i) {
        const std::uint64_t page = command.address + i * page_bytes;
        answer.ok = store_word(page, command.value) &&
                            store_word(page + page_bytes - sizeof command.value, command.value)
                        ? 1
                        : 0;
      }
      break;
    case PuppetOp::hammer:
      make_storable(command.address, command.count, attached);
      std::thread(hammer, command.address, command.count).detach();
      answer.ok = 1;
      break;
    case PuppetOp::fork_loop: answer.ok = start_forking(command.count) ? 1 : 0; break;
    default: break;
  }
  return answer;
}

int run() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  install_safe_copy_handler();
  PuppetCommand attached;
  while (true) {
    auto message = machine::channel_receive(channel, ~std::uint64_t{0} >> 1);
    PuppetCommand command;
    if (!message || message->end || message->bytes.size() != sizeof command) return 0;
    std::memcpy(&command, message->bytes.data(), sizeof command);
    UniqueFd userfault;
    PuppetAnswer answer;
    if (command.op == PuppetOp::attach) {
      attached = command;
      answer = attach(command, std::move(message->fds), userfault);
    } else {
      answer = carry_out(command, attached);
    }
    const int fd = userfault.get();
    const std::span<const int> fds(&fd, userfault ? 1 : 0);
    const std::uint64_t deadline = ~std::uint64_t{0} >> 1;
    if (!machine::channel_send(channel, machine::bytes_of(answer), fds, deadline)) return 0;
  }
}

}  // namespace
}  // namespace hive::cell::test

int main() { return hive::cell::test::run(); }

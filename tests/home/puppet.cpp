#include "puppet.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/fd_channel.h"

namespace hive::cell::test {

namespace {

constexpr std::uint64_t answer_max_ns = 30 * ns_per_s;

// The program beside this one.
std::string puppet_program() {
  std::string path(4096, '\0');
  const auto length = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return path.substr(0, path.rfind('/')) + "/home_puppet";
}

}  // namespace

Result<std::unique_ptr<Puppet>> Puppet::start(const machine::Layout& layout, CellId node,
                                              const machine::NodeMemory& memory,
                                              machine::FirewallMode mode) {
  auto ends = machine::channel_pair();
  if (!ends) return fail(ends.error());
  auto kernel = memory.kernel_descriptor();
  auto user = memory.user_descriptor();
  if (!kernel || !user) return fail(Code::exhausted, "no descriptors");

  const std::string program = puppet_program();
  std::string name = "home_puppet";
  std::array<char*, 2> arguments = {name.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends->second.get(), 3);
  std::unique_ptr<Puppet> puppet(new Puppet);
  const int failed =
      ::posix_spawn(&puppet->pid_, program.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    puppet->pid_ = -1;
    return fail(Code::host, "the puppet did not start", -1, failed);
  }
  puppet->pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, puppet->pid_, 0)));
  puppet->channel_ = std::move(ends->first);
  ends->second.reset();

  PuppetCommand command;
  command.op = PuppetOp::attach;
  command.mode = static_cast<std::uint32_t>(mode);
  command.node = node;
  command.layout = layout;
  const std::array<int, 2> fds = {kernel->get(), user->get()};
  UniqueFd userfault;
  const auto attached = puppet->tell(command, fds, &userfault);
  if (!attached) return fail(attached.error());
  if (attached->ok == 0) return fail(Code::host, "the puppet could not map the node");
  puppet->space_ =
      std::make_unique<machine::FencedSpace>(std::move(userfault), layout, node, mode);
  command.op = PuppetOp::arm;
  if (!puppet->tell(command)) return fail(Code::host, "the puppet could not arm its fence");
  return puppet;
}

Puppet::~Puppet() {
  kill();
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

void Puppet::kill() {
  signal(SIGKILL);
  pollfd dead{pidfd_.get(), POLLIN, 0};
  if (pidfd_) ::poll(&dead, 1, 20000);
}

void Puppet::signal(int number) {
  if (pidfd_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

Result<PuppetAnswer> Puppet::tell(const PuppetCommand& command, std::span<const int> fds,
                                  UniqueFd* descriptor) {
  const std::uint64_t deadline = now_ns() + answer_max_ns;
  if (auto sent = machine::channel_send(channel_.get(), machine::bytes_of(command), fds, deadline);
      !sent) {
    return fail(sent.error());
  }
  auto message = machine::channel_receive(channel_.get(), deadline);
  if (!message) return fail(message.error());
  PuppetAnswer answer;
  if (message->end || message->bytes.size() != sizeof answer) {
    return fail(Code::host, "the puppet is dead");
  }
  std::memcpy(&answer, message->bytes.data(), sizeof answer);
  if (descriptor != nullptr && !message->fds.empty()) *descriptor = std::move(message->fds[0]);
  return answer;
}

std::optional<PuppetAnswer> Puppet::tell(const PuppetCommand& command) {
  const auto answer = tell(command, {}, nullptr);
  if (!answer || answer->ok == 0) return std::nullopt;
  return *answer;
}

std::optional<std::uint64_t> Puppet::load(std::uint64_t address) {
  PuppetCommand command;
  command.op = PuppetOp::load;
  command.address = address;
  const auto answer = tell(command);
  if (!answer) return std::nullopt;
  return answer->value;
}

bool Puppet::store(std::uint64_t address, std::uint64_t value) {
  PuppetCommand command;
  command.op = PuppetOp::store;
  command.address = address;
  command.value = value;
  return tell(command).has_value();
}

bool Puppet::store_pages(std::uint64_t address, std::uint64_t pages, std::uint64_t value) {
  PuppetCommand command;
  command.op = PuppetOp::store_pages;
  command.address = address;
  command.count = pages;
  command.value = value;
  return tell(command).has_value();
}

bool Puppet::hammer(std::uint64_t address, std::uint64_t pages) {
  PuppetCommand command;
  command.op = PuppetOp::hammer;
  command.address = address;
  command.count = pages;
  return tell(command).has_value();
}

bool Puppet::fork_loop(std::uint64_t heap_bytes) {
  PuppetCommand command;
  command.op = PuppetOp::fork_loop;
  command.count = heap_bytes;
  return tell(command).has_value();
}

}  // namespace hive::cell::test

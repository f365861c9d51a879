// The programs that power_test runs on a node: a kernel that does what the test tells it over the
// monitor's channel, and tasks.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/fd_channel.h"
#include "machine/linux/firewall.h"
#include "machine/linux/lifeline.h"
#include "machine/linux/power.h"

namespace {

using namespace hive;
using namespace hive::machine;

constexpr std::uint64_t patience_ns = 30 * ns_per_s;

// The open descriptors of this process, without the one that is needed to list them.
std::string open_descriptors() {
  std::string list;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == ::dirfd(folder)) continue;
    list += std::to_string(fd) + " ";
  }
  ::closedir(folder);
  return list;
}

std::string status_line(const char* key) {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  std::array<char, 512> line{};
  std::string found;
  while (std::fgets(line.data(), line.size(), file) != nullptr) {
    if (std::string_view(line.data()).starts_with(key)) found = line.data();
  }
  std::fclose(file);
  return found;
}

void answer(const std::string& text, std::span<const int> fds = {}) {
  [[maybe_unused]] auto sent =
      channel_send(kernel_fd_monitor, bytes_of(text), fds, now_ns() + patience_ns);
}

std::unique_ptr<NodeMemory> memory;
Layout layout;

void make_memory(std::uint64_t mib) {
  layout = make_layout(1, mib << 20);
  if (!reserve_machine_range(layout)) return answer("no range");
  auto made = NodeMemory::create(layout, 0, 1, probe_firewall_mode());
  if (!made) return answer(made.error().message());
  memory = std::make_unique<NodeMemory>(std::move(*made));
  if (!arm_lifelines(node_header(layout, 0))) return answer("no lifelines");
  auto fd = memory->kernel_descriptor();
  const int number = fd->get();
  if (!channel_send(kernel_fd_power, bytes_of("memory"), std::span(&number, 1),
                    now_ns() + patience_ns)) {
    return answer("power does not take it");
  }
  answer("ready");
}

void start_task(std::string_view words, const std::vector<UniqueFd>& fds) {
  TaskStart start;
  start.cookie = 4711;
  start.environment = {"PATH=/usr/bin:/bin", "HIVE_WORD=honey"};
  while (!words.empty()) {
    const auto end = std::min(words.find('\n'), words.size());
    start.arguments.emplace_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  auto asked = request_task(kernel_fd_starter, start, fds.at(0).get(), fds.at(1).get(),
                            fds.at(2).get(), fds.at(3).get());
  if (!asked) answer(asked.error().message());
}

void obey(const ChannelMessage& message) {
  std::string_view text(reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size());
  const auto line = text.find('\n');
  const std::string_view order = text.substr(0, line);
  const std::string_view rest = line == std::string_view::npos ? "" : text.substr(line + 1);
  if (order == "memory") {
    make_memory(static_cast<std::uint64_t>(std::atoll(std::string(rest).c_str())));
  } else if (order == "task") {
    start_task(rest, message.fds);
  } else if (order == "descriptors") {
    answer(open_descriptors());
  } else if (order == "pidfds") {
    const UniqueFd own(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const int fds[] = {kernel_fd_power_pidfd, kernel_fd_starter_pidfd, own.get()};
    answer("pidfds", fds);
  } else if (order == "mark") {
    mark_lifelines(node_header(layout, 0));
  } else if (order == "fail") {
    memory->fail();
  } else if (order == "garbage") {
    [[maybe_unused]] auto sent = channel_send(kernel_fd_starter, bytes_of(rest), {}, 0);
  }
}

void pass_event_on() {
  auto event = next_starter_event(kernel_fd_starter, now_ns() + patience_ns);
  if (!event) {
    ::pause();  // the node is about to end
    return;
  }
  const char* kind = event->kind == StarterEvent::Kind::started  ? "started"
                     : event->kind == StarterEvent::Kind::failed ? "failed"
                                                                 : "ended";
  const int fd = event->pidfd.get();
  answer(std::string(kind) + " " + std::to_string(event->cookie) + " " +
             std::to_string(event->status) + " " + std::to_string(event->pid),
         std::span(&fd, fd >= 0 ? 1 : 0));
}

int run_kernel() {
  for (;;) {
    pollfd waits[] = {{kernel_fd_monitor, POLLIN, 0}, {kernel_fd_starter, POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0) continue;
    if (waits[1].revents != 0) pass_event_on();
    if (waits[0].revents == 0) continue;
    auto message = channel_receive(kernel_fd_monitor, now_ns() + patience_ns);
    if (!message) return 1;
    if (message->end) {
      ::pause();  // a node goes on without its monitor
    } else {
      obey(*message);
    }
  }
}

int run_task(int argc, char** argv) {
  const std::string_view what = argv[2];
  if (what == "exit") return argc > 3 ? std::atoi(argv[3]) : 0;
  if (what == "abort") ::raise(SIGKILL);
  if (what == "show") {
    std::printf("descriptors %s\n%s%ssession %d\nword %s\n", open_descriptors().c_str(),
                status_line("SigIgn").c_str(), status_line("SigBlk").c_str(),
                ::getsid(0) == ::getpid() ? 1 : 0, std::getenv("HIVE_WORD"));
    return 0;
  }
  if (what == "daemon" && ::fork() == 0) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);
  }
  [[maybe_unused]] const auto told = ::write(STDOUT_FILENO, "x", 1);
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 2 && std::strcmp(argv[1], "kernel") == 0) return run_kernel();
  if (argc >= 3 && std::strcmp(argv[1], "task") == 0) return run_task(argc, argv);
  return 2;
}

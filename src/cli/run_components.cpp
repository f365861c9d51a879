#include "cli/run_components.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <random>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "machine/linux/fd_channel.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

using monitor::refuse;

constexpr std::uint64_t start_ns = 10 * ns_per_s;
constexpr std::uint64_t signal_send_ns = 100 * ns_per_ms;

constexpr std::array forwarded = {SIGINT,  SIGTERM, SIGHUP,   SIGQUIT, SIGUSR1,
                                  SIGUSR2, SIGCONT, SIGWINCH, SIGTSTP};

sigset_t forwarded_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : forwarded) sigaddset(&set, number);
  return set;
}

bool is_text(const std::string& bytes) {  // that JSON can carry
  try {
    [[maybe_unused]] const std::string text = Json(bytes).dump();
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

std::string make_span_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

std::string base_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

Refusal program_refusal(const Program& program, const Json& answer) {
  const bool by_exec = text_of(answer, "code") == "host";
  const int error = by_exec ? static_cast<int>(number_of(answer, "errno")) : 0;
  if (error == ENOENT || error == ENOTDIR) {
    return {monitor::exit_not_found, fmt::format("{}: program not found", program.name)};
  }
  if (error != 0) {
    return {monitor::exit_not_executable,
            fmt::format("{}: can not be executed: {}", program.name, std::strerror(error))};
  }
  return {monitor::exit_failed, refusal_text(answer)};
}

int exit_status_of(std::int64_t wait_status) {
  const auto status = static_cast<int>(wait_status);
  if (WIFSIGNALED(status)) return monitor::exit_signal_base + WTERMSIG(status);
  return WEXITSTATUS(status);
}

}  // namespace

Outcome<Program> make_program(const std::vector<std::string>& words) {
  Program program;
  program.name = words.front();
  program.arguments = words;
  for (const std::string& word : words) {
    if (!is_text(word)) {
      return refuse(monitor::exit_not_executable,
                    "an argument is not UTF-8, and can not be passed on");
    }
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (is_text(*variable)) {
      program.environment.emplace_back(*variable);
    } else {
      complain(fmt::format("the variable {} is not UTF-8, and is left out",
                           std::string_view(*variable).substr(0, std::strcspn(*variable, "="))));
    }
  }
  program.working_directory.reset(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!program.working_directory) {
    return refuse(monitor::exit_failed, fmt::format("the working directory can not be opened: {}",
                                                    std::strerror(errno)));
  }
  program.span_id = make_span_id();
  return program;
}

tl::expected<Component, StartFailure> start_component(const Machine& machine,
                                                      const Program& program, int cell, int index,
                                                      int count) {
  const auto failure = [](int status, std::string text, bool down = false) {
    return tl::unexpected(StartFailure{Refusal{status, std::move(text)}, down});
  };
  const std::string down_text = fmt::format("cell {} is down", cell);
  auto socket = machine::channel_connect(proto::cell_socket(machine.dir, cell));
  if (!socket) return failure(monitor::exit_failed, down_text, true);
  const Json request = {{"op", "run"},
                        {"program", program.name},
                        {"arguments", program.arguments},
                        {"environment", program.environment},
                        {"span_index", index},
                        {"span_count", count},
                        {"span_id", program.span_id}};
  const std::string text = request.dump();
  if (text.size() > machine::channel_bytes_max) {
    return failure(monitor::exit_not_executable,
                   fmt::format("arguments and environment are too long: {} bytes of at most {}",
                               text.size(), machine::channel_bytes_max));
  }
  const std::array fds = {program.working_directory.get(), STDIN_FILENO, STDOUT_FILENO,
                          STDERR_FILENO};
  const std::uint64_t deadline_ns = now_ns() + start_ns;
  const auto sent = machine::channel_send(socket->get(), machine::bytes_of(std::string_view(text)),
                                          fds, deadline_ns);
  if (!sent) return failure(monitor::exit_failed, down_text, true);
  const Incoming incoming = receive_json(socket->get(), deadline_ns);
  if (incoming.timed_out) {
    return failure(monitor::exit_failed, fmt::format("cell {} does not answer", cell));
  }
  if (incoming.end) {  // whether the task ran for a moment is not known: it is not tried elsewhere
    return failure(monitor::exit_lost,
                   fmt::format("cell {} failed while it started the task", cell));
  }
  if (!incoming.json.value("ok", false)) {
    return tl::unexpected(StartFailure{program_refusal(program, incoming.json), false});
  }
  Component component;
  component.cell = cell;
  component.socket = std::move(*socket);
  component.task = number_of(incoming.json, "task");
  return component;
}

int combined_status(const std::vector<Component>& components, int first_failure) {
  bool any_lost = false;
  bool any_good = false;
  int worst = 0;
  for (const Component& component : components) {
    any_lost |= component.lost;
    if (component.lost) continue;
    any_good |= component.status == 0;
    worst = std::max(worst, component.status);
  }
  if (!any_lost) return first_failure;
  return any_good ? worst : monitor::exit_lost;
}

void block_forwarded_signals() {
  const sigset_t set = forwarded_set();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

namespace {

void pass_on(int number, const std::vector<Component>& components) {
  const std::string text = Json{{"op", "signal"}, {"signal", number}}.dump();
  for (const Component& component : components) {
    if (!component.socket) continue;
    // A cell that does not take it is dead or hung; the end of its connection tells.
    [[maybe_unused]] const auto sent =
        machine::channel_send(component.socket.get(), machine::bytes_of(std::string_view(text)),
                              {}, now_ns() + signal_send_ns);
  }
}

void on_signals(int signal_fd, const std::vector<Component>& components) {
  signalfd_siginfo info{};
  while (::read(signal_fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const auto number = static_cast<int>(info.ssi_signo);
    pass_on(number, components);
    if (number == SIGTSTP) ::raise(SIGSTOP);  // and so are we, until the shell continues us
  }
}

// Takes one message of a component. True when it has ended.
bool on_message(const Program& program, Component& component) {
  const Incoming incoming = receive_json(component.socket.get(), 0);
  const std::string who = fmt::format("{} {}", component.task, base_name(program.name));
  if (incoming.end) {
    complain(fmt::format("cell {} failed; its task ({}) was lost", component.cell, who));
    component.lost = true;
    component.status = monitor::exit_lost;
    return true;
  }
  if (text_of(incoming.json, "event") != "ended") return false;
  component.status = exit_status_of(number_of(incoming.json, "status"));
  const std::string cause = text_of(incoming.json, "cause");
  if (!cause.empty()) complain(fmt::format("task {}: {}", who, cause));
  return true;
}

}  // namespace

int wait_for_components(const Program& program, std::vector<Component>& components) {
  const sigset_t set = forwarded_set();
  const UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  int first_failure = 0;
  std::size_t running = components.size();
  while (running > 0) {
    std::vector<pollfd> polls = {{signals.get(), POLLIN, 0}};
    for (const Component& component : components)
      polls.push_back({component.socket.get(), POLLIN, 0});
    if (::poll(polls.data(), polls.size(), -1) <= 0) continue;
    if (polls[0].revents != 0) on_signals(signals.get(), components);
    for (std::size_t i = 0; i < components.size(); ++i) {
      if (polls[i + 1].revents == 0 || !on_message(program, components[i])) continue;
      components[i].socket.reset();
      --running;
      if (first_failure == 0) first_failure = components[i].status;
    }
  }
  return combined_status(components, first_failure);
}

}  // namespace hive::cli

#include "monitor/daemon.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/time.h"
#include "machine/linux/fd_channel.h"
#include "monitor/boot_record.h"
#include "monitor/directories.h"
#include "monitor/host.h"
#include "monitor/machine_lock.h"
#include "monitor/monitor.h"
#include "monitor/supervisor.h"

namespace hive::monitor {
namespace {

using Json = nlohmann::json;

// The steps of a boot have deadlines of their own, which end before this.
constexpr std::uint64_t report_ns = 180 * ns_per_s;
constexpr std::uint64_t aftermath_ns = 10 * ns_per_s;
constexpr std::uint64_t dying_ns = 5 * ns_per_s;
constexpr std::uint64_t answer_ns = ns_per_s;

struct Prepared {
  BootPlan plan;
  UniqueFd lock;
  UniqueFd log;
};

// Whether somebody at this socket answers. That it can be connected to says nothing: a killed
// process listens until its memory is given back.
bool answers(const std::string& path, std::uint64_t deadline_ns) {
  const auto socket = machine::channel_connect(path);
  if (!socket) return false;
  const std::string text = Json{{"op", "status"}}.dump();
  const std::uint64_t until = std::min(deadline_ns, now_ns() + answer_ns);
  const auto sent =
      machine::channel_send(socket->get(), machine::bytes_of(std::string_view(text)), {}, until);
  if (!sent) return false;
  const auto answer = machine::channel_receive(socket->get(), until);
  return answer && !answer->end;
}

bool any_cell_answers(const std::string& machine_dir, std::uint64_t deadline_ns) {
  for (int cell = 0; cell < max_cells; ++cell) {
    if (answers(proto::cell_socket(machine_dir, cell), deadline_ns)) return true;
  }
  return false;
}

// The lock of a machine that is dying is waited for: its memory takes a while to be given back,
// and its monitor may not have noticed yet that no cell is left.
Outcome<UniqueFd> lock_when_dead(const BootPlan& plan) {
  const std::uint64_t deadline_ns = now_ns() + dying_ns;
  for (;;) {
    auto lock = lock_machine(plan.machine_dir, plan.machine);
    if (lock || lock.error().status != exit_running_already) return lock;
    if (any_cell_answers(plan.machine_dir, deadline_ns) || now_ns() >= deadline_ns) return lock;
  }
}

// Everything up to the first process: the plan, the lock, the directories, the log.
Outcome<Prepared> prepare(const BootOptions& options) {
  auto plan = plan_layout(options);
  if (!plan) return tl::unexpected(plan.error());
  auto lock = lock_when_dead(*plan);
  if (!lock) return tl::unexpected(lock.error());
  remove_machine_files(plan->machine_dir, false);  // of a machine that was killed
  Prepared prepared{std::move(*plan), std::move(*lock), {}};
  Outcome<void> done = fit_to_host(prepared.plan, options);
  if (done) done = make_state_directory(prepared.plan.state_dir, prepared.plan.cells());
  if (done) {
    auto log = open_log(prepared.plan.state_dir);
    if (log) {
      prepared.log = std::move(*log);
      return prepared;
    }
    done = tl::unexpected(log.error());
  }
  remove_machine_files(prepared.plan.machine_dir, true);
  return tl::unexpected(done.error());
}

std::shared_ptr<spdlog::logger> make_logger(const BootPlan& plan, bool to_stderr) {
  std::vector<spdlog::sink_ptr> sinks;
  try {
    sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_st>(log_file(plan.state_dir)));
  } catch (const spdlog::spdlog_ex&) {
    // The file was opened a moment ago; without it the monitor still does its work.
  }
  if (to_stderr) sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_st>());
  auto log = std::make_shared<spdlog::logger>("monitor", sinks.begin(), sinks.end());
  log->set_pattern("%Y-%m-%d %H:%M:%S.%e monitor[%P] %l: %v");
  log->flush_on(spdlog::level::info);
  log->set_error_handler([](const std::string&) {});  // a full disk is no reason to say more
  return log;
}

Booted booted(const BootPlan& plan) { return {plan.firewall, plan.namespaces, plan.layout}; }

void become_daemon(int log) {
  ::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  if (::chdir("/") != 0) return;  // only so that no file system is kept busy
}

void send_report(int waiter, const Outcome<void>& done) {
  Json report = {{"ok", done.has_value()}};
  if (!done) report.update({{"error", done.error().text}, {"status", done.error().status}});
  const std::string text = report.dump(-1, ' ', false, Json::error_handler_t::replace);
  // Whoever waited may be gone by now.
  [[maybe_unused]] const auto sent = machine::channel_send(
      waiter, machine::bytes_of(std::string_view(text)), {}, now_ns() + ns_per_s);
}

[[noreturn]] void run_daemon(Prepared prepared, UniqueFd waiter) {
  become_daemon(prepared.log.get());
  raise_descriptor_limit();
  auto log = make_logger(prepared.plan, false);
  int status = exit_failed;
  {
    Monitor monitor(std::move(prepared.plan), std::move(prepared.lock), std::move(prepared.log),
                    std::move(waiter), log);
    const Outcome<void> done = monitor.boot();
    send_report(monitor.waiter(), done);
    monitor.release_waiter();
    if (done) status = monitor.serve();
  }
  log->flush();
  ::_exit(status);  // the command's own exit handlers are not the daemon's to run
}

// What the daemon says when the machine is up or is not going to be.
Outcome<void> wait_for_report(int channel, const BootPlan& plan) {
  const auto message = machine::channel_receive(channel, now_ns() + report_ns);
  if (message && !message->end) {
    const Json report = Json::parse(message->text(), nullptr, false);
    if (report.is_object() && report.value("ok", false)) return {};
    if (report.is_object()) {
      return refuse(report.value("status", exit_failed), report.value("error", std::string("?")));
    }
  }
  // It was killed: the kernels notice and end, and what is left are files.
  if (wait_until_unlocked(plan.machine_dir, now_ns() + aftermath_ns)) {
    if (auto lock = lock_machine(plan.machine_dir, plan.machine)) {
      remove_machine_files(plan.machine_dir, true);
    }
  }
  return refuse(exit_failed, fmt::format("the monitor ended while the machine started; see {}",
                                         log_file(plan.state_dir)));
}

}  // namespace

Outcome<Booted> boot_in_background(const BootOptions& options) {
  auto prepared = prepare(options);
  if (!prepared) return tl::unexpected(prepared.error());
  auto channel = machine::channel_pair();
  const pid_t daemon = channel ? ::fork() : -1;
  if (daemon < 0) {
    remove_machine_files(prepared->plan.machine_dir, true);
    return refuse(exit_failed,
                  fmt::format("the monitor can not be started: {}", std::strerror(errno)));
  }
  if (daemon == 0) {
    channel->first.reset();
    run_daemon(std::move(*prepared), std::move(channel->second));
  }
  channel->second.reset();
  prepared->lock.reset();  // the daemon holds it now
  if (auto done = wait_for_report(channel->first.get(), prepared->plan); !done) {
    return tl::unexpected(done.error());
  }
  return booted(prepared->plan);
}

int take_over(const std::string& machine_dir, int lock) {
  UniqueFd machine_lock(lock);
  ::fcntl(lock, F_SETFD, FD_CLOEXEC);
  auto plan = read_plan(machine_dir);
  if (!plan) return exit_failed;
  raise_descriptor_limit();
  UniqueFd log_fd(::open(log_file(plan->state_dir).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  auto log = make_logger(*plan, false);
  Monitor monitor(std::move(*plan), std::move(machine_lock), std::move(log_fd), {}, log);
  return monitor.adopt() ? monitor.serve() : exit_running_already;
}

Outcome<int> boot_in_foreground(const BootOptions& options,
                                const std::function<void(const Booted&)>& report) {
  auto prepared = prepare(options);
  if (!prepared) return tl::unexpected(prepared.error());
  raise_descriptor_limit();
  const Booted facts = booted(prepared->plan);
  auto log = make_logger(prepared->plan, true);
  Monitor monitor(std::move(prepared->plan), std::move(prepared->lock), std::move(prepared->log),
                  {}, log);
  if (auto done = monitor.boot(); !done) return tl::unexpected(done.error());
  report(facts);
  tell_supervisor("READY=1");
  const int status = monitor.serve();
  tell_supervisor("STOPPING=1");
  return status;
}

}  // namespace hive::monitor

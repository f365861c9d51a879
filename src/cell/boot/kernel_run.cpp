// A kernel at work: the monitor's orders, the other cells, the receive loop, the end.

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cell/boot/kernel.h"
#include "cell/boot/opcodes.h"
#include "machine/fault_point.h"
#include "machine/linux/power.h"
#include "proto/control.h"
#include "proto/runtime_dir.h"

namespace hive::cell {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t idle_after_ns = ns_per_s;            // since the last of these
constexpr std::uint64_t control_tick_ns = ns_per_s;          // housekeeping of the control thread
constexpr std::uint64_t kill_timeout_ns = ns_per_s;
constexpr std::uint64_t shutdown_poll_ns = 10 * ns_per_ms;
constexpr int stalled_ticks_max = 3;  // queued requests wait and none is served: no progress

}  // namespace

int Kernel::run() {
  while (!loop_done_) {
    const bool ending = shutdown_deadline_ns_ != 0;
    loop_->run(ending ? shutdown_poll_ns : control_tick_ns, [this] {
      if (shutdown_deadline_ns_ != 0) continue_shutdown();
      look_whether_join_fails();
      start_monitor_if_due();
      files_->settle_when_due();
      if (home_->needs_clean_up()) (void)errands_->post([this] { home_->clean_up(); });
      borrowed_->on_tick();
    });
  }
  control_->stop_listening();
  return 0;
}

void Kernel::on_starter_event() {
  auto event = machine::next_starter_event(machine::kernel_fd_starter, 0);
  if (event) return tasks_->on_starter_event(std::move(*event));
  if (event.error().code == Code::timed_out) return;
  // The power process ends this node in a moment.
  loop_->forget(machine::kernel_fd_starter);
  log("the starter is gone");
}

void Kernel::go() {
  rpc_->start();
  gates_->start();
  receiver_ = std::jthread([this](const std::stop_token& stop) { receive_loop(stop); });
  membership_->start();
  membership_->set_reboots(true);
  if (config_.joins()) machine::fault_point(machine::FaultPoint::join_announce);
  // One that comes back is up once the others have taken it in.
  if (!config_.joins()) come_up();
}

void Kernel::come_up() {
  header_->state.store(static_cast<std::uint32_t>(CellState::up));
  is_up_ = true;
  join_deadline_ns_ = 0;
  tell_monitor({{"event", "up"}});
  files_->start();
}

// The clock word is advanced here and nowhere else, after the servers have shown progress: a
// receive loop that hangs, a home whose lock is held for ever, a pool that serves nothing, each
// stops it. Ticks fall on multiples of their length, on all cells at once: waking a processor that
// sleeps costs more than what a tick does, and so it is woken once for all.
void Kernel::receive_loop(const std::stop_token& stop) {
  become_tick_thread();
  const auto tick_after = [](std::uint64_t now, std::uint64_t length) {
    return (now / length + 1) * length;
  };
  bool others_are_busy = false;
  std::uint64_t next_tick = tick_after(now_ns(), busy_tick_ns);
  std::uint64_t busy_until = next_tick + idle_after_ns;
  std::uint64_t served_before = 0;
  int stalled_ticks = 0;
  while (!stop.stop_requested()) {
    rpc_->receive_loop_once(next_tick);
    injection_->hang_point();
    const std::uint64_t now = now_ns();
    const bool is_tick = now >= next_tick;
    if (!is_tick || clients_->tasks() > 0) busy_until = now + idle_after_ns;
    if (!is_tick) continue;
    // A cell that hangs is to be noticed soon where somebody waits for it.
    const bool is_busy = now < busy_until;
    const std::uint64_t length = is_busy || others_are_busy ? busy_tick_ns : idle_tick_ns;
    header_->busy.store(is_busy ? 1 : 0, std::memory_order_relaxed);
    header_->tick_ns.store(length, std::memory_order_relaxed);
    others_are_busy = membership_->on_tick(length);
    next_tick = tick_after(now, length);
    home_->on_tick(now);
    gates_->watch(now);
    const std::uint64_t served = rpc_->queued_served();
    const bool stalled = rpc_->queue_waiting() > 0 && served == served_before;
    stalled_ticks = stalled ? stalled_ticks + 1 : 0;
    served_before = served;
    if (stalled_ticks < stalled_ticks_max && !gates_->is_stuck(now)) {
      header_->clock_word.fetch_add(1, std::memory_order_release);
    }
  }
}

// From any thread, with the home's mutex held.
void Kernel::on_torn(std::span<const ClientId> clients, std::string_view segment,
                     std::uint64_t offset, std::uint64_t bytes) {
  proto::NewsMessage news;
  news.kind = proto::NewsKind::torn;
  news.cell = config_.self;
  news.offset = offset;
  news.bytes = bytes;
  segment.copy(news.segment.data(), news.segment.size() - 1);
  loop_->post([this, news, to = std::vector(clients.begin(), clients.end())] {
    for (const ClientId client : to) attach_->tell(client, news);
  });
}

// Ends the tasks, brings what is dirty to the disk, and ends the cell. While the tasks have their
// time the cell serves on, but takes no new ones.
void Kernel::begin_shutdown(CellState state, std::uint64_t grace_ns) {
  header_->state.store(static_cast<std::uint32_t>(state));
  const std::uint64_t deadline_ns = now_ns() + grace_ns;
  if (shutdown_deadline_ns_ != 0) {
    shutdown_deadline_ns_ = std::min(shutdown_deadline_ns_, deadline_ns);
    return;
  }
  log(fmt::format("shutting down: {} tasks have {} ms to end", tasks_->size(),
                  grace_ns / ns_per_ms));
  shutdown_deadline_ns_ = deadline_ns;
  tasks_->signal_all(SIGTERM);
  tasks_->signal_all(SIGCONT);
  loop_->stop();  // and again, with shorter ticks
  continue_shutdown();
}

void Kernel::continue_shutdown() {
  if (tasks_->size() == 0 && now_ns() < shutdown_deadline_ns_) shutdown_deadline_ns_ = 1;
  if (now_ns() < shutdown_deadline_ns_) return;
  if (flush_deadline_ns_ == 0) {
    tasks_->kill_all();
    flush_deadline_ns_ = now_ns() + proto::flush_max_ns;
    flusher_ = std::thread([this] { flush_files(); });
  }
  if (!files_flushed_) {
    if (now_ns() < flush_deadline_ns_) return;
    log("the disk takes too long: what was written last and not synced is lost");
  }
  loop_done_ = true;
  loop_->stop();
}

// First nobody's write is acknowledged any more, also of tasks on other cells; then all that was
// is written back. Who has borrowed frames of this node has a moment to move what is in them. A
// thread that the disk keeps for longer ends with the process.
void Kernel::flush_files() {
  (void)home_->recall_lent();
  files_->stop();
  machine::fault_point(machine::FaultPoint::flush);
  if (auto done = page_cache_->flush_all(flush_deadline_ns_); !done) {
    log("files could not be flushed: " + done.error().message());
  }
  loop_->post([this] {
    files_flushed_ = true;
    continue_shutdown();
  });
}

Result<void> Kernel::takes_tasks() const {
  if (shutdown_deadline_ns_ == 0) return {};
  return fail(Code::refused, "the cell is being drained and takes no new tasks", config_.self);
}

Result<void> Kernel::kill_remote(CellId cell, std::uint64_t task, int signal) {
  if (!membership_->live().has(cell)) return fail(Code::not_found, "there is no such task", cell);
  const SignalBody body{task, signal, 0};
  auto reply = rpc_->call(cell, op_signal_task, std::as_bytes(std::span(&body, 1)),
                          kill_timeout_ns);
  if (!reply) return fail(reply.error());
  return {};
}

void Kernel::serve_rpc() {
  const auto nothing = [](const RpcRequest&, RpcReply&) { return Result<void>(); };
  rpc_->serve(op_null, RpcLevel::interrupt, nothing);
  rpc_->serve(op_null_queued, RpcLevel::queued, nothing);
  names_->serve();
  files_->serve();
  lender_service_->serve();
  rpc_->serve(op_signal_task, RpcLevel::queued,
              [this](const RpcRequest& request, RpcReply&) -> Result<void> {
                SignalBody body;
                if (!request.get(body)) {
                  return fail(Code::bad_argument, "the request makes no sense");
                }
                // Tasks belong to the control thread; the caller learns only whether there is one.
                loop_->post([this, body] { (void)tasks_->signal(body.task, body.signal); });
                return {};
              });
}

}  // namespace hive::cell

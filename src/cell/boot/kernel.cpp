#include "cell/boot/kernel.h"

#include <cerrno>
#include <csignal>
#include <ctime>

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "cell/boot/opcodes.h"
#include "cell/boot/panic_record.h"
#include "cell/control/gate_names.h"
#include "cell/diagnostics/frame_count.h"
#include "machine/linux/lifeline.h"
#include "machine/linux/power.h"
#include "proto/control.h"
#include "proto/runtime_dir.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t place_wait_ns = 5 * ns_per_s;  // a large kernel takes 200 ms to end
constexpr useconds_t place_poll_us = 500;

}  // namespace

Kernel::Kernel(Config config) : config_(std::move(config)) {}

Result<std::unique_ptr<Kernel>> Kernel::create(Config config) {
  std::unique_ptr<Kernel> kernel(new Kernel(std::move(config)));
  if (auto done = kernel->make_memory(); !done) return fail(done.error());
  if (auto done = kernel->make_home(); !done) return fail(done.error());
  if (auto done = kernel->make_control(); !done) return fail(done.error());
  return kernel;
}

Result<void> Kernel::make_memory() {
  const machine::Layout& layout = config_.layout;
  if (auto done = lock_place(); !done) return done;
  arm_planted_fault_point(config_);
  if (auto done = install_panic_record(config_); !done) return done;
  if (auto done = machine::reserve_machine_range(layout); !done) return done;
  auto memory = machine::NodeMemory::create(layout, config_.self, config_.incarnation,
                                            config_.firewall, memory_test());
  if (!memory) return fail(memory.error());
  memory_.emplace(std::move(*memory));
  header_ = machine::node_header(layout, config_.self);
  tell_panic_header(header_);

  const std::uint64_t heap_begin = layout.kernel_begin(config_.self) + header_->heap_offset;
  heap_.emplace(reinterpret_cast<void*>(heap_begin),
                static_cast<std::size_t>(layout.kernel_end(config_.self) - heap_begin));
  root_ = heap_->create<CellRoot>();
  if (root_ == nullptr) return fail(Code::exhausted, "the kernel heap is full", config_.self);
  root_->cell = config_.self;
  root_->pid = ::getpid();
  header_->root_offset =
      reinterpret_cast<std::uint64_t>(root_) - layout.kernel_begin(config_.self);
  header_->state.store(static_cast<std::uint32_t>(CellState::booting));

  if (auto done = machine::arm_lifelines(header_); !done) return done;
  // The power process watches the lifeline too: it maps the header and closes the descriptor.
  auto for_power = memory_->kernel_descriptor();
  if (!for_power) return fail(for_power.error());
  const int fd = for_power->get();
  const char word = 'm';
  if (auto sent = machine::channel_send(machine::kernel_fd_power, machine::bytes_of(word),
                                        {&fd, 1}, now_ns() + ns_per_s);
      !sent) {
    return sent;
  }
  own_pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!own_pidfd_) return fail(Code::host, "pidfd_open is refused", config_.self, errno);
  return {};
}

// One kernel at a time has the place of a cell: its socket, its panic record. An earlier
// incarnation that has lost its monitor may still be on its way out.
Result<void> Kernel::lock_place() {
  const std::string path = proto::cell_lock_file(config_.machine_dir, config_.self);
  const std::uint64_t deadline_ns = now_ns() + place_wait_ns;
  auto lock = try_lock_file(path);
  while (!lock && lock.error().code == Code::busy && now_ns() < deadline_ns) {
    ::usleep(place_poll_us);
    lock = try_lock_file(path);
  }
  if (lock) {
    place_lock_ = std::move(*lock);
    return {};
  }
  if (lock.error().code != Code::busy) {
    return fail(Code::host, "the lock of the cell can not be made", config_.self,
                lock.error().sys_errno);
  }
  return fail(Code::busy, "an earlier kernel of this cell has not ended", config_.self);
}

Result<void> Kernel::make_home() {
  frames_.emplace(*memory_);
  auto home = Home::create({.self = config_.self, .layout = config_.layout, .heap = &*heap_,
                            .memory = &*frames_,
                            .log = [this](const std::string& line) { log(line); },
                            .torn_news = [this](auto clients, auto segment, auto offset,
                                                auto bytes) {
                              on_torn(clients, segment, offset, bytes);
                            },
                            .lost_pages = [this](auto frames) { files_->lose_pages(frames); },
                            .sabotage = config_.sabotage});
  if (!home) return fail(home.error());
  home_ = std::move(*home);
  root_->home_root = reinterpret_cast<std::uint64_t>(home_->root());
  local_names_.emplace(config_.self,
                       [this](std::string_view name) { return home_->has_segment(name); });

  auto doorbell = LinuxHardware::make_doorbell();
  if (!doorbell) return fail(doorbell.error());
  hardware_.emplace(config_.layout, config_.self, std::move(*doorbell));
  rpc_.emplace(*hardware_, *hardware_, config_.incarnation);
  if (auto done = make_cache(); !done) return done;
  inspection_.emplace(config_.layout, config_.self, config_.sabotage);
  membership_.emplace(Membership::Parts{
      .layout = config_.layout, .self = config_.self, .incarnation = config_.incarnation,
      .hardware = *hardware_, .heap = *heap_, .sabotage = config_.sabotage,
      .fence_path = proto::fence_lock_file(config_.machine_dir),
      .kernel_pid = [this](CellId cell) { return kernel_pid(cell); },
      .inspect = [this](auto cell, auto life) { return inspection_->inspect(cell, life); },
      .is_self_off = [] { return machine::pidfd_is_dead(machine::kernel_fd_power_pidfd); },
      .reboot = [this](CellId cell, std::uint64_t last) {
        loop_->post([this, cell, last] { ask_for_reboot(cell, last); });
      },
      .attach = [this](CellId cell, std::uint64_t incarnation) { attach_to(cell, incarnation); },
      .settled = [this](const Membership::Settled& settled) { on_settled(settled); },
      .log = [this](const std::string& line) { log(line); }});
  if (membership_->board() == nullptr) {
    return fail(Code::exhausted, "the kernel heap is full", config_.self);
  }
  root_->member_board = reinterpret_cast<std::uint64_t>(membership_->board());
  membership_->add_participant(
      {.close = [this](CellId cell, const std::string& cause) { close_to(cell, cause); },
       .discard = [this](CellId cell) { discard_of(cell); }});
  rpc_->set_hint([this](CellId cell, RpcHint hint, const char*) {
    membership_->hint(cell, hint == RpcHint::garbage     ? Hint::garbage
                            : hint == RpcHint::bus_error ? Hint::bus_error
                                                         : Hint::rpc);
  });
  survey_.emplace(config_, *membership_);
  post_mortem_.emplace(config_, *survey_);
  survey_->note_peer(config_.self, config_.incarnation, ::getpid());
  names_.emplace(config_.self, *local_names_, *survey_, *membership_, *rpc_);
  errands_ = std::make_unique<WorkPool>(errand_threads, errands_max);
  name_service_ = std::make_unique<GateNames>(*names_, *errands_);

  files_ = std::make_unique<FileService>(FileService::Parts{
      .self = config_.self, .incarnation = config_.incarnation,
      .disk = config_.disk_path(), .layout = config_.layout, .heap = *heap_, .rpc = *rpc_,
      .content = *page_cache_, .home = *home_, .sabotage = config_.sabotage,
      .is_live = [this](CellId cell) { return membership_->live().has(cell); },
      .log = [this](const std::string& line) { log(line); }});
  auto gates = GateServer::create({.self = config_.self, .heap = &*heap_, .home = home_.get(),
                                   .names = name_service_.get(), .files = files_.get(),
                                   .asleep = &header_->gate_asleep,
                                   .on_thread_start = {}});
  if (!gates) return fail(gates.error());
  gates_ = std::move(*gates);
  page_cache_->use_marks([this] { return gates_->page_marks(); });
  clients_.emplace(*home_, *gates_, *files_);
  const std::string root = config_.machine_dir.substr(0, config_.machine_dir.rfind('/'));
  tasks_.emplace(config_.self, *heap_, root_->tasks, machine::kernel_fd_starter,
                 std::vector{fmt::format("{}={}", proto::env_machine, config_.machine),
                             fmt::format("{}={}", proto::env_cell, config_.self),
                             fmt::format("{}={}", proto::env_runtime_dir, root)});
  injection_.emplace(Injection::Parts{.config = config_, .memory = *memory_, .heap = *heap_,
                                      .root = root_, .home = *home_, .gates = *gates_,
                                      .rpc = *rpc_, .membership = *membership_,
                                      .inspection = *inspection_,
                                      .survey = *survey_});
  measure_.emplace(Measure::Parts{.layout = config_.layout, .heap = *heap_, .memory = *memory_,
                                  .home = *home_, .clients = *clients_, .rpc = *rpc_,
                                  .borrowed = *borrowed_});
  return {};
}

// Files lie in the frames of this node, and in those that others lend it.
Result<void> Kernel::make_cache() {
  make_loans();
  const std::uint32_t frames = config_.layout.user_pages();
  auto cache = PageCache::create(
      {.heap = &*heap_, .frames = &*borrowed_, .node_frames = frames,
       .borrowed_frames = borrowed_frames_max(frames),
       .content_lost = [this](std::span<const FileNumber> files) { files_->begin_loss(files); },
       .self = config_.self,
       .sabotage = {.write_back = config_.sabotage.write_back, .sync = config_.sabotage.sync}});
  if (!cache) return fail(cache.error());
  page_cache_ = std::move(*cache);
  home_->root()->page_cache = page_cache_->table_address();
  return {};
}

Result<void> Kernel::make_control() {
  auto loop = EventLoop::create();
  if (!loop) return fail(loop.error());
  loop_ = std::move(*loop);
  attach_.emplace(config_, *loop_, *memory_, *tasks_, *clients_,
                  OwnDescriptors{.gate_doorbell = gates_->doorbell(),
                                 .receive_doorbell = hardware_->own_doorbell(),
                                 .power_pidfd = machine::kernel_fd_power_pidfd,
                                 .starter_pidfd = machine::kernel_fd_starter_pidfd,
                                 .kernel_pidfd = own_pidfd_.get()},
                  proto::PageRoots{home_->root()->page_cache, home_->first_pfdat()},
                  kernel_attachments());
  requests_.emplace(RequestContext{
      .config = config_,
      .loop = *loop_,
      .errands = *errands_,
      .survey = *survey_,
      .tasks = *tasks_,
      .peers = peers_,
      .kill_remote = [this](CellId cell, std::uint64_t task,
                            int signal) { return kill_remote(cell, task, signal); },
      .inject = [this](const nlohmann::json& request) { return injection_->inject(request); },
      .takes_tasks = [this] { return takes_tasks(); },
      .shutdown = [this] { begin_shutdown(CellState::ending, proto::tasks_end_max_ns); },
      .take_new_monitor =
          [this](UniqueFd channel) { return take_new_monitor(std::move(channel)); },
      .measure = [this](const nlohmann::json& request) { return measure_->run(request); },
      .count_frames = [this] { return count_frames(config_.self, *home_, *borrowed_); }});
  control_.emplace(*loop_, [this](const ConnectionPtr& connection,
                                  machine::ChannelMessage message) {
    if (message.bytes.empty()) return false;
    return message.bytes.front() == std::byte{'{'}
               ? requests_->serve(connection, std::move(message))
               : attach_->serve(connection, std::move(message));
  });
  if (auto done = control_->listen(config_.socket_path(config_.self)); !done) return done;
  if (!loop_->watch(machine::kernel_fd_monitor, [this] { take_monitor_message(); }) ||
      !loop_->watch(machine::kernel_fd_starter, [this] { on_starter_event(); })) {
    return fail(Code::host, "the kernel's channels can not be watched", config_.self, errno);
  }
  serve_rpc();
  const int pidfd = own_pidfd_.get();
  tell_monitor({{"event", "ready"}, {"pid", ::getpid()}}, {&pidfd, 1});
  return {};
}

Kernel::~Kernel() {
  if (page_cache_) page_cache_->use_marks({});
  if (connector_.joinable()) connector_.join();
  if (flusher_.joinable()) flusher_.join();
  if (receiver_.joinable()) {
    receiver_.request_stop();
    rpc_->wake_receiver();
    receiver_.join();
  }
  if (membership_) membership_->stop();
  if (errands_) errands_->stop();
  if (borrowed_) borrowed_->stop();
  if (gates_) gates_->stop();
  if (files_) files_->stop();
  if (rpc_) rpc_->stop();
}

void Kernel::log(const std::string& line) const {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm calendar{};
  ::localtime_r(&now.tv_sec, &calendar);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%F %T", &calendar);
  const std::string text = fmt::format("[{}.{:03}] [cell {}] {}\n", date.data(),
                                       now.tv_nsec / 1'000'000, config_.self, line);
  [[maybe_unused]] const auto n = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace hive::cell

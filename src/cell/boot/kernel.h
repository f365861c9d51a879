// The kernel of a cell, put together in levels; each uses only what the levels before it have
// made.
//
//   1 memory     the node's memory, the heap in it, the panic record, lifelines
//   2 home       segments, files, gates, tasks: what this cell is for others
//   3 control    the socket; the monitor is told `ready`, and other cells can attach from here on
//   4 peers      this cell attaches to all others; RPC with them            (order `connect`)
//   5 up         receive loop, gate workers, detection; state `up`          (order `go`)
//
// A kernel whose incarnation is not the first joins cells that run (kernel_join.cpp): its memory
// is tested in level 1; in level 4 it attaches to the cells that the order names, and waits until
// each has attached back.
//
// Threads: control (the main thread), receive (SIPS and the clock), gate workers, RPC servers,
// detector, errands, those of files and of the page cache, the one that only sleeps, for the
// lifelines, and at the end the one that flushes files.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/time.h"
#include "base/work_pool.h"
#include "cell/boot/config.h"
#include "cell/boot/published.h"
#include "cell/boot/takeover.h"
#include "cell/borrow/borrowed_frames.h"
#include "cell/borrow/lender_service.h"
#include "cell/borrow/rpc_lenders.h"
#include "cell/control/attach_server.h"
#include "cell/control/clients.h"
#include "cell/control/control_server.h"
#include "cell/control/inspection.h"
#include "cell/control/names.h"
#include "cell/control/peers.h"
#include "cell/control/post_mortem.h"
#include "cell/control/requests.h"
#include "cell/control/survey.h"
#include "cell/diagnostics/injection.h"
#include "cell/diagnostics/measure.h"
#include "cell/files/file_service.h"
#include "cell/files/page_cache.h"
#include "cell/gate/gate_server.h"
#include "cell/home/away_pages.h"
#include "cell/home/fenced.h"
#include "cell/home/home.h"
#include "cell/home/local_names.h"
#include "cell/member/membership.h"
#include "cell/rpc/linux_hardware.h"
#include "cell/rpc/rpc_endpoint.h"
#include "cell/task/task_table.h"

namespace hive::cell {

// For work that may block for a while (a call to another cell, a walk through its memory), so that
// the control thread and the gate workers do not.
inline constexpr std::size_t errand_threads = 2;
inline constexpr std::size_t errands_max = 1024;  // that wait

class Kernel {
 public:
  // Levels 1 to 3. Errors: exhausted (memory), host.
  static Result<std::unique_ptr<Kernel>> create(Config config);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // Follows the monitor's orders and serves until the cell is shut down. Returns the exit status.
  int run();

 private:
  explicit Kernel(Config config);
  Result<void> make_memory();
  Result<void> make_home();
  Result<void> make_cache();
  Result<void> make_control();

  Result<void> lock_place();
  void on_starter_event();
  void go();                            // level 5
  void receive_loop(const std::stop_token& stop);
  void come_up();

  // kernel_recovery.cpp
  void close_to(CellId dead, const std::string& cause);
  void discard_of(CellId dead);
  void bury(const Membership::Loss& loss, CellSet survivors);
  void on_settled(const Membership::Settled& settled);
  int kernel_pid(CellId cell);
  void attach_to(CellId cell, std::uint64_t incarnation);

  // kernel_loans.cpp
  void make_loans();
  std::vector<LenderOffer> lender_offers();
  bool map_for_stores(CellId lender, machine::PageRange run, bool on);

  // kernel_monitor.cpp
  bool take_monitor_message();  // false: there is none
  void on_monitor_gone();
  Result<void> take_new_monitor(UniqueFd channel);
  void ask_for_reboot(CellId cell, std::uint64_t last_known);
  void start_monitor_if_due();
  void tell_monitor(const nlohmann::json& event, std::span<const int> fds = {});
  [[noreturn]] void give_up(const std::string& cause);

  // kernel_join.cpp
  machine::NodeMemory::Test memory_test();
  KernelAttachments kernel_attachments();
  Result<void> may_attach(CellId cell, std::uint64_t incarnation);
  void on_kernel_gone(CellId cell, std::uint64_t incarnation);
  void connect_peers(CellSet cells);  // level 4, on a thread of its own
  Result<void> connect_to(CellId cell, std::uint64_t wanted, std::uint64_t deadline_ns);
  void on_connected(const Result<void>& done);
  void look_whether_joined();
  void look_whether_join_fails();
  void on_kernel_attached(CellId cell, std::uint64_t incarnation);
  void attach_back(CellId cell, std::uint64_t incarnation);
  void forget_peer(CellId cell);
  void on_peer_attached(CellId cell, std::uint64_t incarnation);

  void on_torn(std::span<const ClientId> clients, std::string_view segment, std::uint64_t offset,
               std::uint64_t bytes);
  void begin_shutdown(CellState state, std::uint64_t grace_ns);
  Result<void> takes_tasks() const;
  void continue_shutdown();
  void flush_files();  // on a thread of its own

  Result<void> kill_remote(CellId cell, std::uint64_t task, int signal);
  void serve_rpc();
  void log(const std::string& line) const;

  const Config config_;
  machine::NodeHeader* header_ = nullptr;

  // Level 1.
  std::optional<machine::NodeMemory> memory_;
  std::optional<TaggedHeap> heap_;
  CellRoot* root_ = nullptr;
  UniqueFd own_pidfd_;

  // Level 2.
  std::optional<NodeFrameMemory> frames_;
  std::unique_ptr<FrameSupply> supply_;
  std::unique_ptr<Home> home_;
  std::optional<LinuxHardware> hardware_;
  std::optional<RpcEndpoint> rpc_;
  std::optional<LenderService> lender_service_;
  std::optional<RpcLenders> lenders_;
  std::optional<BorrowedFrames> borrowed_;
  std::optional<AwayPages> away_;
  std::unique_ptr<PageCache> page_cache_;
  std::optional<LocalNames> local_names_;
  std::optional<Membership> membership_;
  std::optional<Inspection> inspection_;
  std::optional<Survey> survey_;
  std::optional<PostMortem> post_mortem_;
  std::optional<Names> names_;
  std::unique_ptr<WorkPool> errands_;
  std::unique_ptr<NameService> name_service_;
  std::unique_ptr<FileService> files_;
  std::unique_ptr<GateServer> gates_;
  std::optional<Clients> clients_;
  std::optional<TaskTable> tasks_;
  std::optional<Injection> injection_;
  std::optional<Measure> measure_;
  Peers peers_;

  // Level 3.
  std::unique_ptr<EventLoop> loop_;
  std::optional<AttachServer> attach_;
  std::optional<Requests> requests_;
  std::optional<ControlServer> control_;
  std::thread connector_;

  UniqueFd place_lock_;
  std::mutex attach_back_mutex_;  // one errand at a time replaces a peer
  bool is_up_ = false;
  bool monitor_gone_ = false;
  Takeover takeover_;
  CellSet to_join_;        // the cells that the order `connect` named
  CellSet attached_back_;  // other kernels that are attached to this one
  bool attached_to_all_ = false;
  bool joined_ = false;                     // `connected` was told
  std::uint64_t join_deadline_ns_ = 0;      // not zero: up by then, or this node is given up
  std::uint64_t shutdown_deadline_ns_ = 0;  // not zero: tasks are being ended
  std::uint64_t flush_deadline_ns_ = 0;     // not zero: tasks have ended, files are being flushed
  bool files_flushed_ = false;
  std::thread flusher_;
  std::atomic<bool> loop_done_{false};
  std::jthread receiver_;
};

}  // namespace hive::cell

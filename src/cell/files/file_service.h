// The files of a cell: what tasks ask through their gates, and what other homes order.
//
//   FileService files({.self = 1, .incarnation = 3, .disk = "/.../disk1", ...});
//   files.serve();                          // before rpc.start()
//   gates: {.files = &files}                // FileRequests
//   files.start();                          // finishes what the last kernel has begun
//   files.remove_client(client);            // after gates.remove(client)
//   files.settle();                         // when cells have come or gone
//   files.stop();                           // before the cache is flushed for the last time, and
//                                           // before the rpc and the heap go
//
// Requests run on a pool of threads, orders of other homes on another (home_orders.h), and what
// has to be settled with other homes on a third. A gate worker itself does nothing but hand over,
// and writes that need neither a disk nor anybody else; the receive loop not even that.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/work_pool.h"
#include "cell/files/disk_store.h"
#include "cell/files/home_orders.h"
#include "cell/files/open_files.h"
#include "cell/gate/file_requests.h"
#include "cell/home/home.h"
#include "machine/sabotage.h"

namespace hive::cell {

inline constexpr std::size_t file_threads_max = 4;

class FileService final : public FileRequests {
 public:
  struct Parts {
    CellId self = 0;
    std::uint64_t incarnation = 0;
    std::string disk;  // a directory of the host
    const machine::Layout& layout;
    TaggedHeap& heap;
    RpcEndpoint& rpc;
    ContentSource& content;
    Home& home;
    machine::Sabotage sabotage{};
    std::function<bool(CellId)> is_live;
    std::function<void(const std::string& line)> log;
  };

  explicit FileService(const Parts& parts);
  ~FileService() override { stop(); }
  FileService(const FileService&) = delete;
  FileService& operator=(const FileService&) = delete;

  void serve() { orders_.serve(); }
  void start() { settle(); }
  // Ends what is being done; what is asked from then on is told that the cell is down. Blocks for
  // as long as the disk does. Any thread, one at a time.
  void stop();

  void run(const std::shared_ptr<Gate>& gate, const TakenRequest& taken) override;
  // Any thread; does not block. What the task had open is closed.
  void remove_client(ClientId client);
  // Any thread; does not block. Tries anew what waits for other homes.
  void settle();

  // Any thread, once in a while; does not block. What has waited for its time is tried anew.
  void settle_when_due();

  // What these frames hold is lost: whoever could store there has died. Who has one of the files
  // open sees an error from now on; nobody opens it before its generation has gone up, on the
  // disk, which comes next. Any thread; does not block.
  void lose_pages(std::span<const HeldFrame> frames);
  // What was dirty of these files is lost with frames that other cells had lent: as above. Any
  // thread; does not block.
  void begin_loss(std::span<const FileNumber> files);

  std::size_t open_files() const { return open_.count(); }

 private:
  using Answer = Result<GateValues>;
  // A request as its thread sees it.
  struct Request {
    const std::shared_ptr<Gate>& gate;
    const TakenRequest& taken;
    std::uint64_t arg(std::size_t i) const { return taken.request.args[i]; }
    ClientId client() const { return gate->client(); }
  };

  // The disk, opened by whoever comes first. Errors: those of DiskStore::open.
  Result<DiskStore*> store();

  bool write_at_once(const std::shared_ptr<Gate>& gate, const TakenRequest& taken);
  Answer answer(const Request& request);
  // Copies text of the request. Errors: EINVAL, ENAMETOOLONG.
  static Result<std::string> text_of(const Request& request, std::size_t length,
                                     std::size_t longest);
  static Answer data_answer(const Request& request, std::span<const std::byte> data,
                            std::uint64_t value);
  Result<void> check_place(FileNumber directory, std::string_view name) const;

  // service_names.cpp
  Answer lookup(DiskStore& store, const Request& request);
  Answer make(DiskStore& store, const Request& request);
  Answer remove(DiskStore& store, const Request& request);
  Answer rename(DiskStore& store, const Request& request);
  Answer list(DiskStore& store, const Request& request);
  Result<FileEntry> make_elsewhere(DiskStore& store, FileNumber directory,
                                   const std::string& name, std::uint32_t mode, CellId home);
  Result<FileEntry> remove_far_directory(DiskStore& store, FileNumber directory,
                                         const std::string& name);
  Result<void> move(DiskStore& store, FileNumber from, const std::string& name, CellId to_cell,
                    FileNumber to, const std::string& to_name);
  // Once more when what stood in the way could be settled.
  template <class Change>
  auto settled(DiskStore& store, FileNumber directory, const std::string& name, Change change);

  // service_content.cpp
  Answer open(DiskStore& store, const Request& request);
  Answer close(DiskStore& store, const Request& request);
  Answer read(const Request& request);
  Answer write(const Request& request);
  Answer resize(const Request& request);
  Answer sync(DiskStore& store, const Request& request);
  Answer status(DiskStore& store, const Request& request);
  Answer set(DiskStore& store, const Request& request);
  Answer read_link(DiskStore& store, const Request& request);
  Answer space(DiskStore& store);
  Answer map(const Request& request);
  Answer fault(const Request& request);
  bool fault_at_once(const std::shared_ptr<Gate>& gate, const TakenRequest& taken);
  Result<ViewBlock> show(const Request& request, const OpenFiles::Opened& opened, bool at_once);
  void post_losing(FileNumber number);
  Result<void> finish_losing(FileNumber number);
  void bury(DiskStore& store, const FileEntry& entry);
  void bury_files(DiskStore& store, const std::vector<FileNumber>& nameless);

  // service_settle.cpp
  HomeOrders::Outcome carry_out(CellId from, const FileOrder& order);
  Result<std::uint64_t> carry_out(DiskStore& store, CellId from, const FileOrder& order);
  void settle_all();
  // True: there is nothing left to do. Waits for other homes.
  bool settle(DiskStore& store, const Pending& pending);
  bool settle_name(DiskStore& store, const Pending& pending);
  // An object has lost the name that its note says. False: its home has not been told.
  bool lost_name(DiskStore& store, const FileEntry& entry);
  bool take_in_hand(const FileEntry& entry);
  void let_go(const FileEntry& entry);

  const Parts parts_;
  const CellId self_;
  OpenFiles open_;
  HomeOrders orders_;
  std::shared_mutex at_once_mutex_;  // held where requests are served on the caller's thread
  bool serves_at_once_ = true;       // guarded by at_once_mutex_
  std::mutex store_mutex_;
  std::unique_ptr<DiskStore> store_;      // guarded by store_mutex_; once set, it stays
  bool refusal_logged_ = false;           // guarded by store_mutex_
  std::mutex hand_mutex_;
  std::array<int, max_cells> naming_{};  // guarded by hand_mutex_: files that are being made there
                                         // for a name here
  std::set<std::string> in_hand_;        // guarded by hand_mutex_: what a request settles itself
  std::atomic<bool> settle_posted_{false};
  std::atomic<std::uint64_t> settle_again_ns_{0};  // not zero: when what waits is tried anew
  WorkPool pool_{file_threads_max, file_queue_max};
  WorkPool settler_{1, file_queue_max};
};

}  // namespace hive::cell

// What a cell does as the home of segments: it owns this node's user memory, knows which of its
// pages which client has open to stores, and takes back what a client that died could have been
// storing to.
//
//   auto home = Home::create({.self = 0, .layout = layout, .heap = &heap, .memory = &frames,
//                             .log = log});
//   root.home_root = reinterpret_cast<std::uintptr_t>((*home)->root());
//   auto client = (*home)->add_client(
//       info, std::make_shared<FencedClientSpace>(std::move(space)));
//   ... calls of gate workers ...; on_tick(now) on every tick; on_cell_down(cell) after agreement,
//   when the cell's power is off; remove_client(id, Leave::died) when a process has ended.
//
// Its INVARIANTS are numbered in invariants.h.
//
// Thread-safety: any thread; calls about pages may block for as long as the client's process holds
// its mmap lock (47 ms were seen), so not the receive loop. on_tick never blocks. No thread is in
// a call when it is destroyed; calls still parked are dropped with it, without an outcome.
// Lock order: gate server, page cache, mutex_, borrowed frames, heap. Outcomes of parked calls
// and log lines are delivered, and the page cache is called, with mutex_ free.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <hive/error.h>
#include <hive/window.h>
#include "cell/frames/cache_frames.h"
#include "cell/frames/frame_supply.h"
#include "cell/frames/frame_table.h"
#include "cell/frames/loans.h"
#include "cell/home/kept_losses.h"
#include "cell/home/loan_book.h"
#include "cell/home/lock_table.h"
#include "cell/home/page_bits.h"
#include "cell/home/page_calls.h"
#include "cell/home/parts.h"
#include "cell/home/publisher.h"
#include "cell/home/records.h"
#include "cell/home/sync_table.h"

namespace hive::cell {

class Home final : public CacheFrames, public FrameLender {
 public:
  using Parts = HomeParts;
  // Errors: exhausted (the heap is full).
  static Result<std::unique_ptr<Home>> create(Parts parts);
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;
  ~Home() override;

  HomeRoot* root() const { return publisher_.root(); }
  // Address of the published pfdat of the node's first page.
  std::uint64_t first_pfdat() const {
    return reinterpret_cast<std::uintptr_t>(&frames_.published().at(0));
  }

  // --- clients ----------------------------------------------------------------------------------
  // Errors: exhausted.
  Result<ClientId> add_client(const ClientInfo& info, std::shared_ptr<ClientSpace> space);
  // Tears its windows, closes its segments, breaks its barriers, returns its work items. Safe
  // while calls for it are in flight, and when it is unknown.
  void remove_client(ClientId client, Leave why);
  // The same for all clients of that cell, in one go. Tells what they had here.
  HomeLoss on_cell_down(CellId cell);

  // --- segments ---------------------------------------------------------------------------------
  // Of all that follow, also: not_found (the client is gone, or has not opened it). Pages count
  // from the beginning of the segment; where a SegmentView tells its place, from that of the node.

  // Errors: bad_argument, exists, exhausted. Opens it in the client, too.
  // `rollback`: a window that is not committed is put back to what was there before it.
  Result<SegmentView> create_segment(ClientId client, std::string_view name, std::uint64_t bytes,
                                     bool keep, bool rollback = false);
  // What create_segment would refuse at once, before the name is reserved in the whole machine.
  Result<void> check_create(std::string_view name, std::uint64_t bytes) const;
  // Errors: not_found, exhausted.
  Result<SegmentView> open_segment(ClientId client, std::string_view name);
  // The last close tears what this client has open in it.
  Result<void> close_segment(ClientId client, SegmentId segment);
  Result<void> destroy_segment(ClientId client, SegmentId segment);
  // Errors: busy (a window is open in the range, or a call there takes too long), bad_argument,
  // exhausted (the host has no memory), host.
  Result<void> reset(ClientId client, SegmentId segment, std::uint64_t first, std::uint64_t pages);
  bool has_segment(std::string_view name) const;

  // --- pages ------------------------------------------------------------------------------------
  // A task touched a page that is not there, or stored where it may not. Success: touch it again.
  // Any address will do: a stray store is written down wherever it was aimed at.
  // Errors: lost (torn), refused (a store without a window), not_found (no segment of it is
  // there), busy, host.
  Result<void> fault(ClientId client, std::uint64_t address, bool is_store,
                     std::uint64_t instruction);
  // Makes a range readable. Errors: lost (with the first torn range; the rest is given),
  // bad_argument, busy, host.
  Result<void> give(ClientId client, SegmentId segment, std::uint64_t first, std::uint64_t pages);

  // Stores bytes for the client, whole or not at all, without opening anything to it. Errors: busy
  // (another client has an exclusive window there), lost, bad_argument (also when larger than
  // store_bytes_max), host.
  Result<void> store(ClientId client, SegmentId segment, std::uint64_t offset,
                     std::span<const std::byte> bytes);

  // A segment that is rolled back has exclusive windows only, and the cell a bound for what it
  // keeps for them. Errors: busy, lost (with the first torn range), bad_argument, exhausted, host.
  Result<WindowId> open_window(ClientId client, SegmentId segment, std::uint64_t first,
                               std::uint64_t pages, WindowMode mode);
  // The window is gone in every case. Errors: not_found, lost (with the first torn range).
  Result<void> commit_window(ClientId client, WindowId window);
  Result<void> abort_window(ClientId client, WindowId window);

  // --- objects of sync.h ------------------------------------------------------------------------
  Result<ObjectId> open_object(ClientId client, SegmentId segment, proto::SyncKind kind,
                               std::string_view name, std::uint64_t parameter);
  Result<std::uint64_t> counter_add(ClientId client, ObjectId object, std::uint64_t delta);
  void barrier_arrive(ClientId client, ObjectId object, std::uint64_t deadline_ns, SyncDone done);
  Result<void> barrier_reset(ClientId client, ObjectId object, std::uint64_t parties);
  void queue_take(ClientId client, ObjectId object, std::uint64_t deadline_ns, SyncDone done);
  Result<void> queue_done(ClientId client, ObjectId object, std::uint64_t item);
  // queue_done and, when that was right, queue_take.
  void queue_next(ClientId client, ObjectId object, std::uint64_t done_item,
                  std::uint64_t deadline_ns, SyncDone done);
  Result<QueueProgress> queue_progress(ClientId client, ObjectId object) const;

  // --- mutexes and conditions (lock.h); they belong to a segment, as the objects above ----------
  // Errors: bad_argument, refused (it exists as another kind), exhausted, busy, host.
  Result<LockView> open_lock(ClientId client, SegmentId segment, proto::LockKind kind,
                             std::string_view name);
  // A broken mutex is free again; one that is not broken is left alone. Errors: busy.
  Result<void> reset_lock(ClientId client, ObjectId object);

  // --- views: anonymous memory ----------------------------------------------------------------
  // Errors: bad_argument (no room for views is there, or something is mapped there), exhausted
  // (too many). Of `copies`, it may lie over a view of a file for reading.
  Result<ViewId> map_view(ClientId client, std::uint64_t address, std::uint64_t bytes,
                          bool copies = false);
  // Its memory is gone.
  Result<void> unmap_view(ClientId client, ViewId view);
  // Finds frames for the block around the page, at least for that page, and brings in what is
  // shown already. Errors: exhausted, lost (with its lender), busy, host, bad_argument (no copy).
  Result<ViewBlock> fault_view(ClientId client, ViewId view, const ViewTouch& touch);
  // The client shows the frames that fault_view() named: they are brought in. Errors: busy, host.
  Result<void> give_view(ClientId client, ViewId view, std::uint64_t page);
  // --- views of files: by the file service, which knows who may --------------------------------
  Result<ViewId> map_file_view(ClientId client, std::uint64_t address, std::uint64_t bytes,
                               const FilePart& part);
  // What the view shows; `page` is one of its own. Errors: not_found, bad_argument (no such page).
  Result<FilePart> file_part(ClientId client, ViewId view, std::uint64_t page) const;
  // The client is about to be let store to the page, which lies in this frame: from here on it is
  // closed with the frame. Errors: busy (the page has left it), refused (a view for reading).
  Result<void> expect_stores(ClientId client, ViewId view, std::uint64_t page,
                             const HeldFrame& held);
  // As fault_view(): these frames hold pages of the block around the page.
  Result<ViewBlock> show_file(ClientId client, ViewId view, std::uint64_t page,
                              std::span<const HeldFrame> held);

  // Whom to ask for memory last; null: nobody. It outlives the home, or says null before.
  void use_supply(FrameSupply* supply);

  // --- frames of files --------------------------------------------------------------------------
  // Gives the client frames for reading, those of them that hold these pages; returns how many.
  // Errors: not_found (none does, or the client is gone), busy, host.
  Result<std::uint32_t> give_cached(ClientId client, std::span<const HeldFrame> held);
  void use_reclaimer(FrameReclaimer* reclaimer) override;
  std::vector<std::uint32_t> take_frames(std::uint32_t frames_max) override;
  bool are_frames_coming() const override;
  void hold_frames(std::span<HeldFrame> frames) override;
  Result<void> close_frames(std::span<const std::uint32_t> frames) override;
  void lose_frames(std::span<const std::uint32_t> frames) override;
  void renew_frames(std::vector<std::uint32_t>& frames) override;
  void give_back_frames(std::span<const std::uint32_t> frames) override;
  Result<void> read_frames(std::uint64_t offset, std::span<std::byte> out) override;
  Result<void> write_frames(std::uint64_t offset, std::span<const std::byte> bytes) override;
  Result<void> check_cached(std::span<const HeldFrame> held, std::size_t frames,
                            bool in_transit) const override;

  // --- frames lent to other cells (loans.h) -----------------------------------------------------
  void use_recall(RecallFrames recall);
  Result<Loan> lend(const Borrower& to, const LoanWish& wish) override;
  Result<void> hold_lent(const Borrower& by, std::uint64_t loan,
                         std::span<HeldFrame> held) override;
  Result<void> lose_lent(const Borrower& by, const LentFrames& which) override;
  Result<std::uint32_t> renew_lent(const Borrower& by, const LentFrames& which) override;
  Result<void> reopen_lent(const Borrower& by, const LentFrames& which) override;
  Result<void> take_return(const Borrower& by, std::uint64_t loan,
                           std::span<const machine::PageRange> runs) override;
  // Asks for everything that is lent, and after recall_ns takes it. False: some is lent still.
  bool recall_lent();
  void close_loans_of(CellId dead);  // before barrier 1: nobody has them any more
  void free_loans_of(CellId dead);   // after barrier 2: they serve others

  // --- housekeeping -----------------------------------------------------------------------------
  // Ends waits whose deadline has passed.
  void on_tick(std::uint64_t now_ns);
  // Makes memory of freed segments usable again. May take a microsecond for each page of them.
  void clean_up();
  bool needs_clean_up() const { return dirty_count_.load(std::memory_order_relaxed) != 0; }
  // Counts all frames anew, and compares with what segments, locks and files should have.
  FrameBooks check_frames() const;
  std::uint64_t frames_in(FrameState state) const { return frames_.count(state); }

 private:
  friend class AwayPages;  // a part of it: what it does with memory that is away from the node
  using PageRange = machine::PageRange;
  using Lock = std::unique_lock<std::mutex>;
  using Client = home::Client;
  using Segment = home::Segment;
  using Window = home::Window;
  using ClientRef = std::shared_ptr<Client>;
  using Place = home::Place;
  using Restore = home::Restore;
  using Tear = home::Tear;
  using LockLoss = home::LockLoss;

  Home(Parts parts, Publisher publisher, FrameTable frames);

  // home_clients.cpp
  Result<ClientRef> client_locked(ClientId id) const;
  bool is_here_locked(ClientId id) const { return clients_.contains(id); }
  HomeLoss remove_clients(std::span<const ClientId> ids, Leave why);
  void note_loss_locked(const Client& client, HomeLoss& loss) const;
  void log(const std::string& line) const {
    if (parts_.log) parts_.log(line);
  }

  // home_segments.cpp
  Result<Segment*> segment_locked(const Client& client, SegmentId id);
  Segment* segment_at_locked(std::uint32_t page);
  // Pages of a segment that the client has open, `first` counted from the segment's beginning.
  Result<Place> place_locked(ClientId client, SegmentId segment, std::uint64_t first,
                             std::uint64_t pages);
  // The same, when no other call of the client is on them, and they are not being taken back just
  // now. Errors also: busy.
  Result<Place> settled_place(Lock& lock, ClientId client, SegmentId segment, std::uint64_t first,
                              std::uint64_t pages);
  void drop_open_locked(Client& client, Segment& segment, Outcomes& out);
  void forget_segment_locked(Segment& segment, Outcomes& out);

  // home_memory.cpp. Those that take the Lock release it for a while: what was looked up before is
  // to be looked up again.
  std::optional<PageRange> allocate(Lock& lock, std::uint32_t pages, FrameState use);
  std::optional<PageRange> allocate_free(Lock& lock, std::uint32_t pages, FrameState use);
  void take_back(std::span<const PageRange> ranges) const;
  Result<void> refill(PageRange range) const;
  void clean_up_locked(Lock& lock);
  void clean_range(Lock& lock, PageRange range);
  void begin_cleaning_locked(PageRange range);
  Result<void> check_frames_locked() const;
  // `content`: null for zeros.
  Result<void> renew(Lock& lock, PageRange torn_run, const std::vector<std::byte>* content);
  void restore(Lock& lock, const Restore& what);
  bool wait_for_calls(Lock& lock, PageRange range);
  bool wait_for_calls_of(Lock& lock, ClientId client, PageRange range);
  void end_call_locked(PageCalls::Ticket ticket);
  std::vector<std::shared_ptr<ClientSpace>> spaces_locked() const;
  void set_torn_locked(PageRange range, bool torn);
  Error lost_locked(PageRange range);
  // Pages of the range are torn: lost, or busy while they are being restored.
  Error torn_error_locked(PageRange range);
  Error host_error(const Error& e) const;

  // home_views.cpp
  Result<home::ViewPlace> view_locked(ClientId client, ViewId view) const;
  // Frames of the node for those of these pages of a block (bit i: page i) that have none.
  void find_frames_locked(home::ViewPages& block, std::uint32_t pages, ViewId view);
  std::optional<PageRange> last_frame(Lock& lock, bool comes_back);
  Result<void> find_pages(Lock& lock, const home::BlockName& name, std::uint32_t touched,
                          std::uint32_t wanted);
  Result<void> fill_copies(Lock& lock, ClientId client, ViewId view,
                           const home::BlockFrames& before, const ViewTouch& touch);
  Result<void> bring_in(Lock& lock, const ClientRef& client, const home::View& view,
                        std::uint64_t block);
  Result<ViewId> insert_view(ClientId client, std::uint64_t address, std::uint64_t bytes,
                             const FilePart& part);
  std::vector<home::ShownRun> shown_locked(const home::View& view, std::uint64_t block) const;
  bool is_opener_locked(const home::View& view, std::uint64_t page, std::uint32_t frame) const;
  ViewBlock answer_locked(home::ViewPages& block) const;
  void drop_views_locked(Client& client);
  void drop_view_locked(home::View& view);
  // Those of one view, or of a client: they are openers no more.
  std::vector<home::Opener> leave_frames_locked(const Client& client, const ViewId* only_of);
  Result<void> close_openers(Lock& lock, std::span<const home::Opener> openers);
  void lose_openers(Lock& lock, std::span<const home::Opener> openers);
  void forget_openers_locked(std::uint32_t frame);

  // home_files.cpp
  Result<std::uint32_t> give_run(Lock& lock, ClientId client, PageRange run);
  bool renew_frame(Lock& lock, std::uint32_t frame);
  Result<void> check_not_lent(std::uint64_t offset, std::size_t bytes) const;

  // home_loans.cpp
  Result<void> open_lent(Lock& lock, const ClientRef& client, std::span<const PageRange> runs);
  Result<ClientRef> kernel_client_locked(CellId cell) const;
  Result<std::uint16_t> begin_loan_work(Lock& lock, const Borrower& by, std::uint64_t loan,
                                        std::span<const std::uint32_t> frames);
  bool end_loan_work_locked(std::uint16_t slot);
  void end_unknown_loans_locked(const Borrower& by, std::span<const std::uint64_t> known);
  void free_loan_locked(std::uint16_t slot);
  void unlend_locked(PageRange range, CellId cell, std::uint16_t slot);
  bool recall(Lock& lock, PageRange range);

  // home_windows.cpp
  // Takes the windows out of the table and marks their pages; finish_tear then takes the pages
  // back, and puts back what is rolled back and tells the others, which may take long.
  Tear begin_tear_locked(std::span<const WindowId> ids);
  void finish_tear(Lock& lock, const Tear& tear);
  void take_torn_back(Lock& lock, const Tear& tear);
  void put_torn_right(Lock& lock, const Tear& tear);
  void tell_torn_locked(PageRange range) const;
  Result<WindowId> insert_window_locked(Client& client, Segment& segment, PageRange pages,
                                        WindowMode mode);
  Window* own_window_locked(ClientId client, WindowId id);
  Result<void> keep_content(Lock& lock, ClientId client, WindowId id, PageRange pages);
  void erase_window_locked(WindowId id);
  bool is_held_locked(const Segment& segment, PageRange pages, WindowMode mode) const;
  bool has_window_locked(const Segment& segment, PageRange pages) const;
  std::vector<PageRange> closable_locked(const Client& client, const Window& window) const;
  // Closes the pages of a window in the table; the window stays there. A process that is gone has
  // closed. Errors: host.
  Result<void> close_pages(Lock& lock, const ClientRef& client, WindowId id);
  Result<WindowId> finish_opening(Lock& lock, const ClientRef& client, WindowId id,
                                  PageRange pages, const Result<void>& opened);
  Result<void> finish_closing(Lock& lock, ClientId client, WindowId id, PageRange pages,
                              const Result<void>& closed);

  // home_faults.cpp
  Result<void> give_runs(Lock& lock, const ClientRef& client, PageRange range);
  Result<void> load_fault(Lock& lock, const ClientRef& client, PageRange around,
                          std::uint32_t page);
  bool has_open_window_locked(const Client& client, std::uint32_t page) const;
  Result<void> reopen(Lock& lock, const ClientRef& client, std::uint32_t page);
  // Writes a stopped store down and says so in the log; ends with the lock released.
  void note_blocked(Lock& lock, const Client& client, const Segment* segment,
                    std::uint64_t address, std::uint64_t instruction);

  // home_locks.cpp
  Result<SharedLock*> make_lock(Lock& lock, ClientId client, SegmentId segment,
                                proto::LockKind kind, std::string_view name);
  Result<void> enter_lock(const Client& client, SharedLock& lock);
  // The client is no opener any more; of all locks, or those of one segment.
  std::vector<LockLoss> leave_locks_locked(const ClientRef& client, const SegmentId* only_of);
  void close_lock_pages(Lock& lock, std::span<const LockLoss> losses);
  std::optional<std::uint32_t> read_lock_word(Lock& lock, ObjectId object);
  void settle_locks(Lock& lock, std::span<const LockLoss> losses);
  void remove_locks_locked(SegmentId segment);
  std::atomic<std::uint64_t>& open_pages(const ClientInfo& info) {
    return info.cell == parts_.self ? root()->pages_open_own : root()->pages_open_others;
  }

  // home_sync.cpp
  std::uint64_t bounded(std::uint64_t deadline_ns, std::uint64_t now) const;

  const Parts parts_;
  mutable std::mutex mutex_;
  std::condition_variable calls_done_;  // a page call has ended, or cleaning has
  // All that follows: guarded by mutex_.
  Publisher publisher_;
  FrameTable frames_;
  PageBits torn_;
  PageBits restoring_;  // torn, and about to have their last committed content again
  PageBits touched_;  // was given to somebody since it was last refilled
  PageCalls page_calls_;
  std::map<ClientId, ClientRef> clients_;
  KeptLosses kept_losses_;
  std::map<SegmentId, Segment> segments_;
  std::map<std::string, SegmentId, std::less<>> names_;
  std::multimap<std::uint32_t, home::Opener> openers_;  // by frame
  std::map<std::uint32_t, SegmentId> by_page_;  // first page of each segment
  std::unordered_map<WindowId, Window> windows_;
  SyncTable sync_;
  LockTable locks_;
  std::uint64_t rollback_bytes_ = 0;  // kept for open windows
  std::vector<PageRange> dirty_;  // freed; to be taken back and refilled
  bool cleaning_ = false;
  LoanBook loans_;
  PageBits shown_;  // lent, and given to others than the borrower's kernel since it was renewed
  RecallFrames recall_;
  FrameReclaimer* reclaimer_ = nullptr;
  FrameSupply* supply_ = nullptr;
  AwayPages* away_ = nullptr;
  PageRange reclaimed_;  // the range that it is being asked for; nobody is: no pages
  ClientId last_client_ = 0;
  SegmentId last_segment_ = 0;
  WindowId last_window_ = 0;
  ViewId last_view_ = 0;
  std::uint64_t logged_second_ = 0;  // when blocked stores were logged last, and how many then
  int logged_in_second_ = 0;
  std::atomic<std::uint64_t> dirty_count_{0};  // of ranges in dirty_; read without the mutex
};

}  // namespace hive::cell

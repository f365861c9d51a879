// Mutexes and conditions: pages that tasks store to without a window, and what becomes of them
// when a task goes. Invariant 11 of home.h; the words are told in proto/lock.h.

#include <array>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/futex.h"
#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using machine::page_bytes;
using proto::LockKind;

namespace {

void announce_change(SharedLock& lock) {
  auto& generation = lock.shared->state.generation;
  generation.fetch_add(1, std::memory_order_seq_cst);
  futex_wake(&generation, std::numeric_limits<int>::max());
}

}  // namespace

Result<SharedLock*> Home::make_lock(Lock& lock, ClientId id, SegmentId segment_id, LockKind kind,
                                    std::string_view name) {
  if (locks_.size() >= locks_max) return fail(Code::exhausted, cause::object_limit, parts_.self);
  const auto page = allocate(lock, 1, FrameState::lock);
  if (!page) return fail(Code::exhausted, cause::no_room, parts_.self);
  // The mutex was free for a while.
  const auto client = client_locked(id);
  SharedLock* known = locks_.find(segment_id, name);
  TaggedLock* shared = nullptr;
  if (client && (*client)->opens.contains(segment_id) && known == nullptr) {
    shared = parts_.heap->create<TaggedLock>();
  }
  if (shared != nullptr) {
    touched_.assign(*page, true);
    frames_.set_owner(*page, segment_id);
    return &locks_.add(segment_id, kind, name, page->first, shared);
  }
  frames_.free_untouched(*page);
  if (known != nullptr) return known;
  if (!client) return fail(client.error());
  if (!(*client)->opens.contains(segment_id)) {
    return fail(Code::not_found, cause::segment_not_open, parts_.self);
  }
  return fail(Code::exhausted, cause::object_limit, parts_.self);
}

Result<LockView> Home::open_lock(ClientId id, SegmentId segment_id, LockKind kind,
                                 std::string_view name) {
  if (!is_valid_name(name, object_name_max)) {
    return fail(Code::bad_argument, cause::object_name, parts_.self);
  }
  Lock lock(mutex_);
  if (const auto client = client_locked(id); !client) return fail(client.error());
  SharedLock* known = locks_.find(segment_id, name);
  if (known == nullptr) {
    auto made = make_lock(lock, id, segment_id, kind, name);
    if (!made) return fail(made.error());
    known = *made;
  }
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  if (const auto segment = segment_locked(**client, segment_id); !segment) {
    return fail(segment.error());
  }
  if (known->kind != kind) return fail(Code::refused, cause::object_differs, parts_.self);
  if (auto entered = enter_lock(**client, *known); !entered) return fail(entered.error());

  const LockView view{known->id, known->page, proto::lock_token(id),
                      reinterpret_cast<std::uint64_t>(&known->shared->state)};
  const PageRange range{view.page, 1};
  if (!wait_for_calls_of(lock, id, range)) {
    return fail(Code::busy, cause::pages_in_use, parts_.self);
  }
  // The mutex was free while we waited.
  known = locks_.find(view.object);
  if (known == nullptr || !known->openers.contains(id)) {
    return fail(Code::not_found, cause::segment_not_open, parts_.self);
  }
  const ClientRef keep = client_locked(id).value_or(nullptr);
  if (keep == nullptr) return fail(Code::not_found, cause::not_a_task, parts_.self);
  const auto ticket = page_calls_.begin(id, range);
  lock.unlock();
  const auto opened = keep->space->open(range);
  lock.lock();
  known = locks_.find(view.object);
  const bool still_opener = known != nullptr && known->openers.contains(id);
  if (opened && !still_opener) {
    lock.unlock();
    (void)keep->space->close(range);
    lock.lock();
  }
  end_call_locked(ticket);
  if (!still_opener) return fail(Code::not_found, cause::segment_not_open, parts_.self);
  if (!opened) return fail(host_error(opened.error()));
  return view;
}

// The client may store to the page from now on, and `hive status` says so.
Result<void> Home::enter_lock(const Client& client, SharedLock& lock) {
  if (lock.openers.contains(client.id)) return {};
  std::size_t held = 0;
  for (const auto& [id, other] : locks_.all()) held += other.openers.contains(client.id) ? 1 : 0;
  if (held >= locks_per_client_max) return fail(Code::exhausted, cause::object_limit, parts_.self);
  const auto slot = publisher_.add_window(
      {&client.info, lock.segment, {lock.page, 1}, WindowMode::shared, parts_.now()});
  if (!slot) return fail(Code::exhausted, cause::cell_window_limit, parts_.self);
  lock.openers.emplace(client.id, *slot);
  ++lock.changes;
  open_pages(client.info).fetch_add(1, std::memory_order_relaxed);
  return {};
}

std::vector<Home::LockLoss> Home::leave_locks_locked(const ClientRef& client,
                                                     const SegmentId* only_of) {
  std::vector<LockLoss> losses;
  for (auto& [id, lock] : locks_.all()) {
    if (only_of != nullptr && lock.segment != *only_of) continue;
    const auto opener = lock.openers.find(client->id);
    if (opener == lock.openers.end()) continue;
    publisher_.remove_window(opener->second);
    open_pages(client->info).fetch_sub(1, std::memory_order_relaxed);
    lock.openers.erase(opener);
    ++lock.changes;
    losses.push_back({client, id, lock.page});
  }
  return losses;
}

void Home::close_lock_pages(Lock& lock, std::span<const LockLoss> losses) {
  if (losses.empty()) return;
  std::vector<PageCalls::Ticket> tickets;
  for (const LockLoss& loss : losses) {
    tickets.push_back(page_calls_.begin(loss.client->id, {loss.page, 1}));
  }
  lock.unlock();
  for (const LockLoss& loss : losses) (void)loss.client->space->close({loss.page, 1});
  lock.lock();
  for (const auto ticket : tickets) end_call_locked(ticket);
}

// The word of a lock as it was at one moment at which nobody came, went or reset it; the mutex is
// free for a while. None: the lock is gone, or too much went on.
std::optional<std::uint32_t> Home::read_lock_word(Lock& lock, ObjectId object) {
  constexpr int tries_max = 100;
  for (int i = 0; i < tries_max; ++i) {
    const SharedLock* known = locks_.find(object);
    if (known == nullptr) return std::nullopt;
    const std::uint32_t changes = known->changes;
    const std::uint64_t offset = std::uint64_t{known->page} * page_bytes;
    std::uint32_t word = 0;
    lock.unlock();
    const auto read = parts_.memory->read(offset, std::as_writable_bytes(std::span(&word, 1)));
    lock.lock();
    known = locks_.find(object);
    if (known == nullptr || !read) return std::nullopt;
    if (known->changes == changes) return word;
  }
  return std::nullopt;
}

// The processes that had them open are dead, or have the pages closed. A live owner is an opener
// from before it takes the mutex until after it has let go; so a word that names no opener, read
// while nobody came or went, names one who is gone, or is nonsense.
void Home::settle_locks(Lock& lock, std::span<const LockLoss> losses) {
  for (const LockLoss& loss : losses) {
    const auto word = read_lock_word(lock, loss.object);
    SharedLock* known = locks_.find(loss.object);
    if (known == nullptr) continue;
    const std::uint32_t owner = word.value_or(0) & proto::lock_owner_mask;
    const bool sound = word && (*word == 0 || ((*word & proto::lock_other_bits) == 0 &&
                                               owner != 0 && known->has_token(owner)));
    if (known->kind == LockKind::mutex && !sound) {
      known->shared->state.broken.store(1, std::memory_order_seq_cst);
      known->breaks_again = true;
    }
    announce_change(*known);
  }
}

Result<void> Home::reset_lock(ClientId client, ObjectId object) {
  Lock lock(mutex_);
  SharedLock* known = locks_.find(object);
  if (known == nullptr || !known->openers.contains(client)) {
    return fail(Code::not_found, cause::no_such_object, parts_.self);
  }
  if (known->shared->state.broken.load(std::memory_order_relaxed) == 0) return {};
  if (known->resetting) return fail(Code::busy, cause::pages_in_use, parts_.self);
  known->resetting = true;
  known->breaks_again = false;
  ++known->changes;
  const PageRange range{known->page, 1};
  // Also keeps the page from being freed and used for something else before the zeros are there.
  const auto ticket = page_calls_.begin(0, range);
  lock.unlock();
  // Nobody owns a mutex that is broken, and nobody takes it, so nothing of anybody's is
  // overwritten.
  const std::array<std::byte, page_bytes> zeros{};
  const auto written = parts_.memory->write(std::uint64_t{range.first} * page_bytes, zeros);
  lock.lock();
  end_call_locked(ticket);
  known = locks_.find(object);
  if (known == nullptr) return fail(Code::not_found, cause::no_such_object, parts_.self);
  known->resetting = false;
  ++known->changes;
  if (!written) return fail(host_error(written.error()));
  // Somebody may have got in between the zeros and here, and died.
  if (known->breaks_again) return fail(Code::busy, cause::lock_broken, parts_.self);
  known->shared->state.broken.store(0, std::memory_order_seq_cst);
  announce_change(*known);
  return {};
}

void Home::remove_locks_locked(SegmentId segment) {
  for (const SharedLock& lock : locks_.remove_segment(segment)) {
    HIVE_CHECK(lock.openers.empty());
    parts_.heap->destroy(lock.shared);
    begin_cleaning_locked({lock.page, 1});
  }
}

}  // namespace hive::cell

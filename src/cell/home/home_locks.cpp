// Mutexes and conditions: pages that tasks store to without a window, and what becomes of them
// when a task goes. Invariant 11 of home.h; the words are told in proto/lock.h.

#include <algorithm>
#include <array>
#include <limits>

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
  const auto page = allocate(lock, 1);
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
    return &locks_.add(segment_id, kind, name, page->first, shared);
  }
  frames_.free(*page);
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
  const ClientRef keep = *client;
  const auto ticket = page_calls_.begin(id, range);
  lock.unlock();
  const auto opened = keep->space->open(range);
  lock.lock();
  end_call_locked(ticket);
  known = locks_.find(view.object);
  if (known == nullptr || !known->openers.contains(id)) {
    return fail(Code::not_found, cause::not_a_task, parts_.self);
  }
  if (!opened) return fail(host_error(opened.error()));
  return view;
}

// The client may store to the page from now on, and `hive status` says so.
Result<void> Home::enter_lock(const Client& client, SharedLock& lock) {
  if (lock.openers.contains(client.id)) return {};
  const auto slot = publisher_.add_window(
      {&client.info, lock.segment, {lock.page, 1}, WindowMode::shared, parts_.now()});
  if (!slot) return fail(Code::exhausted, cause::cell_window_limit, parts_.self);
  lock.openers.emplace(client.id, *slot);
  open_pages(client.info).fetch_add(1, std::memory_order_relaxed);
  return {};
}

std::vector<Home::LockLoss> Home::leave_locks_locked(const Client& client,
                                                     const SegmentId* only_of) {
  std::vector<LockLoss> losses;
  for (auto& [id, lock] : locks_.all()) {
    if (only_of != nullptr && lock.segment != *only_of) continue;
    const auto opener = lock.openers.find(client.id);
    if (opener == lock.openers.end()) continue;
    publisher_.remove_window(opener->second);
    open_pages(client.info).fetch_sub(1, std::memory_order_relaxed);
    lock.openers.erase(opener);
    losses.push_back({id, proto::lock_token(client.id), lock.page});
  }
  return losses;
}

void Home::close_lock_pages(Lock& lock, const ClientRef& client,
                            std::span<const LockLoss> losses) {
  for (const LockLoss& loss : losses) (void)wait_for_calls_of(lock, client->id, {loss.page, 1});
  lock.unlock();
  for (const LockLoss& loss : losses) (void)client->space->close({loss.page, 1});
  lock.lock();
}

// The processes that had them open are dead, or have the pages closed.
void Home::settle_locks(Lock& lock, std::span<const LockLoss> losses) {
  for (const LockLoss& loss : losses) {
    std::uint32_t word = 0;
    lock.unlock();
    const auto read = parts_.memory->read(std::uint64_t{loss.page} * page_bytes,
                                          std::as_writable_bytes(std::span(&word, 1)));
    lock.lock();
    SharedLock* known = locks_.find(loss.object);
    if (known == nullptr) continue;
    const std::uint32_t owner = word & proto::lock_owner_mask;
    const bool owned_by_dead = owner == loss.token;
    const bool senseless = owner != 0 && !owned_by_dead && !known->has_token(owner) &&
                           std::none_of(losses.begin(), losses.end(), [&](const LockLoss& other) {
                             return other.object == loss.object && other.token == owner;
                           });
    if (known->kind == LockKind::mutex && (!read || owned_by_dead || senseless)) {
      known->shared->state.broken.store(1, std::memory_order_seq_cst);
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
  const std::uint64_t offset = std::uint64_t{known->page} * page_bytes;
  const SegmentId segment = known->segment;
  lock.unlock();
  // Nobody takes a mutex that is broken, so nothing of anybody's is overwritten.
  const std::array<std::byte, page_bytes> zeros{};
  const auto written = parts_.memory->write(offset, zeros);
  lock.lock();
  known = locks_.find(object);
  if (known == nullptr || known->segment != segment) {
    return fail(Code::not_found, cause::no_such_object, parts_.self);
  }
  known->resetting = false;
  if (!written) return fail(host_error(written.error()));
  known->shared->state.broken.store(0, std::memory_order_seq_cst);
  announce_change(*known);
  return {};
}

void Home::remove_locks_locked(SegmentId segment) {
  for (const SharedLock& lock : locks_.remove_segment(segment)) {
    HIVE_CHECK(lock.openers.empty());
    parts_.heap->destroy(lock.shared);
    dirty_.push_back({lock.page, 1});
    root()->pages_being_cleaned.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace hive::cell

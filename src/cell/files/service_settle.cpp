// What concerns two homes: orders of others, and notes that wait for others.
#include <cerrno>

#include "cell/files/file_service.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t again_ns = 2 * ns_per_s;

}  // namespace

HomeOrders::Outcome FileService::carry_out(CellId from, const FileOrder& order) {
  const auto disk = store();
  const auto done =
      disk ? carry_out(**disk, from, order) : Result<std::uint64_t>(fail(disk.error()));
  if (!done) return {errno_of(done.error()), 0};
  return {0, *done};
}

Result<std::uint64_t> FileService::carry_out(DiskStore& store, CellId from,
                                             const FileOrder& order) {
  const FileEntry& entry = order.entry;
  const bool is_ours = entry.home == self_;
  const auto answer = [](const Result<void>& done) -> Result<std::uint64_t> {
    if (!done) return fail(done.error());
    return 0;
  };
  switch (order.kind) {
    case FileOrderKind::make:
      return store.make_for(from, order.mode);
    case FileOrderKind::adopt:
      return is_ours ? answer(store.adopt(entry)) : fail_errno(EINVAL);
    case FileOrderKind::drop: {
      if (!is_ours) return fail_errno(EINVAL);
      if (auto done = store.drop(entry); !done) return fail(done.error());
      (void)lost_name(store, entry);
      return 0;
    }
    case FileOrderKind::remove_directory:
      if (!is_ours || entry.kind != FileKind::directory) return fail_errno(EINVAL);
      return answer(store.bury(entry));
    case FileOrderKind::take_over: {
      if (auto here = check_place(order.directory, order.name); !here) return fail(here.error());
      const auto replaced = store.take_over(order.directory, order.name, entry);
      if (!replaced) return fail(replaced.error());
      machine::fault_point(machine::FaultPoint::rename_named);
      // Not here: this thread never waits for another cell.
      if (*replaced && (*replaced)->home == self_) (void)lost_name(store, **replaced);
      if (*replaced && (*replaced)->home != self_) settle();
      return 0;
    }
    case FileOrderKind::leads_to: {
      const auto leads = store.leads_to(order.directory, entry);
      if (!leads) return fail(leads.error());
      return *leads ? 1 : 0;
    }
    case FileOrderKind::is_claimed: {
      const std::scoped_lock lock(hand_mutex_);
      const bool is_naming =
          from >= 0 && from < max_cells && naming_[static_cast<std::size_t>(from)] != 0;
      return is_naming || store.unsettled(entry) ? 1 : 0;
    }
  }
  return fail_errno(EINVAL);
}

void FileService::settle() {
  if (settle_posted_.exchange(true)) return;
  if (!settler_.post([this] { settle_all(); })) settle_posted_.store(false);
}

void FileService::settle_when_due() {
  const std::uint64_t due_ns = settle_again_ns_.load(std::memory_order_relaxed);
  if (due_ns != 0 && now_ns() >= due_ns) settle();
}

void FileService::settle_all() {
  settle_posted_.store(false);
  settle_again_ns_.store(0);
  const auto disk = store();
  if (!disk) return;
  bool is_done = true;
  for (const Pending& pending : (*disk)->unsettled()) {
    if (settler_.stopped()) return;
    if (!take_in_hand(pending.entry)) {  // a request does it, or leaves it to us
      is_done = false;
      continue;
    }
    is_done = settle(**disk, pending) && is_done;
    let_go(pending.entry);
  }
  if (!is_done) settle_again_ns_.store(now_ns() + again_ns);
}

bool FileService::settle(DiskStore& store, const Pending& pending) {
  const FileEntry& entry = pending.entry;
  switch (pending.what) {
    case Pending::What::name:
      return settle_name(store, pending);
    case Pending::What::gone:
      return lost_name(store, entry);
    case Pending::What::claim: {
      // Also one of this life: the other home may have died before it named it.
      const auto claimed =
          orders_.give(pending.cell, {.kind = FileOrderKind::is_claimed, .entry = entry});
      if (!claimed || *claimed != 0) return false;
      const auto dropped = store.drop_claim(entry);
      return dropped && (!*dropped || lost_name(store, entry));
    }
    case Pending::What::move: {
      const auto leads = orders_.give(
          pending.cell,
          {.kind = FileOrderKind::leads_to, .entry = entry, .directory = pending.to_directory});
      return leads && store.end_move(entry, *leads != 0);
    }
  }
  return false;
}

bool FileService::settle_name(DiskStore& store, const Pending& pending) {
  const FileEntry& entry = pending.entry;
  const auto named = store.lookup(pending.directory, pending.name);
  if (!named && errno_of(named.error()) != ENOENT) return false;
  if (!named || *named != entry) return lost_name(store, entry);
  if (entry.home == self_) return store.forget(entry).has_value();
  const auto adopted = orders_.give(entry.home, {.kind = FileOrderKind::adopt, .entry = entry});
  if (adopted) return store.forget(entry).has_value();
  if (errno_of(adopted.error()) != ENOENT) return false;
  return store.forget_name(pending.directory, pending.name, entry).has_value();
}

bool FileService::lost_name(DiskStore& store, const FileEntry& entry) {
  if (entry.home != self_) {
    if (!orders_.give(entry.home, {.kind = FileOrderKind::drop, .entry = entry})) {
      settle_again_ns_.store(now_ns() + again_ns);
      return false;
    }
    return store.forget(entry).has_value();
  }
  if (!store.unsettled(entry)) return true;
  // A directory went with its name.
  if (entry.kind == FileKind::directory) return store.forget(entry).has_value();
  if (open_.lose_name(entry.number)) bury(store, entry);
  return true;
}

bool FileService::take_in_hand(const FileEntry& entry) {
  const std::scoped_lock lock(hand_mutex_);
  return in_hand_.insert(pending_key(entry)).second;
}

void FileService::let_go(const FileEntry& entry) {
  const std::scoped_lock lock(hand_mutex_);
  in_hand_.erase(pending_key(entry));
}

}  // namespace hive::cell

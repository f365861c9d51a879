#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "cell/home/home.h"
#include "machine/fault_point.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;

Result<std::unique_ptr<Home>> Home::create(Parts parts) {
  HIVE_CHECK(parts.heap != nullptr);
  HIVE_CHECK(parts.memory != nullptr);
  auto publisher = Publisher::create(*parts.heap, parts.self);
  if (!publisher) return fail(publisher.error());
  auto frames = FrameTable::create(*parts.heap, parts.layout.user_pages());
  if (!frames) return fail(frames.error());
  (*publisher).root()->pfdats = reinterpret_cast<std::uintptr_t>(&frames->published());
  return std::unique_ptr<Home>(
      new Home(std::move(parts), std::move(*publisher), std::move(*frames)));
}

Home::Home(Parts parts, Publisher publisher, FrameTable frames)
    : parts_(std::move(parts)),
      publisher_(std::move(publisher)),
      frames_(std::move(frames)),
      torn_(parts_.layout.user_pages()),
      restoring_(parts_.layout.user_pages()),
      touched_(parts_.layout.user_pages()),
      shown_(parts_.layout.user_pages()) {}

Home::~Home() = default;

Result<Home::ClientRef> Home::client_locked(ClientId id) const {
  const auto at = clients_.find(id);
  if (at == clients_.end()) return fail(Code::not_found, cause::not_a_task, parts_.self);
  return at->second;
}

Result<ClientId> Home::add_client(const ClientInfo& info, std::shared_ptr<ClientSpace> space) {
  HIVE_CHECK(space != nullptr);
  const Lock lock(mutex_);
  if (clients_.size() >= clients_max) return fail(Code::exhausted, cause::task_limit, parts_.self);
  auto client = std::make_shared<Client>();
  client->id = ++last_client_;
  client->info = info;
  client->info.program.back() = 0;  // came from the process
  client->space = std::move(space);
  clients_.emplace(client->id, client);
  root()->clients.store(clients_.size(), std::memory_order_relaxed);
  return client->id;
}

void Home::remove_client(ClientId client, Leave why) {
  (void)remove_clients({&client, 1}, why);
}

HomeLoss Home::on_cell_down(CellId cell) {
  std::vector<ClientId> gone;
  {
    const Lock lock(mutex_);
    for (const auto& [id, client] : clients_) {
      if (client->info.cell == cell) gone.push_back(id);
    }
  }
  HomeLoss loss = remove_clients(gone, Leave::cell_down);
  const Lock lock(mutex_);
  // After it: some may have been removed by others just now.
  loss.add(kept_losses_.take(cell, parts_.now()));
  return loss;
}

void Home::note_loss_locked(const Client& client, HomeLoss& loss) const {
  if (client.info.kind != ClientKind::task) return;
  loss.tasks.push_back({client.info.task, client.info.program.data()});
  for (const WindowId id : client.windows) {
    const Window& window = windows_.at(id);
    if (window.rollback && window.before == nullptr) continue;  // not a page of it was open yet
    const Segment& segment = segments_.at(window.segment);
    const std::uint64_t first = window.pages.first - segment.pages.first;
    loss.ranges.push_back({segment.name, first * machine::page_bytes,
                           std::uint64_t{window.pages.count} * machine::page_bytes,
                           client.info.task, window.rollback});
  }
}

HomeLoss Home::remove_clients(std::span<const ClientId> ids, Leave why) {
  HomeLoss loss;
  Outcomes out;
  std::vector<std::string> lines;
  Lock lock(mutex_);
  std::vector<ClientRef> gone;
  std::vector<WindowId> windows;
  for (const ClientId id : ids) {
    const auto at = clients_.find(id);
    if (at == clients_.end()) continue;  // somebody else has removed it
    const Client& client = *at->second;
    windows.insert(windows.end(), client.windows.begin(), client.windows.end());
    if (!client.windows.empty()) {
      lines.push_back(fmt::format("cell {}: task {} ({}) of cell {} is gone with {} windows open",
                                  parts_.self, client.info.task, client.info.program.data(),
                                  client.info.cell, client.windows.size()));
    }
    note_loss_locked(client, loss);
    gone.push_back(at->second);
    clients_.erase(at);
  }
  root()->clients.store(clients_.size(), std::memory_order_relaxed);
  if (gone.empty()) return loss;

  if (parts_.sabotage.discard && why != Leave::detached) {
    for (const WindowId id : std::exchange(windows, {})) erase_window_locked(id);
  }
  const Tear tear = begin_tear_locked(windows);
  std::vector<ClientId> left;
  std::vector<LockLoss> locks;
  for (const ClientRef& client : gone) {
    left.push_back(client->id);
    const auto lost = leave_locks_locked(client, nullptr);
    locks.insert(locks.end(), lost.begin(), lost.end());
  }
  loss.locks = locks.size();
  const bool is_a_loss = why == Leave::died || !loss.ranges.empty();
  if (is_a_loss && why != Leave::cell_down) {
    kept_losses_.keep(gone.front()->info.cell, parts_.now(), loss);
  }
  sync_.leave(left, why != Leave::detached, out);
  std::vector<home::Opener> openers;
  for (const ClientRef& client : gone) {
    const auto left_open = leave_frames_locked(*client, nullptr);
    openers.insert(openers.end(), left_open.begin(), left_open.end());
    drop_views_locked(*client);
    while (!client->opens.empty()) {
      const auto segment = segments_.find(client->opens.begin()->first);
      HIVE_CHECK(segment != segments_.end());
      drop_open_locked(*client, segment->second, out);
    }
  }
  // First of all nobody may read any more what the dead left half done: not those either who are
  // told next that a mutex broke. Then what others wait for; putting content back may take long.
  take_torn_back(lock, tear);
  // One that has detached has stored what it meant to, and stores nothing more.
  const bool is_sound = why == Leave::detached && close_openers(lock, openers);
  if (!is_sound && !parts_.sabotage.discard) lose_openers(lock, openers);
  if (why == Leave::cell_down && tear.pages > 0) {
    machine::fault_point(machine::FaultPoint::recovery_discard);
  }
  // One that detaches lives on, and so may one whose connection ended by mistake, or that could
  // not be killed with its cell: it must not store to the pages any more. Of a dead one Linux says
  // so at once.
  close_lock_pages(lock, locks);
  settle_locks(lock, locks);
  put_torn_right(lock, tear);
  lock.unlock();
  out.deliver();
  std::uint64_t restored = 0;
  for (const Restore& what : tear.restores) restored += what.pages.count;
  if (tear.pages != restored) {
    lines.push_back(fmt::format("cell {}: {} pages are torn", parts_.self, tear.pages - restored));
  }
  if (restored != 0) {
    lines.push_back(fmt::format("cell {}: {} pages are put back to their last committed content",
                                parts_.self, restored));
  }
  for (const std::string& line : lines) log(line);
  return loss;
}

}  // namespace hive::cell

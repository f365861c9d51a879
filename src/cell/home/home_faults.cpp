// Pages given for reading, and stores that were stopped.

#include <algorithm>

#include <fmt/format.h>

#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using home::WindowState;
using machine::page_bytes;

namespace {

constexpr int blocked_logged_per_second_max = 16;

}  // namespace

Result<void> Home::fault(ClientId id, std::uint64_t address, bool is_store,
                         std::uint64_t instruction) {
  Lock lock(mutex_);
  const bool here = parts_.layout.in_user(parts_.self, address);
  const auto page = here ? static_cast<std::uint32_t>(
                               (address - parts_.layout.user_begin(parts_.self)) / page_bytes)
                         : 0;
  const std::uint32_t block = page / fault_around_pages * fault_around_pages;
  const PageRange around{block, std::min(fault_around_pages, parts_.layout.user_pages() - block)};
  if (here && !wait_for_calls_of(lock, id, around)) {
    return fail(Code::busy, cause::pages_in_use, parts_.self);
  }
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  if (SharedLock* const known = here ? locks_.at_page(page) : nullptr;
      known != nullptr && known->openers.contains(id)) {
    return reopen(lock, *client, page);
  }
  const Segment* segment = here ? segment_at_locked(page) : nullptr;
  const bool is_open = segment != nullptr && (*client)->opens.contains(segment->id);
  if (!is_open) {
    const char* why = segment == nullptr ? cause::no_segment_here : cause::segment_not_open;
    if (is_store) note_blocked(lock, **client, segment, address, instruction);
    return fail(Code::not_found, why, parts_.self);
  }
  if (torn_.test(page)) {
    return fail(torn_error_locked({page, segment->pages.end() - page}));
  }
  if (has_open_window_locked(**client, page)) return reopen(lock, *client, page);
  if (is_store) {
    note_blocked(lock, **client, segment, address, instruction);
    return fail(Code::refused, cause::store_without_window, parts_.self);
  }
  const std::uint32_t first = std::max(around.first, segment->pages.first);
  const std::uint32_t end = std::min(around.end(), segment->pages.end());
  return load_fault(lock, *client, {first, end - first}, page);
}

Result<void> Home::load_fault(Lock& lock, const ClientRef& client, PageRange around,
                              std::uint32_t page) {
  // The page is not there, whatever we believe; without this a wrong belief would fault for ever.
  client->space->forget({page, 1});
  const auto given = give_runs(lock, client, around);
  if (!given) return given;
  if (torn_.test(page)) return fail(torn_error_locked({page, 1}));
  return {};
}

Result<void> Home::give_runs(Lock& lock, const ClientRef& client, PageRange range) {
  // A call is entered for each run of pages that have memory, so that calls on torn pages run dry
  // and a reset of them does not wait for those who read beside them.
  const std::vector<PageRange> runs = torn_.runs(range, false);
  std::vector<PageCalls::Ticket> tickets;
  for (const PageRange run : runs) {
    touched_.assign(run, true);
    tickets.push_back(page_calls_.begin(client->id, run));
  }
  lock.unlock();
  Result<void> outcome;
  for (const PageRange run : runs) {
    auto given = client->space->give(run);
    if (!given) {
      outcome = fail(host_error(given.error()));
      break;
    }
  }
  lock.lock();
  for (const auto ticket : tickets) end_call_locked(ticket);
  return outcome;
}

bool Home::has_open_window_locked(const Client& client, std::uint32_t page) const {
  return std::any_of(client.windows.begin(), client.windows.end(), [&](WindowId id) {
    const Window& window = windows_.at(id);
    return window.state == WindowState::open && window.pages.contains(page);
  });
}

// The client has the right to store there, but the page went missing from its tables.
Result<void> Home::reopen(Lock& lock, const ClientRef& client, std::uint32_t page) {
  const auto ticket = page_calls_.begin(client->id, {page, 1});
  lock.unlock();
  client->space->forget({page, 1});
  const auto opened = client->space->open({page, 1});
  lock.lock();
  end_call_locked(ticket);
  if (opened) return {};
  if (opened.error().code == Code::lost) return fail(lost_locked({page, 1}));
  return fail(host_error(opened.error()));
}

void Home::note_blocked(Lock& lock, const Client& client, const Segment* segment,
                        std::uint64_t address, std::uint64_t instruction) {
  const CellId node = parts_.layout.node_of(address);
  const bool in_user = node >= 0 && parts_.layout.in_user(node, address);
  BlockedNote note;
  note.client = &client.info;
  note.time_ns = parts_.now();
  note.instruction = instruction;
  note.address = address;
  note.home = node;
  note.page = in_user ? static_cast<std::uint32_t>((address - parts_.layout.user_begin(node)) /
                                                   page_bytes)
                      : no_page;
  note.segment = segment == nullptr ? 0 : segment->id;
  publisher_.add_blocked(note);
  // A program that stores wildly in a loop must not fill the disk with our log.
  const std::uint64_t second = note.time_ns / ns_per_s;
  if (second != logged_second_) logged_in_second_ = 0;
  logged_second_ = second;
  const bool logged = ++logged_in_second_ <= blocked_logged_per_second_max;
  const std::string where = segment == nullptr ? "no open segment" : "segment " + segment->name;
  lock.unlock();
  if (!logged) return;
  log(fmt::format("cell {}: the firewall blocked a store by task {} ({}) of cell {}, instruction "
                  "{:#x}, to {:#x} (cell {}, {})",
                  parts_.self, client.info.task, client.info.program.data(), client.info.cell,
                  instruction, address, node, where));
}

Result<void> Home::give(ClientId id, SegmentId segment_id, std::uint64_t first,
                        std::uint64_t pages) {
  Lock lock(mutex_);
  const auto place = settled_place(lock, id, segment_id, first, pages);
  if (!place) return fail(place.error());
  const auto given = give_runs(lock, place->client, place->range);
  if (!given) return given;
  if (torn_.any(place->range)) return fail(torn_error_locked(place->range));
  return {};
}

}  // namespace hive::cell

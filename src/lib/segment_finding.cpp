// How a session comes to a segment: by creating it, or by finding its home and opening it there.
#include <algorithm>
#include <chrono>

#include "lib/causes.h"
#include "lib/deadline.h"
#include "lib/segment_impl.h"

namespace hive::lib {
namespace {

using machine::page_bytes;
using proto::GateOp;

constexpr std::size_t segment_name_max = 63;
constexpr std::uint64_t find_pause_min_ns = 500 * ns_per_us;
constexpr std::uint64_t find_pause_max_ns = 20 * ns_per_ms;

Result<void> check_name(std::string_view name) {
  const auto fits = [](char c) { return c >= 0x20 && c <= 0x7e && c != '/'; };
  if (!name.empty() && name.size() <= segment_name_max && std::ranges::all_of(name, fits))
    return {};
  return fail(Code::bad_argument, "a name has 1 to 63 printable characters and no '/'");
}

// What a home says about a segment is input.
Result<SegmentPlace> place_of(const GateValues& values, const SessionImpl& session, CellId home) {
  const std::uint64_t limit = session.membership().layout.user_pages();
  const std::uint64_t first = values[1];
  const std::uint64_t pages = values[2];
  if (pages == 0 || pages > limit || first > limit - pages) {
    return fail(Code::corrupt, cause_bad_reply, home);
  }
  SegmentPlace place;
  const machine::Layout& layout = session.membership().layout;
  if (!layout.in_kernel(home, values[3]) || values[3] % sizeof(std::uint32_t) != 0) {
    return fail(Code::corrupt, cause_bad_reply, home);
  }
  place.id = values[0];
  place.losses = reinterpret_cast<const std::uint32_t*>(values[3]);
  place.pages = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(pages)};
  return place;
}

Result<std::shared_ptr<SegmentImpl>> at_home(const std::shared_ptr<SessionImpl>& session,
                                             CellId home, const GateCall& call) {
  auto peer = session->attached_to(home);
  if (!peer) return fail(peer.error());
  auto values = session->call(**peer, call);
  if (!values) return fail(values.error());
  auto place = place_of(*values, *session, home);
  if (!place) return fail(place.error());
  return std::make_shared<SegmentImpl>(session, *peer, std::string(call.name), *place);
}

Result<std::shared_ptr<SegmentImpl>> open_once(const std::shared_ptr<SessionImpl>& session,
                                               std::string_view name) {
  const Membership& membership = session->membership();
  auto own = session->attached_to(membership.cell);
  if (!own) return fail(own.error());
  auto found = session->call(**own, {.op = GateOp::segment_find, .name = name});
  if (!found && found.error().code == Code::busy) {
    return fail(Code::busy, "segments come and go too fast to be searched", membership.cell);
  }
  if (!found) return fail(found.error());
  const std::uint64_t home = (*found)[0];
  if (home >= membership.layout.cells)
    return fail(Code::corrupt, cause_bad_reply, membership.cell);
  return at_home(session, static_cast<CellId>(home), {.op = GateOp::segment_open, .name = name});
}

// Whether the name may come up where it does not lead to a segment now.
bool may_come_up(const Error& error, CellId own_cell) {
  // A name leads to a cell that has failed until its death is agreed on; and the segment may be
  // made anew elsewhere.
  const bool home_failed = error.code == Code::cell_down && error.cell != own_cell;
  // `busy`: its home is just making it.
  return home_failed || error.code == Code::not_found || error.code == Code::busy;
}

}  // namespace

Result<std::shared_ptr<SegmentImpl>> create_segment(const std::shared_ptr<SessionImpl>& session,
                                                    std::string_view name, std::uint64_t bytes,
                                                    CellId home, std::uint64_t flags) {
  if (auto usable = session->check(); !usable) return fail(usable.error());
  if (auto good = check_name(name); !good) return fail(good.error());
  const Membership& membership = session->membership();
  const CellId at = home == -1 ? membership.cell : home;
  if (bytes == 0 || bytes > membership.layout.user_bytes) {
    return fail(Code::bad_argument, "a size must be more than zero and fit into the node", at);
  }
  const std::uint64_t whole = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  auto made = at_home(session, at,
                      {.op = GateOp::segment_create,
                       .args = {whole, flags},
                       .name = name});
  if (made && (*made)->bytes() < bytes) return fail(Code::corrupt, cause_bad_reply, at);
  return made;
}

Result<std::shared_ptr<SegmentImpl>> open_segment(const std::shared_ptr<SessionImpl>& session,
                                                  std::string_view name,
                                                  std::chrono::nanoseconds wait) {
  if (auto usable = session->check(); !usable) return fail(usable.error());
  if (auto good = check_name(name); !good) return fail(good.error());
  const std::uint64_t deadline_ns = deadline_in(wait);
  std::uint64_t pause_ns = find_pause_min_ns;
  while (true) {
    auto opened = open_once(session, name);
    if (opened || wait.count() <= 0) return opened;
    if (!may_come_up(opened.error(), session->membership().cell)) return opened;
    const std::uint64_t now = now_ns();
    if (now >= deadline_ns)
      return fail(Code::timed_out, "no segment of this name came up in time");
    session->pause(std::min(pause_ns, deadline_ns - now));
    pause_ns = std::min(pause_ns * 3 / 2, find_pause_max_ns);
  }
}

}  // namespace hive::lib

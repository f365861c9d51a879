#include "cell/control/names.h"

#include <algorithm>
#include <cstring>

#include <unistd.h>

#include "base/time.h"
#include "cell/boot/opcodes.h"

namespace hive::cell {
namespace {

// A cell that is dead answers at once that it is; one that only waits for a processor, beside many
// busy tasks, has taken more than half a second.
constexpr std::uint64_t ask_timeout_ns = 2 * ns_per_s;
// A table that changes under the reader is read again; first at once, then after a rest, since its
// owner may have lost its processor in the middle of a change.
constexpr int find_tries_max = 100;
constexpr int find_tries_at_once = 10;
constexpr useconds_t find_rest_us = 200;

NameBody body_of(std::string_view name) {
  NameBody body;
  std::memcpy(body.name.data(), name.data(), std::min(name.size(), body.name.size() - 1));
  return body;
}

std::string name_of(const NameBody& body) {
  return {body.name.data(), ::strnlen(body.name.data(), body.name.size())};
}

}  // namespace

void Names::serve() {
  rpc_.serve(op_name_reserve, RpcLevel::queued,
             [this](const RpcRequest& request, RpcReply&) -> Result<void> {
               NameBody body;
               if (!request.get(body))
                 return fail(Code::bad_argument, "the request makes no sense");
               return local_.reserve(name_of(body), request.from, now_ns());
             });
  rpc_.serve(op_name_release, RpcLevel::queued,
             [this](const RpcRequest& request, RpcReply&) -> Result<void> {
               NameBody body;
               if (!request.get(body))
                 return fail(Code::bad_argument, "the request makes no sense");
               local_.release(name_of(body), request.from);
               return {};
             });
}

Result<CellId> Names::find(std::string_view name) {
  const CellSet live = membership_.live();
  bool unclear = false;
  for (CellId cell = 0; cell < max_cells; ++cell) {
    if (!live.has(cell)) continue;
    bool changing = true;
    for (int tries = 0; changing && tries < find_tries_max; ++tries) {
      if (tries >= find_tries_at_once) ::usleep(find_rest_us);
      auto found = survey_.find_segment(cell, name);
      if (found) return cell;
      changing = found.error().code == Code::busy;
    }
    unclear = unclear || changing;
  }
  // Never "there is none" of something that was merely not seen.
  if (unclear) return fail(Code::busy, "the segments of a cell change too fast to be searched");
  return fail(Code::not_found, "there is no segment of this name");
}

Result<void> Names::reserve(std::string_view name) {
  if (auto begun = local_.begin(name, now_ns()); !begun) return begun;
  const CellSet live = membership_.live();
  const NameBody body = body_of(name);
  const auto bytes = std::as_bytes(std::span(&body, 1));
  for (CellId cell = 0; cell < max_cells; ++cell) {
    if (cell == self_ || !live.has(cell)) continue;
    auto granted = rpc_.call(cell, op_name_reserve, bytes, ask_timeout_ns);
    // A cell that dies meanwhile has no say; one that does not answer has.
    if (granted || granted.error().code == Code::cell_down) continue;
    finish(name);
    return fail(granted.error());
  }
  if (auto confirmed = local_.confirm(name); !confirmed) {
    finish(name);
    return confirmed;
  }
  return {};
}

void Names::finish(std::string_view name) {
  local_.finish(name);
  const CellSet live = membership_.live();
  const NameBody body = body_of(name);
  for (CellId cell = 0; cell < max_cells; ++cell) {
    if (cell == self_ || !live.has(cell)) continue;
    // One that gets lost costs a wait: the reservation ends by itself after reservation_life_ns.
    (void)rpc_.send_one_way(cell, op_name_release, std::as_bytes(std::span(&body, 1)));
  }
}

}  // namespace hive::cell

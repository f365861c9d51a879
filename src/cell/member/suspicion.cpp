// How the detector finds out about others: it inspects each in turn, and probes the suspected.
#include <optional>

#include "base/time.h"
#include "cell/member/membership.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t inspection_ns = 250 * ns_per_ms;

}  // namespace

// Corrupt data is a sign whether or not somebody needs it just now. One cell at a time, in turn.
void Membership::inspect_next(std::uint64_t now) {
  if (now < next_inspection_ns_) return;
  next_inspection_ns_ = now + inspection_ns;
  const CellId cells = static_cast<CellId>(parts_.layout.cells);
  for (CellId step = 0; step < cells; ++step) {
    inspected_ = (inspected_ + 1) % cells;
    if (inspected_ == parts_.self || !is_live(core_.view()[inspected_])) continue;
    if (!is_sound(inspected_)) {
      note_sign(inspected_, "its kernel data is corrupt", now);
      core_.on_hint(inspected_, Hint::corrupt, now);
    }
    return;
  }
}

bool Membership::is_sound(CellId cell) const {
  const auto seen = parts_.inspect(cell, incarnation_of(core_.view()[cell]));
  return seen || seen.error().code == Code::busy;
}

void Membership::run_probes(std::uint64_t now) {
  for (auto at = probes_.begin(); at != probes_.end();) {
    const CellId cell = at->first;
    const std::uint64_t incarnation = at->second.incarnation;
    const bool is_dead = core_.view()[cell] != live_life(incarnation);
    const auto found = is_dead ? std::nullopt : finding_of(cell, at->second.probe, now);
    if (!is_dead && !found) {
      ++at;
      continue;
    }
    at = probes_.erase(at);
    if (is_dead) continue;
    core_.on_probe(cell, incarnation, *found, now);
    if (*found != Found::guilty && !core_.has_open_ballot()) losing_.erase(cell);
  }
  obey_orders();
}

// Nothing while the probe is open.
std::optional<Found> Membership::finding_of(CellId cell, Probe& probe, std::uint64_t now) const {
  const Probe::Verdict verdict = probe.look();
  if (verdict == Probe::Verdict::open) return std::nullopt;
  if (verdict == Probe::Verdict::guilty || !is_sound(cell)) return Found::guilty;
  if (!core_.late_at_barrier(now).has(cell)) return Found::sound;
  const std::optional<bool> starved = probe.is_starved();
  if (!starved) return std::nullopt;
  return *starved ? Found::starved : Found::sound;
}

}  // namespace hive::cell

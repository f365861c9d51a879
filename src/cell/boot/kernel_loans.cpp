// Frames that cells lend each other: what the kernel puts together for it.

#include "cell/boot/kernel.h"
#include "cell/control/cell_roots.h"

namespace hive::cell {
namespace {

// What was lent comes back when tasks of this cell need memory.
class LentFramesBack final : public FrameSupply {
 public:
  explicit LentFramesBack(Home& home) : home_(home) {}
  bool make_room(std::uint32_t) override {
    return home_.frames_in(FrameState::lent) > 0 && home_.recall_lent();
  }

 private:
  Home& home_;
};

}  // namespace

void Kernel::make_loans() {
  supply_ = std::make_unique<LentFramesBack>(*home_);
  home_->use_supply(supply_.get());
  lenders_.emplace(RpcLenders::Parts{
      .layout = config_.layout, .rpc = *rpc_, .offers = [this] { return lender_offers(); },
      .map_for_stores = [this](CellId lender, machine::PageRange run,
                               bool on) { return map_for_stores(lender, run, on); }});
  borrowed_.emplace(BorrowedFrames::Parts{
      .self = config_.self, .own = home_.get(), .lenders = &*lenders_,
      .node_frames = config_.layout.user_pages(),
      .slots = borrowed_frames_max(config_.layout.user_pages()),
      .recall_lent = [this] { return supply_->make_room(1); },
      .make_room = [this] { return away_->make_room(); }});
  away_.emplace(*home_, *borrowed_);
  lender_service_.emplace(LenderService::Parts{
      .lender = *home_,
      .rpc = *rpc_,
      .incarnation_of = [this](CellId cell) -> std::optional<std::uint64_t> {
        const std::uint64_t incarnation = peers_.attached_incarnation(cell);
        if (incarnation == 0 || !membership_->live().has(cell)) return std::nullopt;
        return incarnation;
      },
      .lends =
          [this] {
            return header_->state.load() == static_cast<std::uint32_t>(CellState::up);
          },
      .on_recall = [this](CellId lender,
                          machine::PageRange range) { borrowed_->on_recall(lender, range); }});
  home_->use_recall([this](CellId borrower, machine::PageRange range) {
    lender_service_->recall(borrower, range);
  });
}

// What live cells publish of their free frames, read with care. Whoever can't be read is passed
// over.
std::vector<LenderOffer> Kernel::lender_offers() {
  std::vector<LenderOffer> offers;
  // Without the firewall nobody would notice that a frame was taken back.
  if (config_.firewall == machine::FirewallMode::cooperative) return offers;
  for (CellSet cells = membership_->live(); !cells.empty(); cells.remove(cells.lowest())) {
    const CellId cell = cells.lowest();
    if (cell == config_.self) continue;
    const std::uint64_t incarnation = peers_.attached_incarnation(cell);
    const CarefulReader reader(config_.layout, cell);
    const auto roots = read_roots(reader, config_.layout);
    if (!roots || roots->header->incarnation != incarnation) continue;
    const auto frames = reader.read<PfdatTable>(roots->home->pfdats);
    if (!frames || (*frames)->pages != config_.layout.user_pages()) continue;
    const std::uint64_t free =
        (*frames)->counts[static_cast<std::size_t>(FrameState::free)].load();
    if (free > (*frames)->pages) continue;
    offers.push_back({cell, incarnation, static_cast<std::uint32_t>(free)});
  }
  return offers;
}

bool Kernel::map_for_stores(CellId lender, machine::PageRange run, bool on) {
  Result<void> done = fail(Code::cell_down, "the lender is not attached", lender);
  peers_.with(lender, [&](const Peer& peer) {
    if (!peer.fence) return;
    // The mapping alone: the lender itself opens and closes its pages.
    const bool may_stay = config_.firewall == machine::FirewallMode::mmu;
    if (may_stay) {
      done = {};
    } else {
      done = on ? peer.fence->begin_stores(run) : peer.fence->end_stores(run);
    }
  });
  return done.has_value();
}

}  // namespace hive::cell

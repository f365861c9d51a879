#include "cells/tiles.h"

#include <cstring>
#include <thread>
#include <utility>

namespace raytrace {
namespace {

using SteadyClock = std::chrono::steady_clock;

// What a later try may do better: the home is busy with a recovery, or the pages still belong to a
// window of somebody who is dying.
bool may_pass(hive::Code code) {
  return code == hive::Code::busy || code == hive::Code::timed_out || code == hive::Code::lost;
}

// One try to store a tile. It is small: the home stores it, which costs half of what a window
// does.
hive::Result<void> store(hive::Segment& image, std::uint64_t offset, const TileBuffer& pixels) {
  return image.put(offset, std::as_bytes(std::span(pixels)));
}

}  // namespace

Step<HiveSource> HiveSource::open(Crew& crew, std::uint32_t tiles, Progress* progress) {
  auto queue = hive::WorkQueue::open(crew.control(), "tiles", tiles);
  if (!queue) return crew.stop(queue.error(), "cannot open the queue of tiles");
  auto rays = hive::Counter::open(crew.control(), "rays");
  if (!rays) return crew.stop(rays.error(), "cannot open the count of rays");
  return HiveSource(crew, tiles, std::move(*queue), std::move(*rays), progress);
}

std::nullopt_t HiveSource::end(Ended ended) {
  ended_ = std::move(ended);
  return std::nullopt;
}

hive::Result<std::uint64_t> HiveSource::next() {
  if (finished_) {
    auto tile = queue_.done_then_take(*finished_, take_wait);
    // What timed out may have been the way there or the wait for a tile: the next try tells, since
    // what was handed in is refused then. Refused otherwise, it was taken from us as from one who
    // is dead, and whoever has it now will store the same pixels.
    if (!tile && tile.error().code == hive::Code::timed_out) return tile;
    finished_.reset();
    if (tile || tile.error().code != hive::Code::bad_argument) return tile;
  }
  return queue_.take(take_wait);
}

std::optional<std::uint32_t> HiveSource::take() {
  auto deadline = SteadyClock::now() + stall_max;
  std::uint64_t done_before = 0;
  for (;;) {
    if (auto news = crew_->check(); !news) return end(news.error());
    const auto tile = next();
    if (tile && *tile == hive::WorkQueue::empty) return std::nullopt;
    if (tile && *tile < tiles_) return static_cast<std::uint32_t>(*tile);
    if (tile) return end({exit_lost, "the queue has handed out a tile that does not exist"});
    if (tile.error().code != hive::Code::timed_out) {
      return end(crew_->stop(tile.error(), "cannot take a tile").value());
    }
    // Others are at work on the last tiles. That is fine for as long as they get on.
    const auto now = progress();
    if (!now) return end(now.error());
    if (now->done != done_before) {
      done_before = now->done;
      deadline = SteadyClock::now() + stall_max;
    }
    if (SteadyClock::now() > deadline) {
      return end(crew_->stop(tile.error(), "no tile is finished any more").value());
    }
  }
}

bool HiveSource::done(std::uint32_t tile, std::uint64_t rays) {
  finished_ = tile;
  rays_done_ += rays;
  if (progress_ != nullptr && progress_->due()) {
    if (const auto now = queue_.progress()) progress_->show(now->done);
  }
  return true;
}

Step<hive::WorkQueue::Progress> HiveSource::progress() const {
  const auto now = queue_.progress();
  if (!now) return crew_->stop(now.error(), "cannot ask how many tiles are done");
  return *now;
}

Step<void> HiveSource::report_rays() {
  auto counted = rays_.add(std::exchange(rays_done_, 0));
  if (!counted && counted.error().code != hive::Code::timed_out) {
    return crew_->stop(counted.error(), "cannot count rays");
  }
  return {};
}

Step<std::uint64_t> HiveSource::rays() const {
  const auto value = rays_.get();
  if (!value) return crew_->stop(value.error(), "cannot ask how many rays were cast");
  return *value;
}

bool HiveSink::put(std::uint32_t tile, const TileBuffer& pixels) {
  const std::uint64_t offset = grid_.tile_offset(tile);
  const auto deadline = SteadyClock::now() + window_wait;
  for (;;) {
    const auto stored = store(*image_, offset, pixels);
    if (stored) return true;
    const hive::Code code = stored.error().code;
    if (!may_pass(code) || SteadyClock::now() > deadline) {
      ended_ = crew_->stop(stored.error(), "cannot store a tile").value();
      return false;
    }
    if (code == hive::Code::lost) {
      const auto mended = image_->reset(offset, pixels.size());
      if (!mended && !may_pass(mended.error().code)) {
        ended_ = crew_->stop(mended.error(), "cannot reset a torn tile").value();
        return false;
      }
      if (mended) continue;
    }
    std::this_thread::sleep_for(poll_wait);
  }
}

}  // namespace raytrace

#include "campaign/load/home.h"

namespace hive::campaign {
namespace {

constexpr auto open_wait = std::chrono::seconds(10);

Result<Segment> open_segment(Session& session, const Plan& plan, int kind, int home,
                             std::uint64_t incarnation, bool make) {
  const std::string name = segment_name(kind, home, incarnation);
  if (make) {
    SegmentOptions options;
    options.home = home;
    options.keep = true;  // it outlives a worker that is killed without its cell
    if (kind == static_cast<int>(SegmentKind::undo)) options.on_loss = OnLoss::rollback;
    auto made = session.create(name, plan.segment_pages(kind) * page_size, options);
    if (made || made.error().code != Code::exists) return made;
  }
  return session.open(name, open_wait);
}

}  // namespace

Result<void> open_home(Session& session, const Plan& plan, Home& home, std::uint64_t incarnation,
                       bool make, bool shared) {
  home.counter.reset();
  home.mutex.reset();
  home.queue.reset();
  home.value.reset();
  home.ring.reset();
  home.usable = false;
  home.incarnation = 0;
  for (int kind = 0; kind < segment_kinds; ++kind) {
    auto& place = home.segments[static_cast<std::size_t>(kind)];
    place.reset();
    auto opened = open_segment(session, plan, kind, home.cell, incarnation, make);
    if (!opened) return fail(opened.error());
    place.emplace(std::move(*opened));
  }
  if (shared) {
    auto counter = Counter::open(home.sync(), "count");
    if (!counter) return fail(counter.error());
    auto mutex = Mutex::open(home.sync(), "mutex");
    if (!mutex) return fail(mutex.error());
    auto queue = WorkQueue::open(home.sync(), "queue", Plan::queue_items);
    if (!queue) return fail(queue.error());
    home.counter.emplace(*counter);
    home.mutex.emplace(*mutex);
    home.queue.emplace(*queue);
  }
  home.incarnation = incarnation;
  home.usable = true;
  return {};
}

void open_streams(Home& home) {
  home.value.reset();
  home.ring.reset();
  auto value = Versioned<StreamRecord>::Reader::open(home.sync(), Plan::value_page * page_size);
  if (value) home.value.emplace(std::move(*value));
  auto ring = RingReader<StreamRecord>::open(home.sync(), Plan::ring_page * page_size);
  if (ring) home.ring.emplace(std::move(*ring));
}

}  // namespace hive::campaign

// What the workers share: counters, a mutex and what it guards, queues, streams.

#include "campaign/load/worker.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

struct Pair {  // equal whenever nobody holds the mutex
  std::uint64_t left = 0;
  std::uint64_t right = 0;
};

constexpr std::uint64_t pair_offset = Plan::guarded_page * page_size;
constexpr auto patience = std::chrono::seconds(20);
constexpr std::size_t batch = 64;

}  // namespace

void Worker::add_one(Home& home) {
  log().note("{} {} {}", event::adding, home.cell, home.incarnation);
  auto before = home.counter->add(1);
  if (!before) return note_error("count", home, before.error());
  log().note("{} {} {}", event::added, home.cell, home.incarnation);
}

void Worker::lock_and_change(Home& home) {
  log().note("{} {} {}", event::locking, home.cell, home.incarnation);
  if (auto held = home.mutex->lock(patience); !held) {
    if (held.error().code != Code::lost) return note_error("mutex", home, held.error());
    log().note("{} {} {}", event::broken, home.cell, home.incarnation);
    return mend(home);
  }
  log().note("{} {} {}", event::locked, home.cell, home.incarnation);
  // What is half done is not given to the next: the mutex is broken when this task ends.
  if (!change_pair(home)) return;
  log().note("{} {} {}", event::unlocking, home.cell, home.incarnation);
  if (auto done = home.mutex->unlock(); !done) return note_error("unlock", home, done.error());
  log().note("{} {} {}", event::unlocked, home.cell, home.incarnation);
}

// Whoever finds it broken mends what it guards, then makes it free. Two may do so at once: both
// store the same.
void Worker::mend(Home& home) {
  auto pair = home.sync().read_as<Pair>(pair_offset);
  if (!pair) return note_error("read_pair", home, pair.error());
  pair->right = pair->left;
  if (auto done = home.sync().put_as(pair_offset, *pair); !done) {
    return note_error("put_pair", home, done.error());
  }
  log().note("{} {} {}", event::mended, home.cell, home.incarnation);
  auto done = home.mutex->reset();
  if (!done && done.error().code != Code::busy) note_error("mend", home, done.error());
}

bool Worker::change_pair(Home& home) {
  auto pair = home.sync().read_as<Pair>(pair_offset);
  if (!pair) {
    note_error("read_pair", home, pair.error());
    return false;
  }
  if (pair->left != pair->right) {
    log().note("{} {} {} {} {}", event::guarded, home.cell, home.incarnation, pair->left,
               pair->right);
    pair->right = pair->left;
  }
  for (std::uint64_t* word : {&pair->left, &pair->right}) {
    ++*word;
    if (auto done = home.sync().put_as(pair_offset, *pair); !done) {
      note_error("put_pair", home, done.error());
      return false;
    }
  }
  return true;
}

void Worker::take_item(Home& home) {
  log().note("{} {} {}", event::taking, home.cell, home.incarnation);
  auto item = home.queue->take(patience);
  if (!item) return note_error("queue", home, item.error());
  log().note("{} {} {} {}", event::took, home.cell, home.incarnation, *item);
  if (auto done = home.queue->done(*item); !done) return note_error("done", home, done.error());
  log().note("{} {} {} {}", event::retired, home.cell, home.incarnation, *item);
}

// After a death of this worker alone its pages are torn.
void Worker::start_streams() {
  Home& own = homes_[static_cast<std::size_t>(self().cell)];
  constexpr std::uint64_t begin = Plan::value_page * page_size;
  const std::uint64_t pages = plan().segment_pages(static_cast<int>(SegmentKind::sync));
  if (auto done = own.sync().reset(begin, pages * page_size - begin); !done) {
    return note_error("reset_streams", own, done.error(), self().cell);
  }
  auto value = Versioned<StreamRecord>::Writer::create(own.sync(), begin);
  if (!value) return note_error("make_value", own, value.error(), self().cell);
  value_.emplace(std::move(*value));
  auto ring = RingWriter<StreamRecord>::create(own.sync(), Plan::ring_page * page_size,
                                               Plan::ring_records);
  if (!ring) return note_error("make_ring", own, ring.error(), self().cell);
  ring_.emplace(std::move(*ring));
}

void Worker::publish() {
  Home& own = homes_[static_cast<std::size_t>(self().cell)];
  if (!value_ || !ring_) return;
  const StreamRecord record = make_record(plan().seed, self().cell, ++published_);
  log().note("{} {}", event::publishing, published_);
  if (auto done = value_->publish(record); !done) {
    note_error("publish_value", own, done.error(), self().cell);
  }
  if (auto done = ring_->publish(record, Notify::yes); !done) {
    note_error("publish_ring", own, done.error(), self().cell);
  }
}

void Worker::follow(Home& home) {
  const auto note = [&](const char* what) {
    log().note("{} {} {} {}", event::stream, home.cell, home.incarnation, what);
  };
  if (home.value) {
    auto reading = home.value->read();
    if (!reading) {
      if (reading.error().code != Code::not_found) {
        note_error("value", home, reading.error(), home.cell);
      }
      home.value.reset();
    } else if (!is_whole(reading->value, plan().seed, home.cell)) {
      note("half");
    }
  }
  if (!home.ring) return;
  std::array<StreamRecord, batch> records;
  auto got = home.ring->read(records);
  if (!got) {
    if (got.error().code == Code::busy) return;
    note_error("ring", home, got.error(), home.cell);
    home.ring.reset();
    return;
  }
  for (std::size_t i = 0; i < got->count; ++i) {
    if (!is_whole(records[i], plan().seed, home.cell)) note("half");
    if (i > 0 && records[i].number != records[i - 1].number + 1) note("gap");
  }
}

void Worker::audit_sync(std::uint64_t fault, Home& home) {
  if (!home.counter || !home.queue) return;
  const auto told = [&](const char* what, const auto& result, const auto& text) {
    if (result) {
      log().note("{} {} {} {} {}", what, fault, home.cell, home.incarnation, text(*result));
    } else {
      log().note("{} {} {} {} !{}", what, fault, home.cell, home.incarnation,
                 code_name(result.error().code));
    }
  };
  told(event::count, home.counter->get(), [](std::uint64_t count) { return count; });
  told(event::queue, home.queue->progress(), [](const WorkQueue::Progress& progress) {
    return fmt::format("{} {}", progress.done, progress.leased);
  });
  if (!home.value) return;
  told(event::value, home.value->read(), [](const auto& reading) { return reading.value.number; });
}

}  // namespace hive::campaign

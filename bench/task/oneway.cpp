#include "oneway.h"

#include <chrono>
#include <string>
#include <thread>

#include <sched.h>

#include "timing.h"

namespace bench {
namespace {

using Writer = hive::RingWriter<Record>;
using Reader = hive::RingReader<Record>;

constexpr std::uint64_t capacity = 1024;
constexpr std::uint64_t stop_word = ~std::uint64_t{0};
constexpr std::chrono::seconds partner_timeout{20};

void run_on(int processor) {
  if (processor < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(processor), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

Reader open_reader(const hive::Segment& segment) {
  const auto deadline = std::chrono::steady_clock::now() + partner_timeout;
  for (;;) {
    auto reader = Reader::open(segment, 0, hive::RingStart::oldest);
    if (reader) return std::move(*reader);
    // The segment is there before the ring in it is.
    const bool too_early = reader.error().code == hive::Code::not_found;
    if (!too_early || std::chrono::steady_clock::now() > deadline) stop("open", reader.error());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

struct Sides {
  Writer writer;
  Reader reader;
  bool asleep;

  void send(const Record& record) {
    must("publish", writer.publish(record, asleep ? hive::Notify::yes : hive::Notify::no));
  }
  Record receive() {
    Record record;
    for (;;) {
      const auto batch = must("read", reader.read({&record, 1}));
      if (batch.count == 1) return record;
      if (asleep) {
        must("wait", reader.wait(partner_timeout));
      } else {
        __builtin_ia32_pause();
      }
    }
  }
};

}  // namespace

int oneway(bool asleep, int count, std::array<int, 2> processors) {
  hive::Session session = must("attach", hive::attach());
  if (session.span_count() != 2) return 2;
  const int me = session.span_index();
  const auto name_of = [&](int index) {
    return "oneway-" + session.span_id() + "-" + std::to_string(index);
  };
  hive::Segment mine = must("create", session.create(name_of(me), Writer::bytes(capacity)));
  Writer writer = must("create a ring", Writer::create(mine, 0, capacity));
  const hive::Segment theirs = must("open", session.open(name_of(1 - me), partner_timeout));
  Sides sides{std::move(writer), open_reader(theirs), asleep};
  run_on(processors[static_cast<std::size_t>(me)]);
  if (me == 1) {
    for (;;) {
      const Record record = sides.receive();
      sides.send(record);
      if (record.words[0] != stop_word) continue;
      must("commit", sides.writer.commit());  // else the end of this task tears the last record
      return 0;
    }
  }
  Record record;
  const double ns = median_batch_ns(count, [&] {
    ++record.words[0];
    sides.send(record);
    record = sides.receive();
  });
  record.words[0] = stop_word;
  sides.send(record);
  (void)sides.receive();
  must("commit", sides.writer.commit());
  std::printf("%.3f\n", ns / 2);
  return 0;
}

}  // namespace bench

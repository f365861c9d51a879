// Hive: records under a mutex, in windows that are torn or rolled back, and a ring.
// Kinds: records, rollback, stream.
#include <hive/hive.h>

#include <memory>
#include <utility>

#include "worker.h"

namespace {

using chaos::Job;
using chaos::Record;
using hive::Code;

constexpr std::uint64_t ring_length = 64;
// Each record in a page of its own: what a death takes is a page.
constexpr std::uint64_t offset_of(std::size_t record) { return record * hive::page_size; }

[[noreturn]] void give_up(const char* what, const hive::Error& error) {
  std::fprintf(stderr, "chaos-hive: %s: %s\n", what, error.message().c_str());
  std::exit(1);
}

struct Kept {
  hive::Session session;
  hive::Segment segment;
};

std::shared_ptr<Kept> keep(const Job& job) {
  auto session = hive::attach();
  if (!session) give_up("attach", session.error());
  const std::uint64_t bytes = job.kind == "stream" ? hive::RingWriter<Record>::bytes(ring_length)
                                                   : chaos::records * hive::page_size;
  hive::SegmentOptions options;
  if (job.kind == "rollback") options.on_loss = hive::OnLoss::rollback;
  auto segment = session->create(job.name, bytes, options);
  if (!segment) give_up("create", segment.error());
  return std::make_shared<Kept>(Kept{std::move(*session), std::move(*segment)});
}

hive::Mutex open_mutex(const hive::Segment& segment, const char* name) {
  auto mutex = hive::Mutex::open(segment, name);
  if (!mutex) give_up("mutex", mutex.error());
  return std::move(*mutex);
}

class Updater {
 public:
  Updater(Job& job, hive::Segment& segment)
      : job_(job),
        segment_(segment),
        mutex_(open_mutex(segment, "records")),
        mending_(open_mutex(segment, "mending")) {}

  void step() {
    if (!lock()) return;
    const std::uint64_t offset = offset_of(job_.pick());
    // Only whoever holds the mutex stores here, so what is read now stays.
    const auto record = segment_.read_as<Record>(offset);
    if (record && !chaos::is_whole(*record)) job_.self().torn.fetch_add(1);
    auto window = segment_.write(offset, sizeof(Record));
    if (!window && window.error().code == Code::lost) {
      job_.self().told.fetch_add(1);
      if (segment_.reset(offset, sizeof(Record))) window = segment_.write(offset, sizeof(Record));
    }
    if (window) {
      chaos::store(window->at<std::uint64_t>(0), chaos::record_of(job_.version()));
      if (window->commit()) job_.self().steps.fetch_add(1);
    }
    (void)mutex_.unlock();
  }

 private:
  // What the dead had half done is lost or rolled back by now: nothing is left to mend.
  bool lock() {
    for (;;) {  // ends when it is held, or with our patience
      const auto held = mutex_.lock(chaos::patience);
      if (held) return true;
      if (held.error().code != Code::lost) {
        job_.self().stuck.fetch_add(1);
        return false;
      }
      job_.self().told.fetch_add(1);
      const auto alone = mending_.lock(chaos::patience);
      if (!alone) {
        if (alone.error().code == Code::lost) (void)mending_.reset();
        continue;
      }
      if (mutex_.is_broken()) (void)mutex_.reset();
      (void)mending_.unlock();
    }
  }

  Job& job_;
  hive::Segment& segment_;
  hive::Mutex mutex_;
  hive::Mutex mending_;
};

void write_ring(Job& job, hive::Segment& segment) {
  auto writer = hive::RingWriter<Record>::create(segment, 0, ring_length);
  if (!writer) give_up("ring", writer.error());
  job.ready();
  while (!job.stopped()) {
    if (!writer->publish(chaos::record_of(job.version()), hive::Notify::yes)) return;
    job.self().steps.fetch_add(1);
    std::this_thread::yield();
  }
}

void read_ring(Job& job, hive::Segment& segment) {
  // It may not be made yet.
  auto reader = hive::RingReader<Record>::open(segment, 0);
  while (!reader && reader.error().code == Code::not_found && !job.stopped()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    reader = hive::RingReader<Record>::open(segment, 0);
  }
  if (!reader) return;
  job.ready();
  std::array<Record, ring_length> out;
  while (!job.stopped()) {
    if (auto waited = reader->wait(chaos::patience); !waited) {
      auto& count = waited.error().code == Code::lost ? job.self().told : job.self().stuck;
      count.fetch_add(1);
      if (waited.error().code == Code::lost) return chaos::stay(job);
      continue;
    }
    auto batch = reader->read(out);
    for (std::size_t i = 0; batch && i < batch->count; ++i) {
      if (!chaos::is_whole(out[i])) job.self().torn.fetch_add(1);
      job.self().steps.fetch_add(1);
    }
  }
}

void work(Job& job) {
  auto session = hive::attach();
  if (!session) give_up("attach", session.error());
  auto segment = session->open(job.name);
  if (!segment) give_up("open", segment.error());
  if (job.kind == "stream") {
    return job.slot == 0 ? write_ring(job, *segment) : read_ring(job, *segment);
  }
  Updater updater(job, *segment);
  job.ready();
  while (!job.stopped()) updater.step();
}

}  // namespace

int main(int argc, char** argv) { return chaos::run(argc, argv, keep, work); }

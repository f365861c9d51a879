// Rings and versioned values: each has one writer at a time, whoever gets there first, and
// everybody reads.

#include <array>
#include <memory>

#include "victim.h"

namespace hive::chaos {
namespace {

struct Record {  // follows from its number in the ring, or its version
  std::uint64_t words[13];
};

Record record_of(std::uint64_t number) {
  Record record{};
  fill(record.words, number + 1);
  return record;
}

// Takes over what a writer has left, or makes it anew. None: another one writes.
template <class Writer, class Resume, class Create>
std::optional<Writer> take_over(Place& place, std::uint64_t offset, std::uint64_t bytes,
                                Resume resume, Create create, bool& met_a_loss) {
  auto writer = resume();
  if (!writer && writer.error().code == Code::lost) {
    met_a_loss = true;
    if (auto done = place.streams.reset(offset, bytes); !done) {
      (void)may_be(done.error(), {Code::busy}, "a reset");
      return std::nullopt;
    }
    writer = create();
  } else if (!writer && writer.error().code == Code::not_found) {
    writer = create();
  }
  if (writer) return std::move(*writer);
  // A writer that came in between may have died as well.
  (void)may_be(writer.error(), {Code::busy, Code::lost}, "a writer");
  return std::nullopt;
}

class RingWork : public Work {
 public:
  explicit RingWork(Place& place) : place_(place) {}

  bool step() override {
    met_a_loss_ = false;
    if (writer_) {
      publish();
    } else if (place_.random.one_in(4)) {
      writer_ = take_over<RingWriter<Record>>(
          place_, offset, RingWriter<Record>::bytes(capacity),
          [&] { return RingWriter<Record>::resume(place_.streams, offset); },
          [&] { return RingWriter<Record>::create(place_.streams, offset, capacity); },
          met_a_loss_);
    }
    read();
    return met_a_loss_;
  }

 private:
  static constexpr std::uint64_t offset = 0;
  static constexpr std::uint64_t capacity = 64;

  void publish() {
    std::array<Record, 8> records;
    const std::size_t count = 1 + place_.random.below(records.size());
    for (std::size_t i = 0; i < count; ++i) records[i] = record_of(writer_->published() + i);
    const auto wake = place_.random.one_in(4) ? Notify::yes : Notify::no;
    auto done = writer_->publish(std::span<const Record>(records).first(count), wake);
    if (!done) (void)may_be(done.error(), {}, "publishing in a ring");
    if (!place_.random.one_in(64)) return;
    if (auto ended = writer_->commit(); !ended) (void)may_be(ended.error(), {}, "a ring's commit");
    writer_.reset();
  }

  void read() {
    if (!reader_) {
      const auto start = place_.random.one_in(2) ? RingStart::oldest : RingStart::newest;
      auto opened = RingReader<Record>::open(place_.streams, offset, start);
      if (opened) {
        reader_.emplace(std::move(*opened));
      } else {
        (void)may_be(opened.error(), {Code::not_found, Code::lost}, "opening a ring");
        return;
      }
    }
    if (place_.random.one_in(8)) wait();
    if (!reader_) return;
    std::array<Record, 32> out;
    const std::uint64_t before = reader_->position();
    auto batch = reader_->read(out);
    if (!batch) {
      (void)may_be(batch.error(), {Code::lost, Code::busy}, "reading a ring");
      if (batch.error().code == Code::lost) reader_.reset();
      return;
    }
    const std::uint64_t first = reader_->position() - batch->count;
    if (first < before) violation("a ring goes back");
    for (std::size_t i = 0; i < batch->count; ++i) {
      const auto version = version_of(out[i].words);
      if (!version) violation("a torn record of a ring without an error");
      if (version && *version != first + i + 1) violation("a wrong record of a ring");
    }
  }

  void wait() {
    auto waited = reader_->wait(std::chrono::milliseconds(2));
    if (waited) return;
    (void)may_be(waited.error(), {Code::timed_out, Code::lost, Code::busy}, "waiting at a ring");
    if (waited.error().code == Code::lost) reader_.reset();
  }

  Place& place_;
  std::optional<RingWriter<Record>> writer_;
  std::optional<RingReader<Record>> reader_;
  bool met_a_loss_ = false;
};

class VersionedWork : public Work {
 public:
  explicit VersionedWork(Place& place) : place_(place) {}

  bool step() override {
    met_a_loss_ = false;
    if (writer_) {
      publish();
    } else if (place_.random.one_in(4)) {
      writer_ = take_over<Value::Writer>(
          place_, offset, Value::bytes(),
          [&] { return Value::Writer::resume(place_.streams, offset); },
          [&] { return Value::Writer::create(place_.streams, offset); }, met_a_loss_);
    }
    read();
    return met_a_loss_;
  }

 private:
  using Value = Versioned<Record>;
  static constexpr std::uint64_t offset = 32 * page_size;

  void publish() {
    auto done = writer_->publish(record_of(writer_->version()));
    if (!done) (void)may_be(done.error(), {}, "publishing a value");
    if (!place_.random.one_in(64)) return;
    if (auto ended = writer_->commit(); !ended) {
      (void)may_be(ended.error(), {}, "a versioned value's commit");
    }
    writer_.reset();
  }

  void read() {
    if (!reader_) {
      auto opened = Value::Reader::open(place_.streams, offset);
      if (!opened) {
        (void)may_be(opened.error(), {Code::not_found, Code::lost}, "opening a value");
        return;
      }
      reader_.emplace(std::move(*opened));
      last_ = 0;
    }
    auto now = reader_->read();
    if (!now) {
      (void)may_be(now.error(), {Code::not_found, Code::lost, Code::busy}, "reading a value");
      if (now.error().code == Code::lost) reader_.reset();
      return;
    }
    const auto version = version_of(now->value.words);
    if (!version) violation("a torn value without an error");
    if (version && *version != now->version) violation("a value of another version");
    if (now->version < last_) violation("a value goes back");
    last_ = now->version;
  }

  Place& place_;
  std::optional<Value::Writer> writer_;
  std::optional<Value::Reader> reader_;
  std::uint64_t last_ = 0;
  bool met_a_loss_ = false;
};

}  // namespace

std::unique_ptr<Work> ring_work(Place& place) { return std::make_unique<RingWork>(place); }
std::unique_ptr<Work> versioned_work(Place& place) {
  return std::make_unique<VersionedWork>(place);
}

}  // namespace hive::chaos

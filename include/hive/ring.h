// A ring of records of one type: one task publishes, any number of tasks on any cell read every
// record, each at its own pace. The writer never waits for a reader. A reader that falls behind by
// more than the capacity is told exactly how many records it missed, and never gets a torn one.
//
//   auto writer = RingWriter<Trade>::create(segment, 0, 4096);       // one task
//   writer->publish(trade, Notify::yes);
//
//   auto reader = RingReader<Trade>::open(segment, 0);               // any task
//   std::array<Trade, 64> trades;
//   while (reader->wait(1s)) {
//     auto batch = reader->read(trades);                 // batch->count, batch->missed
//   }
//
// Readers store nothing to shared memory: a reader's position is in its own. The writer says first
// how far it is going to overwrite ("claimed"), then stores the records, then how many there are
// ("published"). A reader copies and then looks at what is claimed: what had been claimed by then
// is not to be trusted and counts as missed. (A sequence lock over the whole ring; no word is
// spent on a record, and many are copied with one look.) A reader that has fallen out goes on in
// the middle of what is there, so as not to fall out again at once.
//
// Waking. Since a reader cannot tell the writer that it sleeps, the writer decides. publish()
// makes no system call; with Notify::yes, or by notify(), it wakes all sleepers with one futex
// call, which costs little more than an empty system call when nobody sleeps, and some
// microseconds when somebody does. Wake for the last record of a burst, or never when readers
// poll. wait() does not depend on it: it looks by itself after 1 ms, then 2, 4, up to
// ring_nap_max, so that what a writer does not announce costs time, and an idle reader next to
// nothing.
//
// What readers see when the writer ends:
//   it committed:     every record that is still there; a later writer may resume() after it.
//   it was stopped:   the records published before.
//   it died:          `lost`, until somebody resets the pages and create()s anew; a reader from
//                     before that stays `lost` and is to be opened again. One that waits learns of
//                     it within ring_nap_max.
//   its home died:    `cell_down`; one that waits is woken by the change of the live set.
//
// Cost: publish() of a small record some ten nanoseconds, in a span of many about one for each;
// read() three Segment::read, about 0.15 us, for as many records as there are; an empty read()
// one. Where processes guard themselves (--firewall=cooperative) each Segment::read asks the home.
//
// Ownership: writer and reader need the Segment that they were made from to stay open in this
// task; closing it tears what the writer has open. Thread-safety: each is used by one thread at a
// time, and a writer not while the session is being detached.
#pragma once

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <hive/error.h>
#include <hive/segment.h>
#include <hive/shareable.h>
#include <hive/sync.h>
#include <hive/window.h>

namespace hive {

inline constexpr std::chrono::milliseconds ring_nap_min{1};
inline constexpr std::chrono::milliseconds ring_nap_max{100};
// A reader that falls out of the ring so often in one read() leaves it for now.
inline constexpr int ring_tries_max = 64;

enum class Notify : bool { no, yes };
enum class RingStart : bool { newest, oldest };  // what comes from now on; all that is still there

// What one read() of a reader gave. First `missed` records were lost, then come `count` copied
// ones that follow each other without a gap.
struct RingBatch {
  std::size_t count = 0;
  std::uint64_t missed = 0;
};

namespace lib {

inline constexpr std::uint64_t ring_head_bytes = 128;
constexpr std::uint64_t ring_bytes(std::uint64_t record_bytes, std::uint64_t capacity) {
  const std::uint64_t bytes = ring_head_bytes + record_bytes * std::bit_ceil(capacity);
  return (bytes + page_size - 1) / page_size * page_size;
}

// The same for records of any type. See below.
class RingWriter {
 public:
  static Result<RingWriter> create(Segment& segment, std::uint64_t offset,
                                   std::uint64_t record_bytes, std::uint64_t capacity);
  static Result<RingWriter> resume(Segment& segment, std::uint64_t offset,
                                   std::uint64_t record_bytes);
  Result<void> publish(const std::byte* records, std::uint64_t count);
  Result<void> notify();
  Result<void> commit();
  std::uint64_t published() const { return published_; }
  std::uint64_t capacity() const { return capacity_; }

 private:
  RingWriter(const Segment& segment, std::uint64_t offset, std::uint64_t record_bytes,
             std::uint64_t capacity, WriteWindow window);
  Result<void> start();
  Result<void> publish_some(const std::byte* records, std::uint64_t count);
  bool store(const std::byte* records, std::uint64_t count) noexcept;
  Result<void> check_usable() const;

  std::shared_ptr<SegmentImpl> segment_;
  WriteWindow window_;
  std::uint64_t offset_;
  std::uint64_t record_bytes_;
  std::uint64_t capacity_;  // a power of two
  std::uint64_t published_ = 0;
};

class RingReader {
 public:
  static Result<RingReader> open(const Segment& segment, std::uint64_t offset,
                                 std::uint64_t record_bytes, RingStart start);
  Result<RingBatch> read(std::byte* records, std::uint64_t count);
  Result<void> wait(std::chrono::nanoseconds timeout);
  std::uint64_t position() const { return position_; }
  std::uint64_t capacity() const { return capacity_; }

 private:
  struct State {
    std::uint64_t generation = 0;
    std::uint64_t published = 0;
    std::uint64_t claimed = 0;  // loaded last, so never less than `published`
    // The first record that is not being overwritten.
    std::uint64_t oldest(std::uint64_t capacity) const {
      return claimed > capacity ? claimed - capacity : 0;
    }
  };
  RingReader(const Segment& segment, std::uint64_t offset, std::uint64_t record_bytes);
  Result<State> look() const;
  Result<void> copy(std::byte* records, std::uint64_t first, std::uint64_t count) const;
  void skip_to(std::uint64_t position);

  std::shared_ptr<SegmentImpl> segment_;
  std::uint64_t offset_;
  std::uint64_t record_bytes_;
  std::uint64_t capacity_ = 0;
  std::uint64_t generation_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t missed_ = 0;  // and not yet told
};

}  // namespace lib

template <class T>
class RingWriter {
  static_assert(Shareable<T>,
                "a record is trivially copyable and not a pointer: readers copy its bytes");

 public:
  // What a ring for that many records takes of a segment: whole pages.
  static constexpr std::uint64_t bytes(std::uint64_t capacity) {
    return lib::ring_bytes(sizeof(T), capacity);
  }

  // Makes an empty ring at `offset`, a multiple of page_size, whatever was there before, for at
  // least `capacity` records (at least 2; rounded up to a power of two). Blocks for one round trip
  // to the home. Errors: bad_argument (it does not fit there), busy (another writer has it), lost
  // (the last writer died: reset the pages first), cell_down, timed_out.
  static Result<RingWriter> create(Segment& segment, std::uint64_t offset,
                                   std::uint64_t capacity) {
    return made(lib::RingWriter::create(segment, offset, sizeof(T), capacity));
  }
  // Goes on from what another writer has committed; readers notice nothing. Errors: those of
  // create(); not_found (nothing was made there); corrupt (something else is there).
  static Result<RingWriter> resume(Segment& segment, std::uint64_t offset) {
    return made(lib::RingWriter::resume(segment, offset, sizeof(T)));
  }

  // Publishes records, in this order. Raises no signal. A span longer than the capacity is taken
  // in parts, and readers that are not as fast miss some. Errors: lost, cell_down (the home's
  // memory has gone; it may take some milliseconds until that shows here), bad_argument (committed
  // already), refused (detached).
  Result<void> publish(const T& record, Notify wake = Notify::no) {
    return publish(std::span(&record, 1), wake);
  }
  Result<void> publish(std::span<const T> records, Notify wake = Notify::no) {
    auto done = impl_.publish(reinterpret_cast<const std::byte*>(records.data()), records.size());
    if (!done || wake == Notify::no) return done;
    return impl_.notify();
  }
  // Wakes the readers that wait.
  Result<void> notify() { return impl_.notify(); }

  // Ends writing and wakes those who wait; what is published stays readable.
  // Errors: as WriteWindow::commit.
  Result<void> commit() { return impl_.commit(); }

  std::uint64_t published() const { return impl_.published(); }  // since create()
  std::uint64_t capacity() const { return impl_.capacity(); }

 private:
  explicit RingWriter(lib::RingWriter impl) : impl_(std::move(impl)) {}
  static Result<RingWriter> made(Result<lib::RingWriter> impl) {
    if (!impl) return fail(impl.error());
    return RingWriter(std::move(*impl));
  }
  lib::RingWriter impl_;
};

template <class T>
class RingReader {
  static_assert(Shareable<T>,
                "a record is trivially copyable and not a pointer: readers copy its bytes");

 public:
  // Errors: not_found (no writer has made it yet), corrupt (something else is there, or records of
  // another size), lost, cell_down, bad_argument.
  static Result<RingReader> open(const Segment& segment, std::uint64_t offset,
                                 RingStart start = RingStart::newest) {
    auto impl = lib::RingReader::open(segment, offset, sizeof(T), start);
    if (!impl) return fail(impl.error());
    return RingReader(std::move(*impl));
  }

  // Copies the next records out, as many as there are and `out` holds; none is no error. Never
  // waits and never raises a signal. Beyond `count`, and on an error, `out` is undefined.
  // Errors: lost, cell_down, corrupt, busy (it fell out of the ring ring_tries_max times; what it
  // missed is told by the next read).
  Result<RingBatch> read(std::span<T> out) {
    return impl_.read(reinterpret_cast<std::byte*>(out.data()), out.size());
  }

  // Sleeps until there is a record to read, or one was missed. Errors: timed_out, and those of
  // read(); refused (the session was detached).
  Result<void> wait(std::chrono::nanoseconds timeout = default_wait) {
    return impl_.wait(timeout);
  }

  // The number of the next record, counted from create().
  std::uint64_t position() const { return impl_.position(); }
  std::uint64_t capacity() const { return impl_.capacity(); }

 private:
  explicit RingReader(lib::RingReader impl) : impl_(std::move(impl)) {}
  lib::RingReader impl_;
};

}  // namespace hive

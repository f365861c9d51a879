// A value that one task publishes again and again at the speed of memory, and that any number of
// tasks on any cell read without waiting: each read gives one whole version, never a mixture.
//
//   auto writer = Versioned<Prices>::Writer::create(segment, 0);   // one task
//   writer->publish(prices);
//
//   auto reader = Versioned<Prices>::Reader::open(segment, 0);     // any task
//   auto now = reader->read();                                     // now->value, now->version
//
// The value has pages of its own, Versioned<T>::bytes() of them from a page boundary on, with room
// for versioned_slots versions. The writer holds an exclusive window on them as long as it lives.
// It builds each version in the next slot in turn and then points to it, so a writer that is
// stopped or slow in the middle of a publication keeps nobody waiting: readers get the version
// before. This is the sequence lock, with several slots (a ring of versions, as in Lamport,
// "Concurrent Reading and Writing", CACM 1977), for readers that may not store at all.
//
// What readers see when the writer ends:
//   it committed:     the last version, for ever; a later writer may resume() after it.
//   it died:          `lost`, until somebody resets the pages and create()s anew; a reader from
//                     before that stays `lost` and is to be opened again.
//   its home died:    `cell_down`.
//
// Cost: publish() copies the value and four words, some ten nanoseconds for a small one; read() is
// two or three Segment::read, about 0.1 us, and more while the writer is at the same cache lines.
// Neither makes a system call, except where processes guard themselves (--firewall=cooperative):
// there each read asks the home. Nothing is allocated. A version that no reader looked at in time
// is gone; to see every one, use ring.h.
//
// Ownership: writer and reader need the Segment that they were made from to stay open in this
// task; closing it tears what the writer has open. Thread-safety: a writer is used by one thread
// at a time, and not while the session is being detached; a reader by any number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <hive/error.h>
#include <hive/segment.h>
#include <hive/shareable.h>
#include <hive/window.h>

namespace hive {

inline constexpr std::uint32_t versioned_slots = 4;
// A reader that is overtaken by this many whole rounds of the writer, one after the other, gives
// up.
inline constexpr int versioned_tries_max = 64;

namespace lib {

constexpr std::uint64_t versioned_stride(std::uint64_t value_bytes) {
  // The value, in steps of 16 bytes, then a word that says which version it is; whole cache lines.
  return ((value_bytes + 15) / 16 * 16 + 8 + 63) / 64 * 64;
}
constexpr std::uint64_t versioned_bytes(std::uint64_t value_bytes) {
  const std::uint64_t bytes = 128 + versioned_slots * versioned_stride(value_bytes);
  return (bytes + page_size - 1) / page_size * page_size;
}

// The same for values of any type. See below.
class VersionedWriter {
 public:
  static Result<VersionedWriter> create(Segment& segment, std::uint64_t offset,
                                        std::uint64_t value_bytes);
  static Result<VersionedWriter> resume(Segment& segment, std::uint64_t offset,
                                        std::uint64_t value_bytes);
  Result<std::uint64_t> publish(const void* value);
  Result<void> commit() { return window_.commit(); }
  std::uint64_t version() const { return last_ - generation_; }

 private:
  VersionedWriter(const Segment& segment, std::uint64_t offset, std::uint64_t value_bytes,
                  WriteWindow window);
  Result<void> start();
  Result<void> take_over();
  bool store(const void* value, std::uint64_t stamp) noexcept;

  std::shared_ptr<SegmentImpl> segment_;
  WriteWindow window_;
  std::uint64_t offset_;
  std::uint64_t value_bytes_;
  std::uint64_t generation_ = 0;
  std::uint64_t last_ = 0;  // stamp of the last version: generation + version
};

class VersionedReader {
 public:
  static Result<VersionedReader> open(const Segment& segment, std::uint64_t offset,
                                      std::uint64_t value_bytes);
  Result<std::uint64_t> read(void* value) const;
  Result<std::uint64_t> version() const;

 private:
  VersionedReader(const Segment& segment, std::uint64_t offset, std::uint64_t value_bytes);
  Result<std::uint64_t> last() const;

  std::shared_ptr<SegmentImpl> segment_;
  std::uint64_t offset_;
  std::uint64_t value_bytes_;
  std::uint64_t generation_ = 0;
};

}  // namespace lib

template <class T>
class Versioned {
  static_assert(
      Shareable<T>,
      "a versioned value is trivially copyable and not a pointer: readers copy its bytes");

 public:
  struct Reading {
    T value;
    std::uint64_t version = 0;
  };

  // What it takes of a segment: whole pages.
  static constexpr std::uint64_t bytes() { return lib::versioned_bytes(sizeof(T)); }

  class Writer {
   public:
    // Makes the value anew at `offset`, a multiple of page_size, whatever was there before; it has
    // no version yet. Blocks for one round trip to the home. Errors: bad_argument (it does not fit
    // there), busy (another writer has it), lost (the last writer died: reset the pages first),
    // cell_down, timed_out.
    static Result<Writer> create(Segment& segment, std::uint64_t offset) {
      return made(lib::VersionedWriter::create(segment, offset, sizeof(T)));
    }
    // Goes on from what another writer has committed; readers notice nothing. Errors: those of
    // create(); not_found (nothing was made there); corrupt (something else is there).
    static Result<Writer> resume(Segment& segment, std::uint64_t offset) {
      return made(lib::VersionedWriter::resume(segment, offset, sizeof(T)));
    }

    // Publishes the next version and returns its number, the first one being 1. Raises no signal.
    // Errors: lost, cell_down (the home's memory has gone; it may take some milliseconds until
    // that shows here), bad_argument (committed already), refused (detached).
    Result<std::uint64_t> publish(const T& value) { return impl_.publish(&value); }

    // Ends writing; the last version stays readable. Errors: as WriteWindow::commit.
    Result<void> commit() { return impl_.commit(); }

    std::uint64_t version() const { return impl_.version(); }  // of the last publication, or 0

   private:
    explicit Writer(lib::VersionedWriter impl) : impl_(std::move(impl)) {}
    static Result<Writer> made(Result<lib::VersionedWriter> impl) {
      if (!impl) return fail(impl.error());
      return Writer(std::move(*impl));
    }
    lib::VersionedWriter impl_;
  };

  class Reader {
   public:
    // Errors: not_found (no writer has made it yet), corrupt (something else is there, or a type
    // of another size), lost, cell_down, bad_argument.
    static Result<Reader> open(const Segment& segment, std::uint64_t offset) {
      auto impl = lib::VersionedReader::open(segment, offset, sizeof(T));
      if (!impl) return fail(impl.error());
      return Reader(std::move(*impl));
    }

    // Copies the last complete version out and returns its number. Never waits and never raises a
    // signal. On an error `value` is undefined. Errors: not_found (nothing is published yet),
    // lost, cell_down, corrupt, busy (the writer overtook this reader versioned_tries_max times).
    Result<std::uint64_t> read(T& value) const { return impl_.read(&value); }
    Result<Reading> read() const {
      Reading reading{};
      auto version = impl_.read(&reading.value);
      if (!version) return fail(version.error());
      reading.version = *version;
      return reading;
    }
    // The number of the last complete version, 0 before the first: a cheap look for news.
    // Errors: lost, cell_down, corrupt.
    Result<std::uint64_t> version() const { return impl_.version(); }

   private:
    explicit Reader(lib::VersionedReader impl) : impl_(std::move(impl)) {}
    lib::VersionedReader impl_;
  };
};

}  // namespace hive

#include <algorithm>
#include <atomic>
#include <limits>

#include "base/futex.h"
#include "base/time.h"
#include "lib/careful_store.h"
#include "lib/ring_layout.h"

namespace hive::lib {
namespace {

// One claim covers at most this part of the ring, so that a reader that keeps up within the rest
// is not overrun by one long publication.
constexpr std::uint64_t claims_in_ring = 4;

}  // namespace

Result<void> check_ring_place(const SegmentImpl& segment, std::uint64_t offset,
                              std::uint64_t record_bytes, std::uint64_t capacity) {
  if (offset % page_size != 0) {
    return fail(Code::bad_argument, "a ring begins at a page boundary", segment.home());
  }
  if (capacity < 2 || record_bytes == 0 || capacity > segment.bytes() / record_bytes) {
    return fail(Code::bad_argument, "a ring has two records or more, and fits into its segment",
                segment.home());
  }
  auto pages = segment.pages_of(offset, ring_bytes(record_bytes, capacity));
  if (!pages) return fail(pages.error());
  return {};
}

RingWriter::RingWriter(const Segment& segment, std::uint64_t offset, std::uint64_t record_bytes,
                       std::uint64_t capacity, WriteWindow window)
    : segment_(segment.impl()),
      window_(std::move(window)),
      offset_(offset),
      record_bytes_(record_bytes),
      capacity_(capacity) {}

Result<RingWriter> RingWriter::create(Segment& segment, std::uint64_t offset,
                                      std::uint64_t record_bytes, std::uint64_t capacity) {
  auto good = check_ring_place(*segment.impl(), offset, record_bytes, capacity);
  if (!good) return fail(good.error());
  auto window = segment.write(offset, ring_bytes(record_bytes, capacity));
  if (!window) return fail(window.error());
  RingWriter writer(segment, offset, record_bytes, std::bit_ceil(capacity), std::move(*window));
  if (auto started = writer.start(); !started) return fail(started.error());
  return writer;
}

Result<RingWriter> RingWriter::resume(Segment& segment, std::uint64_t offset,
                                      std::uint64_t record_bytes) {
  const SegmentImpl& impl = *segment.impl();
  // Looked at twice: the size of the window depends on it, and before there is a window another
  // writer may change it.
  const auto before = read_ring_head(impl, offset, record_bytes);
  if (!before) return fail(before.error());
  auto window = segment.write(offset, ring_bytes(record_bytes, before->capacity));
  if (!window) return fail(window.error());
  RingWriter writer(segment, offset, record_bytes, before->capacity, std::move(*window));
  const auto head = read_ring_head(impl, offset, record_bytes);
  std::array<std::uint64_t, 2> counts{};  // published, claimed
  auto read = impl.read(offset + ring_at_published, std::as_writable_bytes(std::span(counts)));
  const bool good = head && read && head->capacity == before->capacity && counts[0] == counts[1] &&
                    counts[0] <= std::numeric_limits<std::uint64_t>::max() / 2;
  if (!good) {
    // Nothing was stored, so nothing is to be torn.
    (void)writer.window_.commit();
    if (!head) return fail(head.error());
    if (!read) return fail(read.error());
    return fail(Code::corrupt, "the counts of the ring make no sense", impl.home());
  }
  writer.published_ = counts[0];
  return writer;
}

Result<void> RingWriter::start() {
  const RingHead head{ring_magic, record_bytes_, capacity_};
  std::byte* const base = window_.data();
  const bool stored =
      store_word(base + ring_at_generation, 0) && store_word(base + ring_at_published, 0) &&
      store_word(base + ring_at_claimed, 0) && store_bytes(base, &head, sizeof head) &&
      store_word(base + ring_at_generation, now_ns());
  if (stored) return {};
  return fail(Code::lost, "the pages of the ring have gone while it was made", segment_->home());
}

bool RingWriter::store(const std::byte* records, std::uint64_t count) noexcept {
  std::byte* const base = window_.data();
  if (!store_word(base + ring_at_claimed, published_ + count)) return false;
  const std::uint64_t first = published_ % capacity_;
  const std::uint64_t straight = std::min(count, capacity_ - first);
  std::byte* const places = base + ring_head_bytes;
  if (!store_bytes(places + first * record_bytes_, records, straight * record_bytes_) ||
      !store_bytes(places, records + straight * record_bytes_,
                   (count - straight) * record_bytes_)) {
    return false;
  }
  return store_word(base + ring_at_published, published_ + count);
}

Result<void> RingWriter::check_usable() const {
  if (!window_.is_open()) {
    return fail(Code::bad_argument, "the writer has committed already", segment_->home());
  }
  // Whether the memory is still mapped here; costs a few loads.
  return segment_->read(offset_, {});
}

Result<void> RingWriter::publish(const std::byte* records, std::uint64_t count) {
  if (auto usable = check_usable(); !usable) return usable;
  const std::uint64_t most = std::max<std::uint64_t>(1, capacity_ / claims_in_ring);
  while (count > 0) {
    const std::uint64_t some = std::min(count, most);
    if (auto done = publish_some(records, some); !done) return done;
    records += some * record_bytes_;
    count -= some;
  }
  return {};
}

Result<void> RingWriter::publish_some(const std::byte* records, std::uint64_t count) {
  for (int tries = 0; tries < store_tries_max; ++tries) {
    if (store(records, count)) {
      published_ += count;
      return {};
    }
    if (auto given = segment_->touch(offset_, ring_bytes(record_bytes_, capacity_)); !given) {
      return given;
    }
    load_source(records, count * record_bytes_);
  }
  return fail(Code::lost, "the pages of the ring cannot be stored to", segment_->home());
}

Result<void> RingWriter::notify() {
  if (auto usable = check_usable(); !usable) return usable;
  // The low half of `published`: it has changed since whoever sleeps has looked at it.
  const std::byte* const word = window_.data() + ring_at_published;
  (void)futex_wake(reinterpret_cast<const std::atomic<std::uint32_t>*>(word),
                   std::numeric_limits<int>::max());
  return {};
}

Result<void> RingWriter::commit() {
  if (window_.is_open()) (void)notify();
  return window_.commit();
}

}  // namespace hive::lib

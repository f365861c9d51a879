#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "base/futex.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "lib/careful_store.h"
#include "lib/current_session.h"
#include "lib/deadline.h"
#include "lib/ring_layout.h"

namespace hive::lib {

Result<RingHead> read_ring_head(const SegmentImpl& segment, std::uint64_t offset,
                                std::uint64_t record_bytes) {
  if (auto good = check_ring_place(segment, offset, record_bytes, 2); !good) {
    return fail(good.error());
  }
  // The generation first: create() sets it last.
  std::uint64_t generation = 0;
  auto read =
      segment.read(offset + ring_at_generation, std::as_writable_bytes(std::span(&generation, 1)));
  if (!read) return fail(read.error());
  if (generation == 0) {
    return fail(Code::not_found, "nothing has been made there yet", segment.home());
  }
  RingHead head;
  read = segment.read(offset, std::as_writable_bytes(std::span(&head, 1)));
  if (!read) return fail(read.error());
  if (head.magic != ring_magic || head.record_bytes != record_bytes ||
      !std::has_single_bit(head.capacity) ||
      !check_ring_place(segment, offset, record_bytes, head.capacity)) {
    return fail(Code::corrupt, "there is no ring of records of this size", segment.home());
  }
  return head;
}

RingReader::RingReader(const Segment& segment, std::uint64_t offset, std::uint64_t record_bytes)
    : segment_(segment.impl()), offset_(offset), record_bytes_(record_bytes) {}

Result<RingReader> RingReader::open(const Segment& segment, std::uint64_t offset,
                                    std::uint64_t record_bytes, RingStart start) {
  const auto head = read_ring_head(*segment.impl(), offset, record_bytes);
  if (!head) return fail(head.error());
  RingReader reader(segment, offset, record_bytes);
  reader.capacity_ = head->capacity;
  const auto now = reader.look();
  if (!now) return fail(now.error());
  reader.generation_ = now->generation;
  reader.position_ = start == RingStart::newest
                         ? now->published
                         : std::min(now->oldest(reader.capacity_), now->published);
  return reader;
}

Result<RingReader::State> RingReader::look() const {
  State state;
  auto read =
      segment_->read(offset_ + ring_at_generation, std::as_writable_bytes(std::span(&state, 1)));
  if (!read) return fail(read.error());
  // 0 as generation_: this reader is just being opened.
  if (state.generation == 0 || (generation_ != 0 && state.generation != generation_)) {
    return fail(Code::lost, "the ring was made anew; open it again", segment_->home());
  }
  if (state.published > state.claimed || state.published < position_) {
    return fail(Code::corrupt, "the counts of the ring make no sense", segment_->home());
  }
  return state;
}

Result<void> RingReader::copy(std::byte* records, std::uint64_t first, std::uint64_t count) const {
  const std::uint64_t place = first % capacity_;
  const std::uint64_t straight = std::min(count, capacity_ - place);
  const std::uint64_t base = offset_ + ring_head_bytes;
  auto done =
      segment_->read(base + place * record_bytes_, std::span(records, straight * record_bytes_));
  if (!done || straight == count) return done;
  return segment_->read(
      base, std::span(records + straight * record_bytes_, (count - straight) * record_bytes_));
}

void RingReader::skip_to(std::uint64_t position) {
  if (position <= position_) return;
  missed_ += position - position_;
  position_ = position;
}

Result<RingBatch> RingReader::read(std::byte* records, std::uint64_t count) {
  for (int tries = 0; tries < ring_tries_max; ++tries) {
    const auto before = look();
    if (!before) return fail(before.error());
    if (before->oldest(capacity_) > position_) {
      const std::uint64_t middle = before->published - std::min(before->published, capacity_ / 2);
      skip_to(std::max(middle, std::min(before->oldest(capacity_), before->published)));
    }
    const std::uint64_t there = std::min(count, before->published - position_);
    if (there == 0) return RingBatch{0, std::exchange(missed_, 0)};
    if (auto copied = copy(records, position_, there); !copied) return fail(copied.error());
    order_after_long_copy();
    const auto after = look();
    if (!after) return fail(after.error());
    const std::uint64_t oldest = after->oldest(capacity_);
    const std::uint64_t spoilt = oldest > position_ ? oldest - position_ : 0;
    if (spoilt >= there) continue;  // and tell of it above, where to go on
    const std::uint64_t good = there - spoilt;
    if (spoilt > 0) {
      std::memmove(records, records + spoilt * record_bytes_, good * record_bytes_);
      skip_to(oldest);
    }
    position_ += good;
    return RingBatch{good, std::exchange(missed_, 0)};
  }
  return fail(Code::busy, "the writer overtakes this reader again and again", segment_->home());
}

namespace {

const std::atomic<std::uint32_t> never{0};

// The epoch word of the task's own cell and what it says, so that a change of the live set ends a
// sleep; of a task that is not attached, a word that never changes.
FutexWord epoch_now() {
  const SessionUse session;
  if (session) {
    const auto* const word = &session->membership().own_header()->epoch_word;
    if (std::uint32_t epoch = 0; safe_load32(word, epoch)) return {word, epoch};
  }
  return {&never, 0};
}

}  // namespace

Result<void> RingReader::wait(std::chrono::nanoseconds timeout) {
  const std::uint64_t deadline_ns = deadline_in(timeout);
  std::uint64_t nap_ns = std::chrono::nanoseconds(ring_nap_min).count();
  while (true) {
    // The epoch first: if it changes after the look, the sleep below ends at once.
    const FutexWord epoch = epoch_now();
    const auto state = look();
    if (!state) return fail(state.error());
    if (state->published > position_ || missed_ > 0) return {};
    const std::uint64_t now = now_ns();
    if (now >= deadline_ns) {
      return fail(Code::timed_out, "nothing was published in time", segment_->home());
    }
    // The low half of `published`. Detaching does not wait for this sleep: the words may be
    // unmapped, which ends it, or lets it last until its time is up and no longer.
    const std::byte* const word = segment_->data() + offset_ + ring_at_published;
    const std::array<FutexWord, 2> words = {
        {{reinterpret_cast<const std::atomic<std::uint32_t>*>(word),
          static_cast<std::uint32_t>(position_)},
         epoch}};
    const std::uint64_t until_ns = std::min(deadline_ns, now + nap_ns);
    if (futex_wait_any(words, until_ns) == FutexWait::fault) futex_wait(&never, 0, until_ns);
    nap_ns = std::min<std::uint64_t>(2 * nap_ns, std::chrono::nanoseconds(ring_nap_max).count());
  }
}

}  // namespace hive::lib

// Layout, from `offset` on:
//     0  magic, bytes of a value, number of slots       set by create(), then constant
//    64  generation, stamp of the last complete version
//   128  slots: the value, filled up to 16 bytes, then the stamp of the version that it holds
//
// The stamp of a version is generation + version. A generation is the time of create() in
// nanoseconds and no writer publishes more than once in one, so no two versions ever made at this
// place have the same stamp: that a slot has the stamp looked for, after it was copied, proves the
// copy, even if the value died and was made anew in between.
//
// Invariants, as any reader sees them:
// 1. While a slot's value is changed its stamp is 0. (The stamp goes first and comes last.)
// 2. The stamp of the last version is stored after that version's slot is complete.
#include <hive/versioned.h>

#include <array>
#include <cstring>

#include "base/time.h"
#include "lib/careful_store.h"
#include "lib/segment_impl.h"

namespace hive::lib {
namespace {

constexpr std::uint64_t versioned_magic = 0x0131'7372'6576'7648;  // "Hvvers", layout 1
constexpr std::uint64_t at_generation = 64;
constexpr std::uint64_t at_last = 72;
constexpr std::uint64_t at_slots = 128;

struct Head {
  std::uint64_t magic = 0;
  std::uint64_t value_bytes = 0;
  std::uint64_t slots = 0;
};
struct State {
  std::uint64_t generation = 0;
  std::uint64_t last = 0;
};

constexpr std::uint64_t stamp_at(std::uint64_t value_bytes) {
  return (value_bytes + 15) / 16 * 16;
}
constexpr std::uint64_t slot_at(std::uint64_t value_bytes, std::uint64_t stamp) {
  return at_slots + stamp % versioned_slots * versioned_stride(value_bytes);
}

template <class T>
Result<T> read_as(const SegmentImpl& segment, std::uint64_t offset) {
  T value{};
  auto done = segment.read(offset, std::as_writable_bytes(std::span(&value, 1)));
  if (!done) return fail(done.error());
  return value;
}

Result<void> check_place(const SegmentImpl& segment, std::uint64_t offset,
                         std::uint64_t value_bytes) {
  if (offset % page_size != 0) {
    return fail(Code::bad_argument, "a versioned value begins at a page boundary", segment.home());
  }
  if (value_bytes == 0 || value_bytes > segment.bytes()) {
    return fail(Code::bad_argument, "the value does not fit into the segment", segment.home());
  }
  auto pages = segment.pages_of(offset, versioned_bytes(value_bytes));
  if (!pages) return fail(pages.error());
  return {};
}

Failure made_anew(const SegmentImpl& segment) {
  return fail(Code::lost, "the value was made anew; open it again", segment.home());
}

Result<State> check_head(const SegmentImpl& segment, std::uint64_t offset,
                         std::uint64_t value_bytes) {
  // The state first: create() sets it last.
  auto state = read_as<State>(segment, offset + at_generation);
  if (!state) return fail(state.error());
  if (state->generation == 0) {
    return fail(Code::not_found, "nothing has been made there yet", segment.home());
  }
  auto head = read_as<Head>(segment, offset);
  if (!head) return fail(head.error());
  if (head->magic != versioned_magic || head->value_bytes != value_bytes ||
      head->slots != versioned_slots) {
    return fail(Code::corrupt, "there is no versioned value of this size", segment.home());
  }
  if (state->last < state->generation) {
    return fail(Code::corrupt, "the versions of the value make no sense", segment.home());
  }
  return state;
}

}  // namespace

VersionedWriter::VersionedWriter(const Segment& segment, std::uint64_t offset,
                                 std::uint64_t value_bytes, WriteWindow window)
    : segment_(segment.impl()),
      window_(std::move(window)),
      offset_(offset),
      value_bytes_(value_bytes) {}

Result<VersionedWriter> VersionedWriter::create(Segment& segment, std::uint64_t offset,
                                                std::uint64_t value_bytes) {
  if (auto good = check_place(*segment.impl(), offset, value_bytes); !good) {
    return fail(good.error());
  }
  auto window = segment.write(offset, versioned_bytes(value_bytes));
  if (!window) return fail(window.error());
  VersionedWriter writer(segment, offset, value_bytes, std::move(*window));
  if (auto started = writer.start(); !started) return fail(started.error());
  return writer;
}

Result<VersionedWriter> VersionedWriter::resume(Segment& segment, std::uint64_t offset,
                                                std::uint64_t value_bytes) {
  if (auto good = check_place(*segment.impl(), offset, value_bytes); !good) {
    return fail(good.error());
  }
  auto window = segment.write(offset, versioned_bytes(value_bytes));
  if (!window) return fail(window.error());
  VersionedWriter writer(segment, offset, value_bytes, std::move(*window));
  if (auto good = writer.take_over(); !good) {
    // Nothing was stored, so nothing is to be torn.
    (void)writer.commit();
    return fail(good.error());
  }
  return writer;
}

Result<void> VersionedWriter::start() {
  const Head head{versioned_magic, value_bytes_, versioned_slots};
  std::byte* const base = window_.data();
  // Readers of what was there before must not take the new slots for the old ones.
  bool stored = store_word(base + at_generation, 0) && store_word(base + at_last, 0);
  for (std::uint64_t slot = 0; slot < versioned_slots; ++slot) {
    stored = stored && store_word(base + slot_at(value_bytes_, slot) + stamp_at(value_bytes_), 0);
  }
  generation_ = last_ = now_ns();
  stored = stored && store_bytes(base, &head, sizeof head) && store_word(base + at_last, last_) &&
           store_word(base + at_generation, generation_);
  if (stored) return {};
  return fail(Code::lost, "the pages of the value have gone while it was made", segment_->home());
}

Result<void> VersionedWriter::take_over() {
  const auto state = check_head(*segment_, offset_, value_bytes_);
  if (!state) return fail(state.error());
  if (state->last != state->generation) {
    const auto stamp = read_as<std::uint64_t>(
        *segment_, offset_ + slot_at(value_bytes_, state->last) + stamp_at(value_bytes_));
    if (!stamp) return fail(stamp.error());
    if (*stamp != state->last) {
      return fail(Code::corrupt, "the last version is not where it should be", segment_->home());
    }
  }
  generation_ = state->generation;
  last_ = state->last;
  return {};
}

bool VersionedWriter::store(const void* value, std::uint64_t stamp) noexcept {
  std::byte* const slot = window_.data() + slot_at(value_bytes_, stamp);
  std::byte* const slot_stamp = slot + stamp_at(value_bytes_);
  return store_word(slot_stamp, 0) && store_bytes(slot, value, value_bytes_) &&
         store_word(slot_stamp, stamp) && store_word(window_.data() + at_last, stamp);
}

Result<std::uint64_t> VersionedWriter::publish(const void* value) {
  if (!window_.is_open()) {
    return fail(Code::bad_argument, "the writer has committed already", segment_->home());
  }
  // Whether the memory is still mapped here; costs a few loads.
  if (auto usable = segment_->read(offset_, {}); !usable) return fail(usable.error());
  for (int tries = 0; tries < store_tries_max; ++tries) {
    if (store(value, last_ + 1)) return ++last_ - generation_;
    auto given = segment_->touch(offset_, versioned_bytes(value_bytes_));
    if (!given) return fail(given.error());
    load_source(value, value_bytes_);
  }
  return fail(Code::lost, "the pages of the value cannot be stored to", segment_->home());
}

VersionedReader::VersionedReader(const Segment& segment, std::uint64_t offset,
                                 std::uint64_t value_bytes)
    : segment_(segment.impl()), offset_(offset), value_bytes_(value_bytes) {}

Result<VersionedReader> VersionedReader::open(const Segment& segment, std::uint64_t offset,
                                              std::uint64_t value_bytes) {
  if (auto good = check_place(*segment.impl(), offset, value_bytes); !good) {
    return fail(good.error());
  }
  VersionedReader reader(segment, offset, value_bytes);
  const auto state = check_head(*reader.segment_, offset, value_bytes);
  if (!state) return fail(state.error());
  reader.generation_ = state->generation;
  return reader;
}

Result<std::uint64_t> VersionedReader::last() const {
  const auto state = read_as<State>(*segment_, offset_ + at_generation);
  if (!state) return fail(state.error());
  if (state->generation != generation_) return made_anew(*segment_);
  if (state->last < generation_) {
    // create() is just at it, or somebody has stored nonsense.
    return fail(state->last == 0 ? Code::lost : Code::corrupt,
                "the versions of the value make no sense", segment_->home());
  }
  return state->last;
}

Result<std::uint64_t> VersionedReader::version() const {
  const auto stamp = last();
  if (!stamp) return fail(stamp.error());
  return *stamp - generation_;
}

Result<std::uint64_t> VersionedReader::read(void* value) const {
  const std::uint64_t behind = stamp_at(value_bytes_);
  // A short slot is loaded in the order of its addresses, its stamp last, with one copy.
  std::array<std::byte, safe_copy_ordered_max> slot;
  const bool is_short = behind + sizeof(std::uint64_t) <= slot.size();
  for (int tries = 0; tries < versioned_tries_max; ++tries) {
    const auto stamp = last();
    if (!stamp) return fail(stamp.error());
    if (*stamp == generation_) {
      return fail(Code::not_found, "no version has been published yet", segment_->home());
    }
    const std::uint64_t at = offset_ + slot_at(value_bytes_, *stamp);
    const auto out = is_short ? std::span(slot.data(), behind + sizeof(std::uint64_t))
                              : std::span(static_cast<std::byte*>(value), value_bytes_);
    if (auto copied = segment_->read(at, out); !copied) return fail(copied.error());
    std::uint64_t found = 0;
    if (is_short) {
      std::memcpy(&found, slot.data() + behind, sizeof found);
    } else {
      order_after_long_copy();
      const auto after = read_as<std::uint64_t>(*segment_, at + behind);
      if (!after) return fail(after.error());
      found = *after;
    }
    if (found != *stamp) continue;
    if (is_short) std::memcpy(value, slot.data(), value_bytes_);
    return *stamp - generation_;
  }
  return fail(Code::busy, "the writer overtakes this reader again and again", segment_->home());
}

}  // namespace hive::lib

#include "machine/sips.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/check.h"
#include "base/safe_copy.h"

namespace hive::machine {
namespace {

constexpr std::size_t header_bytes = offsetof(SipsSlot, payload);
constexpr std::size_t first_line_payload = 64 - header_bytes;
static_assert(header_bytes == 16 && first_line_payload == 48);
static_assert(sips_payload_max % sizeof(std::uint64_t) == 0, "the sum is taken over whole words");

// What a receiver copies out: the bytes of a SipsSlot with nothing atomic about them.
struct SlotImage {
  std::uint32_t sequence;
  std::uint32_t sum;
  std::uint8_t from;
  std::uint8_t to;
  std::uint16_t length;
  std::uint32_t reserved;
  std::array<std::byte, sips_payload_max> payload;
};
static_assert(sizeof(SlotImage) == sizeof(SipsSlot));
static_assert(offsetof(SlotImage, payload) == offsetof(SipsSlot, payload));

constexpr std::size_t words_of(std::size_t length) { return (length + 7) / 8; }

// Not against malice, only against memory that somebody scribbled over: one multiplication a word.
std::uint32_t sum_of(std::uint32_t sequence, std::uint8_t from, std::uint8_t to,
                     std::uint16_t length, const std::byte* payload) noexcept {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
  std::uint64_t h = (std::uint64_t{sequence} << 32 | std::uint64_t{length} << 16 |
                     std::uint64_t{to} << 8 | from) *
                    odd;
  for (std::size_t i = 0; i < words_of(length); ++i) {
    std::uint64_t word;
    std::memcpy(&word, payload + i * 8, 8);
    h = ((h ^ word) + i) * odd;
    h ^= h >> 29;
  }
  return static_cast<std::uint32_t>(h ^ h >> 32);
}

}  // namespace

bool SipsSender::send(std::span<const std::byte> payload, std::uint32_t damage) noexcept {
  HIVE_CHECK(payload.size() <= sips_payload_max);
  if (sent_ - known_consumed_ >= sips_slots) {
    std::uint32_t consumed;
    if (!safe_load32(&consumed_->count, consumed)) return false;
    // It can only have gone up, and not past what was sent.
    if (consumed - known_consumed_ > sent_ - known_consumed_) return false;
    known_consumed_ = consumed;
    if (sent_ - known_consumed_ >= sips_slots) return false;
  }
  SipsSlot& slot = ring_->slots[sent_ % sips_slots];
  const auto length = static_cast<std::uint16_t>(payload.size());
  const std::size_t padded = words_of(length) * 8;
  std::ranges::copy(payload, slot.payload.begin());
  std::fill(slot.payload.begin() + length,
            slot.payload.begin() + static_cast<std::ptrdiff_t>(padded), std::byte{0});
  slot.from = static_cast<std::uint8_t>(from_);
  slot.to = static_cast<std::uint8_t>(to_);
  slot.length = length;
  slot.reserved = 0;
  const std::uint32_t sequence = ++sent_;
  slot.sum = sum_of(sequence, slot.from, slot.to, length, slot.payload.data()) ^ damage;
  slot.sequence.store(sequence, std::memory_order_release);
  return true;
}

const std::atomic<std::uint32_t>* SipsSender::last_sent_word() const noexcept {
  return &ring_->slots[(sent_ - 1) % sips_slots].sequence;
}

SipsReceived SipsReceiver::receive(SipsMessage& out) noexcept {
  const SipsSlot* slot = &ring_->slots[taken_ % sips_slots];
  const std::uint32_t expected = taken_ + 1;
  std::uint32_t sequence;
  if (!safe_load32(&slot->sequence, sequence)) return SipsReceived::unreadable;
  if (sequence != expected) {
    // Empty: never used, or still with the message of the lap before.
    const bool empty = sequence == expected - sips_slots || (sequence == 0 && taken_ < sips_slots);
    if (empty || sequence == garbage_seen_) return SipsReceived::none;
    garbage_seen_ = sequence;
    return SipsReceived::rejected;
  }

  SlotImage image;
  if (!safe_copy(&image, slot, 64)) return SipsReceived::unreadable;
  if (image.length > first_line_payload &&
      !safe_copy(image.payload.data() + first_line_payload,
                 reinterpret_cast<const std::byte*>(slot) + 64, 64)) {
    return SipsReceived::unreadable;
  }
  // From here on the message counts as taken, whatever is in it.
  garbage_seen_ = 0;
  consumed_->count.store(++taken_, std::memory_order_release);
  if (image.sequence != expected || image.length > sips_payload_max || image.from != from_ ||
      image.to != to_ ||
      image.sum != sum_of(expected, image.from, image.to, image.length, image.payload.data())) {
    return SipsReceived::rejected;
  }
  out.from = from_;
  out.length = image.length;
  std::memcpy(out.payload.data(), image.payload.data(),
              image.length <= first_line_payload ? first_line_payload : sips_payload_max);
  return SipsReceived::message;
}

const std::atomic<std::uint32_t>* SipsReceiver::next_word() const noexcept {
  return &ring_->slots[taken_ % sips_slots].sequence;
}

}  // namespace hive::machine

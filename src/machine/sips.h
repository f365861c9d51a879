// SIPS, the machine's short interprocessor send: messages of 128 bytes between ordered pairs of
// cells, in order, without a remote store. The ring lies in the sender's memory and is read by the
// receiver; the receiver's counter lies in the receiver's memory and is read by the sender.
//
//   sender's memory    slots[64]   written by the sender, read by the receiver
//   receiver's memory  consumed    written by the receiver, read by the sender
//
// A message is taken over by its sequence number, stored last: slot s carries message n, n+64, ...
// with sequence n+1. The receiver copies a message out before it looks at it; what does not fit
// (a sum, a sender, a length that is wrong) is dropped and counted. Plain memory, no system calls:
// both backends of the machine use it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ids.h"

namespace hive::machine {

inline constexpr std::uint32_t sips_slots = 64;
inline constexpr std::size_t sips_payload_max = 112;

struct alignas(64) SipsSlot {
  std::atomic<std::uint32_t> sequence{0};
  std::uint32_t sum = 0;  // over from, to, length, sequence and payload
  std::uint8_t from = 0;
  std::uint8_t to = 0;
  std::uint16_t length = 0;
  std::uint32_t reserved = 0;
  std::array<std::byte, sips_payload_max> payload{};  // the first 48 bytes share the header's line
};
static_assert(sizeof(SipsSlot) == 128);

struct SipsRing {
  std::array<SipsSlot, sips_slots> slots;
};

// A line of its own for each sender, so that counters do not disturb each other.
struct alignas(64) SipsConsumed {
  std::atomic<std::uint32_t> count{0};  // messages taken so far
};

struct SipsMessage {
  CellId from = -1;
  std::uint16_t length = 0;
  std::array<std::byte, sips_payload_max> payload;
  std::span<const std::byte> bytes() const { return {payload.data(), length}; }
};

// The sending end, for one receiver. One thread at a time.
class SipsSender {
 public:
  // `ring` in this node's memory; `consumed` in the receiver's (read with care).
  SipsSender(SipsRing* ring, const SipsConsumed* consumed, CellId from, CellId to)
      : ring_(ring), consumed_(consumed), from_(from), to_(to) {}
  // False when the ring is full (or the receiver's counter makes no sense, which is the same).
  // `damage` makes the sum wrong: a fault to be injected.
  bool send(std::span<const std::byte> payload, std::uint32_t damage = 0) noexcept;
  // The word that a sleeping receiver of replies waits on: the sequence of the next slot.
  const std::atomic<std::uint32_t>* last_sent_word() const noexcept;

 private:
  SipsRing* ring_;
  const SipsConsumed* consumed_;
  CellId from_;
  CellId to_;
  std::uint32_t sent_ = 0;
  std::uint32_t known_consumed_ = 0;
};

enum class SipsReceived : std::uint8_t { none, message, rejected, unreadable };

// The receiving end, for one sender. One thread at a time.
class SipsReceiver {
 public:
  // `ring` in the sender's memory (read with care); `consumed` in this node's.
  SipsReceiver(const SipsRing* ring, SipsConsumed* consumed, CellId from, CellId to)
      : ring_(ring), consumed_(consumed), from_(from), to_(to) {}
  SipsReceived receive(SipsMessage& out) noexcept;
  // The word whose change announces the next message, and the value it has until then is whatever
  // it holds now. For futex waits.
  const std::atomic<std::uint32_t>* next_word() const noexcept;
  std::uint32_t next_sequence() const noexcept { return taken_ + 1; }

 private:
  const SipsRing* ring_;
  SipsConsumed* consumed_;
  CellId from_;
  CellId to_;
  std::uint32_t taken_ = 0;
  std::uint32_t garbage_seen_ = 0;  // the last senseless sequence, so that it is counted once
};

}  // namespace hive::machine

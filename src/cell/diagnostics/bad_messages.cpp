#include "cell/diagnostics/bad_messages.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include <unistd.h>

#include "base/time.h"
#include "cell/rpc/message.h"
#include "machine/node_header.h"

namespace hive::cell {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t sending_max_ns = ns_per_s;
constexpr useconds_t full_ring_pause_us = 200;

Bytes random_bytes(std::size_t count, std::mt19937_64& random) {
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A message as it lies in the ring, or random bytes where none was ever sent.
Bytes sent_before(const machine::SipsRing& ring, std::mt19937_64& random) {
  const machine::SipsSlot& slot = ring.slots[random() % machine::sips_slots];
  if (slot.sequence.load() == 0 || slot.length > machine::sips_payload_max) {
    return random_bytes(sizeof(RpcHeader), random);
  }
  return {slot.payload.begin(), slot.payload.begin() + slot.length};
}

// A header of the right lives and lengths, in front of anything.
Bytes plausible(const machine::SipsRing& ring, std::mt19937_64& random) {
  Bytes bytes = random_bytes(sizeof(RpcHeader) + random() % (rpc_body_max + 1), random);
  const Bytes before = sent_before(ring, random);
  RpcHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (before.size() >= sizeof header) {
    RpcHeader sound;
    std::memcpy(&sound, before.data(), sizeof sound);
    header.from_incarnation = sound.from_incarnation;
    header.to_incarnation = sound.to_incarnation;
  }
  header.length = static_cast<std::uint8_t>(bytes.size() - sizeof header);
  header.kind = static_cast<std::uint8_t>(random() % 4);
  header.reserved = 0;
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Bytes make(const std::string& how, const machine::SipsRing& ring, std::mt19937_64& random) {
  if (how == "garbage") {
    return random() % 2 == 0 ? plausible(ring, random)
                             : random_bytes(random() % (machine::sips_payload_max + 1), random);
  }
  Bytes bytes = sent_before(ring, random);
  if (how == "truncate" && !bytes.empty()) bytes.resize(random() % bytes.size());
  return bytes;
}

}  // namespace

Result<std::int64_t> send_bad_messages(RpcEndpoint& rpc, const machine::Layout& layout,
                                       CellId self, CellId to, const std::string& how,
                                       std::int64_t count, std::uint64_t seed) {
  if (to < 0 || to >= static_cast<CellId>(layout.cells) || to == self) {
    return fail(Code::bad_argument, "there is no such other cell", to);
  }
  if (how != "garbage" && how != "replay" && how != "truncate") {
    return fail(Code::bad_argument, "how is garbage, replay or truncate", self);
  }
  if (count < 1 || count > bad_messages_max) {
    return fail(Code::bad_argument, "the number of messages is out of range", self);
  }
  const machine::NodeHeader* header = machine::node_header(layout, self);
  const auto& ring = reinterpret_cast<const machine::SipsRing*>(layout.kernel_begin(self) +
                                                                header->rings_offset)[to];
  std::mt19937_64 random(seed);
  const std::uint64_t deadline_ns = now_ns() + sending_max_ns;
  std::int64_t sent = 0;
  while (sent < count) {
    const Bytes bytes = make(how, ring, random);
    const bool garbled = how == "garbage" && random() % 4 == 0;
    while (!rpc.send_raw(to, bytes, garbled)) {
      if (now_ns() >= deadline_ns) return sent;
      ::usleep(full_ring_pause_us);
    }
    ++sent;
  }
  return sent;
}

}  // namespace hive::cell

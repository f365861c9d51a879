// The RPC message, as it travels in the payload of one SIPS message. Header and a null body take
// 24 bytes, so that a null request or reply lies in the one cache line that SIPS writes anyway.
//
// A message says nothing of how it is to be served (at interrupt level or queued): the receiver's
// own table does, so that no message can have a handler run in the wrong place.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <hive/error.h>
#include "machine/sips.h"

namespace hive::cell {

enum class RpcKind : std::uint8_t { request = 1, one_way = 2, reply = 3 };

struct RpcHeader {
  std::uint64_t id = 0;                // of a request: one more for each message to this receiver
  std::uint32_t from_incarnation = 0;  // low halves: what is meant for, or comes from, an earlier
  std::uint32_t to_incarnation = 0;    // life of a cell is stale
  std::uint16_t opcode = 0;
  std::uint16_t slot = 0;    // the caller's; a reply repeats id, slot and opcode
  std::uint8_t kind = 0;     // RpcKind
  std::uint8_t status = 0;   // of a reply: 0, or 1 + hive::Code
  std::uint8_t length = 0;   // of the body
  std::uint8_t reserved = 0;
};
static_assert(sizeof(RpcHeader) == 24);
static_assert(sizeof(RpcHeader) <= 48, "a null message shares the line of the SIPS header");

inline constexpr std::size_t rpc_body_max = machine::sips_payload_max - sizeof(RpcHeader);
inline constexpr std::uint16_t rpc_opcodes_max = 256;  // opcodes are 1 .. 255
inline constexpr std::uint16_t rpc_no_slot = 0xffff;   // of a one-way message
inline constexpr std::uint8_t rpc_status_max = 1 + static_cast<std::uint8_t>(Code::host);

struct RpcMessage {
  RpcHeader header;
  std::array<std::byte, rpc_body_max> body;  // header.length of it is there
  std::span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(this), sizeof(RpcHeader) + header.length};
  }
};
static_assert(sizeof(RpcMessage) == machine::sips_payload_max);

// The body of a reply that carries an error. `cause` is an index into proto/causes.h.
struct RpcErrorBody {
  std::uint16_t cause = 0;
  std::int16_t cell = -1;
  std::int32_t sys_errno = 0;
  Range lost_range = {};
};
static_assert(sizeof(RpcErrorBody) == 24);

}  // namespace hive::cell

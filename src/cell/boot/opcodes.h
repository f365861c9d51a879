// What cells ask each other: the operation codes of RPC and their bodies.
#pragma once

#include <array>
#include <cstdint>

#include "cell/rpc/message.h"

namespace hive::cell {

inline constexpr std::uint16_t op_null = 1;  // interrupt level; for measuring, and as a ping
inline constexpr std::uint16_t op_null_queued = 2;   // queued
// Queued; NameBody -> nothing, or exists / busy.
inline constexpr std::uint16_t op_name_reserve = 3;
inline constexpr std::uint16_t op_name_release = 4;  // queued, one-way; NameBody
inline constexpr std::uint16_t op_signal_task = 5;   // queued; SignalBody -> nothing
inline constexpr std::uint16_t op_file_order = 6;    // queued; files/home_orders.h
inline constexpr std::uint16_t op_file_done = 7;     // queued; the same

struct NameBody {
  std::array<char, 64> name{};  // ends with a zero byte
};
struct SignalBody {
  std::uint64_t task = 0;
  std::int32_t signal = 0;
  std::int32_t reserved = 0;
};
static_assert(sizeof(NameBody) <= rpc_body_max && sizeof(SignalBody) <= rpc_body_max);

}  // namespace hive::cell

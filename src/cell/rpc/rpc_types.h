// What handlers and callers of RPC see.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <type_traits>

#include <hive/error.h>
#include "base/check.h"
#include "base/ids.h"
#include "cell/rpc/message.h"

namespace hive::cell {

// Something that is wrong with a peer.
enum class RpcHint : std::uint8_t {
  no_answer,  // it did not answer in time, or takes no messages
  garbage,    // a message that makes no sense
  bus_error,  // its ring can not be read
};

// A request as a handler gets it: a local copy, of the right length to be looked at, whose
// contents are still input from another cell.
struct RpcRequest {
  CellId from = -1;
  std::uint16_t opcode = 0;
  std::span<const std::byte> body;

  // The body as a T; false when its length is another.
  template <class T>
  bool get(T& out) const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= rpc_body_max);
    if (body.size() != sizeof out) return false;
    std::memcpy(&out, body.data(), sizeof out);
    return true;
  }
};

struct RpcReply {
  RpcReply() noexcept {}  // NOLINT: the bytes beyond `length` mean nothing and stay as they are
  std::uint8_t length = 0;
  std::array<std::byte, rpc_body_max> bytes;

  std::span<const std::byte> body() const { return {bytes.data(), length}; }
  template <class T>
  void set(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= rpc_body_max);
    std::memcpy(bytes.data(), &value, sizeof value);
    length = sizeof(T);
  }
  template <class T>
  bool get(T& out) const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= rpc_body_max);
    if (length != sizeof out) return false;
    std::memcpy(&out, bytes.data(), sizeof out);
    return true;
  }
};

// Fills `reply` (empty at first) or returns an error, which the caller gets with its code, cell
// and, if it is one of proto/causes.h, its cause. For one-way messages the result goes nowhere.
using RpcHandler = std::function<Result<void>(const RpcRequest& request, RpcReply& reply)>;

}  // namespace hive::cell

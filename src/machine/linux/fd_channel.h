// Messages with file descriptors over a SOCK_SEQPACKET Unix socket. Each message is whole or
// absent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"

namespace hive::machine {

inline constexpr std::size_t channel_fds_max = 16;
inline constexpr std::size_t channel_bytes_max = 64 * 1024;

struct ChannelMessage {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;  // close-on-exec
  bool end = false;           // the peer has closed

  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

// Both ends, close-on-exec.
Result<std::pair<UniqueFd, UniqueFd>> channel_pair();

// A listening socket at `path` (created with mode 0600; an old file there is replaced), and a
// connection to one. connect: not_found if nothing listens, timed_out if nobody takes it in 2 s.
Result<UniqueFd> channel_listen(const std::string& path);
Result<UniqueFd> channel_connect(const std::string& path);

// deadline_ns: absolute; 0 = do not wait. Errors: timed_out, exhausted (descriptors), host
// (also when the peer is gone: EPIPE). Never raises SIGPIPE.
Result<void> channel_send(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                          std::uint64_t deadline_ns);
Result<ChannelMessage> channel_receive(int socket, std::uint64_t deadline_ns);

// The user and process at the other end, as Linux knows them.
struct PeerCredentials {
  std::int32_t pid = 0;
  std::uint32_t uid = 0;
};
Result<PeerCredentials> channel_peer(int socket);

// The bytes of a plain structure, or the characters of a text.
template <class T>
requires(std::is_trivially_copyable_v<T> && !std::is_convertible_v<const T&, std::string_view>)
    std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace hive::machine

#include "machine/linux/fd_channel.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/time.h"

namespace hive::machine {
namespace {

constexpr int backlog = 128;
constexpr time_t connect_timeout_s = 2;

Failure host_error(const char* cause) { return fail(Code::host, cause, -1, errno); }

Failure transfer_error(const char* cause) {
  switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ETOOMANYREFS:
      return fail(Code::exhausted, cause, -1, errno);
    case EMSGSIZE:
      return fail(Code::bad_argument, cause, -1, errno);
    default:
      return fail(Code::host, cause, -1, errno);
  }
}

// Waits for `events`; an error or a hang-up counts as ready, since the call that follows reports
// it.
Result<void> wait_ready(int socket, short events, std::uint64_t deadline_ns) {
  for (;;) {
    const std::uint64_t now = deadline_ns == 0 ? 0 : now_ns();
    const std::uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    pollfd wait{.fd = socket, .events = events, .revents = 0};
    const timespec timeout = to_timespec(left);
    const int ready = ::ppoll(&wait, 1, &timeout, nullptr);
    if (ready > 0) return {};
    if (ready == 0 && left == 0)
      return fail(Code::timed_out, "no message could be passed in time");
    if (ready < 0 && errno != EINTR) return host_error("poll");
  }
}

// An address for a path of any length: what does not fit into sockaddr_un goes through its folder.
struct Address {
  sockaddr_un address{};
  UniqueFd folder;
};

Result<Address> address_of(const std::string& path) {
  Address result;
  result.address.sun_family = AF_UNIX;
  std::string text = path;
  if (text.size() >= sizeof result.address.sun_path) {
    const auto slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    result.folder.reset(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!result.folder) {
      if (errno == ENOENT)
        return fail(Code::not_found, "the socket's folder is not there", -1, errno);
      return host_error("cannot open the socket's folder");
    }
    text = "/proc/self/fd/" + std::to_string(result.folder.get()) + "/" + path.substr(slash + 1);
  }
  if (path.empty() || text.size() >= sizeof result.address.sun_path) {
    return fail(Code::bad_argument, "the name of the socket is empty or too long");
  }
  std::ranges::copy(text, result.address.sun_path);
  return result;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

struct alignas(cmsghdr) ControlBuffer {
  std::array<char, CMSG_SPACE(sizeof(int) * channel_fds_max)> bytes{};
};

void take_descriptors(msghdr& header, std::vector<UniqueFd>& fds) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> channel_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return transfer_error("socketpair");
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<UniqueFd> channel_listen(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return transfer_error("socket");
  // The mode of the socket is the mode of the file that bind() makes, so that it is never wider.
  if (::fchmod(socket.get(), 0600) != 0) return host_error("fchmod of a socket");
  // Bound under another name first, so that nobody ever finds the path without a listener.
  const std::string fresh = path + "." + std::to_string(::getpid());
  auto address = address_of(fresh);
  if (!address) return fail(address.error());
  ::unlink(fresh.c_str());
  if (::bind(socket.get(), generic(address->address), sizeof(sockaddr_un)) != 0) {
    return host_error("cannot bind the socket");
  }
  if (::listen(socket.get(), backlog) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) {
    const Failure failure = host_error("cannot put the socket in its place");
    ::unlink(fresh.c_str());
    return failure;
  }
  return socket;
}

Result<UniqueFd> channel_connect(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return transfer_error("socket");
  auto address = address_of(path);
  if (!address) return fail(address.error());
  // A process that is stopped, with as many waiting to connect as fit, would keep us for ever.
  const timeval timeout{connect_timeout_s, 0};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0) {
    return host_error("cannot limit the time to connect");
  }
  while (::connect(socket.get(), generic(address->address), sizeof(sockaddr_un)) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) {
      return fail(Code::not_found, "nothing listens on the socket", -1, errno);
    }
    if (errno == EAGAIN) return fail(Code::timed_out, "nobody takes the connection");
    return host_error("cannot connect to the socket");
  }
  return socket;
}

Result<void> channel_send(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                          std::uint64_t deadline_ns) {
  // An empty message could not be told from the end of the channel.
  if (bytes.empty() || bytes.size() > channel_bytes_max || fds.size() > channel_fds_max) {
    return fail(Code::bad_argument, "a message is empty or too long");
  }
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  ControlBuffer control;
  if (!fds.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return transfer_error("cannot send a message");
    if (auto ready = wait_ready(socket, POLLOUT, deadline_ns); !ready) return ready;
  }
}

Result<ChannelMessage> channel_receive(int socket, std::uint64_t deadline_ns) {
  for (;;) {
    // The length first, so that short messages do not pay for the longest one.
    const ssize_t length = ::recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) {
      if (auto ready = wait_ready(socket, POLLIN, deadline_ns); !ready) return fail(ready.error());
      continue;
    }
    if (length < 0 && errno != ECONNRESET) return transfer_error("cannot receive a message");
    ChannelMessage message;
    if (length <= 0) {
      message.end = true;
      return message;
    }
    const auto wanted = std::min(static_cast<std::size_t>(length), channel_bytes_max);
    message.bytes.resize(wanted);
    iovec data{message.bytes.data(), wanted};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    ControlBuffer control;
    header.msg_control = control.bytes.data();
    header.msg_controllen = control.bytes.size();
    const ssize_t got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;  // another reader took it
    if (got < 0) return transfer_error("cannot receive a message");
    take_descriptors(header, message.fds);
    message.bytes.resize(static_cast<std::size_t>(got));
    if (header.msg_flags & MSG_CTRUNC) {
      return fail(Code::exhausted, "no descriptors left for those of a message", -1, EMFILE);
    }
    if (header.msg_flags & MSG_TRUNC) {
      return fail(Code::corrupt, "a message is longer than any of ours");
    }
    return message;
  }
}

Result<PeerCredentials> channel_peer(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return host_error("SO_PEERCRED");
  }
  return PeerCredentials{peer.pid, peer.uid};
}

}  // namespace hive::machine

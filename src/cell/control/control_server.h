// The cell's socket: takes connections, tells attaching processes from requests of the command,
// and drops what is neither. Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <hive/error.h>
#include "base/fd.h"
#include "cell/control/event_loop.h"
#include "machine/linux/fd_channel.h"

namespace hive::cell {

inline constexpr std::size_t connections_max = 4096;

class Connection {
 public:
  Connection(EventLoop& loop, UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {}
  int socket() const { return socket_.get(); }
  bool open() const { return socket_.valid(); }

  // Sends one message; a peer that is gone or does not read is dropped at its next event.
  void send(std::span<const std::byte> bytes, std::span<const int> fds = {});
  void send(const nlohmann::json& answer);
  void close();

  // What this connection has become, once its first message has told.
  std::function<void(machine::ChannelMessage)> on_message;
  std::function<void()> on_close;

 private:
  EventLoop& loop_;
  UniqueFd socket_;
};
using ConnectionPtr = std::shared_ptr<Connection>;

class ControlServer {
 public:
  // `first_message`: of a new connection. Returns false for garbage: counted, connection dropped.
  using FirstMessage = std::function<bool(const ConnectionPtr&, machine::ChannelMessage)>;

  ControlServer(EventLoop& loop, FirstMessage first_message);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Listens at `path`. Errors: host.
  Result<void> listen(const std::string& path);
  void stop_listening();

  std::uint64_t garbage() const { return garbage_; }

 private:
  void accept_one();
  void on_readable(const ConnectionPtr& connection);
  void drop(const ConnectionPtr& connection);

  EventLoop& loop_;
  FirstMessage first_message_;
  UniqueFd listener_;
  std::string path_;
  std::map<int, ConnectionPtr> connections_;
  std::uint64_t garbage_ = 0;
};

}  // namespace hive::cell

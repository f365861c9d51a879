#include "cell/control/control_server.h"

#include <cerrno>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/control.h"

namespace hive::cell {
namespace {

// An answer that does not fit into a message goes in a memfd.
UniqueFd in_memory(const std::string& text) {
  UniqueFd file(::memfd_create("hive-answer", MFD_CLOEXEC));
  std::size_t done = 0;
  while (file && done < text.size()) {
    const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n <= 0) return {};
    done += static_cast<std::size_t>(n);
  }
  return file;
}

}  // namespace

void Connection::send(std::span<const std::byte> bytes, std::span<const int> fds) {
  if (!open()) return;
  if (!machine::channel_send(socket_.get(), bytes, fds, 0)) ::shutdown(socket_.get(), SHUT_RDWR);
}

void Connection::send(const nlohmann::json& answer) {
  using Json = nlohmann::json;
  const std::string text = answer.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= proto::control_inline_max) return send(machine::bytes_of(text));
  const UniqueFd file = in_memory(text);
  const int fd = file.get();
  send(machine::bytes_of(std::string_view(R"({"in":"memfd"})")), {&fd, file ? 1U : 0U});
}

void Connection::close() {
  if (!open()) return;
  loop_.forget(socket_.get());
  socket_.reset();
}

ControlServer::ControlServer(EventLoop& loop, FirstMessage first_message)
    : loop_(loop), first_message_(std::move(first_message)) {}

ControlServer::~ControlServer() {
  stop_listening();
  for (auto& [fd, connection] : connections_) connection->close();
}

Result<void> ControlServer::listen(const std::string& path) {
  auto listener = machine::channel_listen(path);
  if (!listener) return fail(listener.error());
  listener_ = std::move(*listener);
  path_ = path;
  if (!loop_.watch(listener_.get(), [this] { accept_one(); })) {
    return fail(Code::host, "the control socket can not be watched", -1, errno);
  }
  return {};
}

void ControlServer::stop_listening() {
  if (!listener_) return;
  loop_.forget(listener_.get());
  listener_.reset();
  ::unlink(path_.c_str());
}

void ControlServer::accept_one() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || connections_.size() >= connections_max) return;
  // A machine belongs to one user.
  const auto peer = machine::channel_peer(socket.get());
  if (!peer || (peer->uid != ::geteuid() && peer->uid != 0)) return;
  const int fd = socket.get();
  auto connection = std::make_shared<Connection>(loop_, std::move(socket));
  if (!loop_.watch(fd, [this, connection] { on_readable(connection); })) return;
  connections_[fd] = connection;
}

void ControlServer::on_readable(const ConnectionPtr& connection) {
  auto message = machine::channel_receive(connection->socket(), 0);
  if (!message) {
    if (message.error().code != Code::timed_out) drop(connection);
    return;
  }
  if (message->end) return drop(connection);
  if (const auto handler = connection->on_message) return handler(std::move(*message));
  if (!first_message_(connection, std::move(*message))) {
    ++garbage_;
    drop(connection);
  }
}

void ControlServer::drop(const ConnectionPtr& connection) {
  const ConnectionPtr keep = connection;  // the caller's reference goes with the callback
  connections_.erase(keep->socket());
  keep->close();
  if (auto closed = std::exchange(keep->on_close, nullptr)) closed();
}

}  // namespace hive::cell

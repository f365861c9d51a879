#include "cell/control/attach_server.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>

#include "cell/control/peers.h"
#include "machine/linux/power.h"

namespace hive::cell {
namespace {

constexpr std::size_t hello_fds_task = 2;    // pidfd, request memory
constexpr std::size_t hello_fds_kernel = 1;  // pidfd

template <class T>
bool read_as(const machine::ChannelMessage& message, T& out) {
  if (message.bytes.size() != sizeof out) return false;
  std::memcpy(&out, message.bytes.data(), sizeof out);
  return out.magic == proto::attach_magic;
}

// Magic and version come first in every version of the message, whatever its length: who has
// another version is to be told so. Of such a hello nothing else is read.
bool read_hello(const machine::ChannelMessage& message, proto::AttachHello& hello) {
  if (read_as(message, hello)) return true;
  if (message.bytes.size() < sizeof hello.magic + sizeof hello.version) return false;
  hello = {};
  std::memcpy(&hello.magic, message.bytes.data(), sizeof hello.magic);
  std::memcpy(&hello.version, message.bytes.data() + sizeof hello.magic, sizeof hello.version);
  return hello.magic == proto::attach_magic && hello.version != proto::protocol_version;
}

template <std::size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  to.fill(0);
  std::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

// A descriptor of the same file that can do nothing by itself.
UniqueFd path_only(const UniqueFd& file) {
  const std::string name = "/proc/self/fd/" + std::to_string(file.get());
  return UniqueFd(::open(name.c_str(), O_PATH | O_CLOEXEC));
}

}  // namespace

struct AttachServer::Session {
  ConnectionPtr connection;
  proto::AttachKind kind = proto::AttachKind::task;
  UniqueFd pidfd;
  ClientInfo info;
  TaskInfo task;          // of a task of this cell
  bool own_task = false;
  std::uint64_t incarnation = 0;  // of a kernel
  ClientRegistry::Gate gate;
  bool goodbye = false;   // it detaches on purpose
  bool ended = false;
  bool ready = false;         // news may be sent
  std::uint32_t missed = 0;   // news that it did not take
};

AttachServer::AttachServer(const Config& config, EventLoop& loop, machine::NodeMemory& memory,
                           TaskTable& tasks, ClientRegistry& clients, OwnDescriptors own,
                           proto::PageRoots pages, KernelAttachments kernels)
    : config_(config),
      loop_(loop),
      memory_(memory),
      tasks_(tasks),
      clients_(clients),
      own_(own),
      pages_(pages),
      kernels_(std::move(kernels)) {}

AttachServer::~AttachServer() = default;

bool AttachServer::serve(const ConnectionPtr& connection, machine::ChannelMessage message) {
  proto::AttachHello hello;
  if (!read_hello(message, hello)) return false;
  auto session = std::make_shared<Session>();
  session->connection = connection;
  if (auto begun = begin(*session, hello, message); !begun) {
    refuse(connection, begun.error());
    return true;
  }
  sessions_[session.get()] = session;
  connection->on_message = [this, session](machine::ChannelMessage next) {
    finish(session, std::move(next));
  };
  connection->on_close = [this, session] { end(session); };
  if (auto welcomed = welcome(*session); !welcomed) refuse(connection, welcomed.error());
  return true;
}

Result<void> AttachServer::begin(Session& session, const proto::AttachHello& hello,
                                 machine::ChannelMessage& message) {
  if (hello.version != proto::protocol_version) {
    return fail(Code::version, "the program's libhive is of another version than the machine",
                config_.self);
  }
  const bool is_task = hello.kind == proto::AttachKind::task;
  if ((!is_task && hello.kind != proto::AttachKind::kernel) || hello.cell < 0 ||
      hello.cell >= static_cast<CellId>(config_.layout.cells) ||
      message.fds.size() != (is_task ? hello_fds_task : hello_fds_kernel)) {
    return fail(Code::bad_argument, "the hello makes no sense", config_.self);
  }
  if (!is_task) {
    if (auto may = kernels_.may_attach(hello.cell, hello.incarnation); !may) return may;
  } else if (hello.cell == config_.self) {
    if (auto takes = kernels_.takes_tasks(); !takes) return takes;
  }
  session.kind = hello.kind;
  session.incarnation = hello.incarnation;
  session.pidfd = std::move(message.fds[0]);
  session.info.kind = is_task ? ClientKind::task : ClientKind::kernel;
  session.info.cell = hello.cell;
  session.info.task = hello.task;
  session.info.program = hello.program;
  session.info.program.back() = 0;
  if (is_task && hello.cell == config_.self) {
    auto task = tasks_.attach(hello.cookie, session.pidfd.get(), session.info.program.data());
    if (!task) return fail(task.error());
    session.task = *task;
    session.own_task = true;
    session.info.task = task->id;
    session.info.program = task->program;
  }
  auto gate = clients_.prepare(session.info, session.pidfd.get(),
                               is_task ? std::move(message.fds[1]) : UniqueFd());
  if (!gate) {
    if (session.own_task) tasks_.detached(session.info.task);
    return fail(gate.error());
  }
  session.gate = *gate;
  return {};
}

Result<void> AttachServer::welcome(Session& session) {
  auto kernel_memory = memory_.kernel_descriptor();
  auto user_memory = memory_.user_descriptor();
  if (!kernel_memory) return fail(kernel_memory.error());
  if (!user_memory) return fail(user_memory.error());

  proto::AttachWelcome welcome;
  welcome.accepted = 1;
  welcome.layout = config_.layout;
  welcome.incarnation = config_.incarnation;
  welcome.task = session.info.task;
  welcome.replies = session.gate.replies;
  welcome.pages = pages_;
  welcome.trusts_pages = config_.sabotage.sequence ? 1 : 0;
  welcome.firewall_mode = static_cast<std::uint32_t>(config_.firewall);
  welcome.node = config_.self;
  welcome.span_index = session.task.span_index;
  welcome.span_count = session.task.span_count;
  welcome.span_id = session.task.span_id;
  copy_text(welcome.machine, config_.machine);

  std::vector<int> fds = {kernel_memory->get(), user_memory->get(), own_.gate_doorbell};
  UniqueFd kernel_path;
  UniqueFd user_path;
  if (session.kind == proto::AttachKind::kernel) {
    kernel_path = path_only(*kernel_memory);
    user_path = path_only(*user_memory);
    if (!kernel_path || !user_path) {
      return fail(Code::exhausted, "the cell has no descriptor left", config_.self, errno);
    }
    fds[welcome_doorbell] = own_.receive_doorbell;
    fds.insert(fds.end(), {own_.power_pidfd, own_.starter_pidfd, own_.kernel_pidfd,
                           kernel_path.get(), user_path.get()});
  }
  session.connection->send(machine::bytes_of(welcome), fds);
  return {};
}

void AttachServer::finish(const SessionPtr& session, machine::ChannelMessage message) {
  const SessionPtr keep = session;  // the handler that holds it is about to be replaced
  const ConnectionPtr connection = keep->connection;
  // Only a goodbye is expected after the fence: whoever goes on talking is dropped.
  connection->on_message = [keep](machine::ChannelMessage last) {
    proto::AttachGoodbye goodbye;
    keep->goodbye = read_as(last, goodbye) && goodbye.goodbye == 1;
    if (keep->connection) ::shutdown(keep->connection->socket(), SHUT_RDWR);
  };
  proto::AttachFence fence;
  const bool fenced = config_.firewall != machine::FirewallMode::cooperative;
  proto::AttachReady ready;
  if (!read_as(message, fence) || message.fds.size() != (fenced ? 1U : 0U)) {
    ready.code = 1 + static_cast<std::uint32_t>(Code::bad_argument);
  } else {
    auto space = std::make_unique<machine::FencedSpace>(
        fenced ? std::move(message.fds[0]) : UniqueFd(), config_.layout, config_.self,
        config_.firewall, config_.sabotage);
    if (auto admitted = clients_.admit(keep->gate, std::move(space)); !admitted) {
      ready.code = 1 + static_cast<std::uint32_t>(admitted.error().code);
    }
  }
  // Its death is known through the pidfd also when a child of it keeps the connection open.
  if (ready.code == 0 && !loop_.watch(keep->pidfd.get(), [this, keep] {
        if (machine::pidfd_is_dead(keep->pidfd.get())) end(keep);
      })) {
    ready.code = 1 + static_cast<std::uint32_t>(Code::exhausted);
  }
  connection->send(machine::bytes_of(ready));
  keep->ready = ready.code == 0 && keep->kind == proto::AttachKind::task;
  if (ready.code != 0) {
    ::shutdown(connection->socket(), SHUT_RDWR);
  } else if (keep->kind == proto::AttachKind::kernel) {
    kernels_.attached(keep->info.cell, keep->incarnation);
  }
}

void AttachServer::end(const SessionPtr& session) {
  const SessionPtr keep = session;
  if (std::exchange(keep->ended, true)) return;
  loop_.forget(keep->pidfd.get());
  // A connection ends by death, or by exec, after the process's memory is gone: Linux takes down
  // the address space before the descriptors.
  clients_.remove(keep->gate, keep->goodbye ? Leave::detached : Leave::died);
  if (keep->own_task) tasks_.detached(keep->info.task);
  if (keep->kind == proto::AttachKind::kernel) {
    kernels_.gone(keep->info.cell, keep->incarnation);
  }
  sessions_.erase(keep.get());
  if (keep->connection->open()) ::shutdown(keep->connection->socket(), SHUT_RDWR);
  keep->connection->on_message = nullptr;
  keep->connection.reset();
}

void AttachServer::send_news(Session& session, proto::NewsMessage news) {
  if (!session.ready || session.ended || !session.connection) return;
  news.missed = session.missed;
  const auto sent =
      machine::channel_send(session.connection->socket(), machine::bytes_of(news), {}, 0);
  session.missed = sent ? 0 : session.missed + 1;
}

void AttachServer::tell(std::uint64_t gate, proto::NewsMessage news) {
  for (const auto& [key, session] : sessions_) {
    if (session->gate.number == gate) return send_news(*session, news);
  }
}

void AttachServer::tell_own_tasks(const proto::NewsMessage& news) {
  for (const auto& [key, session] : sessions_) {
    if (session->info.cell == config_.self) send_news(*session, news);
  }
}

void AttachServer::refuse(const ConnectionPtr& connection, const Error& error) {
  proto::AttachWelcome welcome;
  welcome.code = static_cast<std::uint32_t>(error.code);
  copy_text(welcome.cause, error.cause);
  connection->send(machine::bytes_of(welcome));
  ::shutdown(connection->socket(), SHUT_RDWR);
}

}  // namespace hive::cell

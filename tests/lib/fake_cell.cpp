// A cell that can do what libhive needs of one, and nothing else: real node memory, home and gate
// server, a plain attach server, no other cells' kernels. Run by FakeMachine:
//   lib_fake_cell DIR CELL CELLS USER_BYTES MODE
// Says "ready" on standard output, then obeys lines on standard input, each answered by a line:
//   live BITS    publishes that live set in a new epoch
//   clients      answers with the number of attached processes
//   fail         its memory fails (and with it, the cell)
// It ends when standard input does.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/futex.h"
#include "base/safe_copy.h"
#include "cell/gate/gate_server.h"
#include "cell/home/home.h"
#include "cell/home/late_space.h"
#include "fake_names.h"
#include "machine/linux/fd_channel.h"
#include "machine/linux/firewall.h"
#include "machine/linux/lifeline.h"
#include "proto/attach.h"
#include "proto/runtime_dir.h"

namespace hive::test {
namespace {

using machine::FirewallMode;

[[noreturn]] void give_up(const char* what, const std::string& why) {
  std::fprintf(stderr, "lib_fake_cell: %s: %s\n", what, why.c_str());
  std::_Exit(1);
}
template <class T>
T must(const char* what, Result<T> result) {
  if (!result) give_up(what, result.error().message());
  return std::move(*result);
}

struct Settings {
  std::string dir;
  CellId self = 0;
  machine::Layout layout;
  FirewallMode mode = FirewallMode::mmu;
};

class FakeCell {
 public:
  explicit FakeCell(Settings settings)
      : settings_(std::move(settings)), names_(settings_.dir, settings_.self) {
    if (auto done = machine::reserve_machine_range(settings_.layout); !done) {
      give_up("range", done.error().message());
    }
    memory_ = std::make_unique<machine::NodeMemory>(
        must("memory", machine::NodeMemory::create(settings_.layout, settings_.self, incarnation,
                                                   settings_.mode)));
    header_ = machine::node_header(settings_.layout, settings_.self);
    const std::uint64_t begin =
        settings_.layout.kernel_begin(settings_.self) + header_->heap_offset;
    heap_ = std::make_unique<cell::TaggedHeap>(
        reinterpret_cast<void*>(begin), settings_.layout.kernel_end(settings_.self) - begin);
    frames_ = std::make_unique<cell::NodeFrameMemory>(*memory_);
    home_ = must("home", cell::Home::create({.self = settings_.self,
                                             .layout = settings_.layout,
                                             .heap = heap_.get(),
                                             .memory = frames_.get(),
                                             .log = {}}));
    names_.set_home(home_.get());
    gates_ = must("gates", cell::GateServer::create({.self = settings_.self,
                                                     .heap = heap_.get(),
                                                     .home = home_.get(),
                                                     .names = &names_,
                                                     .asleep = &header_->gate_asleep,
                                                     .on_thread_start = {}}));
    publish(CellSet::first(static_cast<int>(settings_.layout.cells)));
    if (auto armed = machine::arm_lifelines(header_); !armed) {
      give_up("lifelines", armed.error().message());
    }
    gates_->start();
    listener_ =
        must("socket", machine::channel_listen(proto::cell_socket(settings_.dir, settings_.self)));
    std::thread([this] { accept_all(); }).detach();
    std::thread([this] { tick(); }).detach();
  }

  void publish(CellSet live) {
    header_->live_set.store(live.bits());
    header_->epoch.fetch_add(1);
    header_->epoch_word.store(static_cast<std::uint32_t>(header_->epoch.load()));
    futex_wake(&header_->epoch_word, 1 << 20);
  }
  int clients() const { return clients_.load(); }
  void fail_memory() { memory_->fail(); }

 private:
  static constexpr std::uint64_t incarnation = 1;
  static constexpr std::uint64_t tick_ns = 5 * ns_per_ms;

  void tick() {
    while (true) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(tick_ns));
      gates_->watch(now_ns());
      home_->on_tick(now_ns());
    }
  }

  void accept_all() {
    while (true) {
      UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) continue;
      std::thread([this, s = std::make_shared<UniqueFd>(std::move(socket))] {
        serve(s->get());
      }).detach();
    }
  }

  template <class T>
  static bool receive(int socket, T& out, std::vector<UniqueFd>& fds) {
    auto message = machine::channel_receive(socket, now_ns() + 10 * ns_per_s);
    if (!message || message->end || message->bytes.size() != sizeof out) return false;
    std::memcpy(&out, message->bytes.data(), sizeof out);
    fds = std::move(message->fds);
    return out.magic == proto::attach_magic;
  }

  void serve(int socket) {
    proto::AttachHello hello;
    std::vector<UniqueFd> fds;
    if (!receive(socket, hello, fds) || fds.size() != 2) return;
    proto::AttachWelcome welcome;
    if (hello.program[0] == 0 || hello.cookie == 13) return refuse(socket);
    welcome.task = hello.cell == settings_.self ? number_++ : hello.task;
    cell::ClientInfo info;
    info.task = welcome.task;
    info.cell = hello.cell;
    info.program = hello.program;
    auto space = std::make_shared<cell::LateSpace>();
    const auto client = must("client", home_->add_client(info, space));
    welcome.replies = must(
        "gate", gates_->add(client, must("requests", cell::RequestPages::map(std::move(fds[1])))));
    fill(welcome, hello);
    clients_.fetch_add(1);
    if (shake_hands(socket, welcome, *space)) {
      auto end = machine::channel_receive(socket, ~std::uint64_t{0} >> 1);
    }
    gates_->remove(client);
    home_->remove_client(client, cell::Leave::died);
    clients_.fetch_sub(1);
  }

  void refuse(int socket) {
    proto::AttachWelcome welcome;
    welcome.code = static_cast<std::uint32_t>(Code::exhausted);
    std::strcpy(welcome.cause.data(), "the fake cell takes no thirteenth");
    (void)machine::channel_send(socket, machine::bytes_of(welcome), {}, now_ns() + ns_per_s);
  }

  void fill(proto::AttachWelcome& welcome, const proto::AttachHello& hello) {
    welcome.accepted = 1;
    welcome.layout = settings_.layout;
    welcome.incarnation = incarnation;
    welcome.firewall_mode = static_cast<std::uint32_t>(settings_.mode);
    welcome.node = settings_.self;
    if (hello.cookie == 77) {
      welcome.span_index = 2;
      welcome.span_count = 3;
      std::strcpy(welcome.span_id.data(), "run-77");
    }
  }

  bool shake_hands(int socket, const proto::AttachWelcome& welcome, cell::LateSpace& space) {
    const UniqueFd kernel = must("kernel memory", memory_->kernel_descriptor());
    const UniqueFd user = must("user memory", memory_->user_descriptor());
    const std::array<int, 3> sent = {kernel.get(), user.get(), gates_->doorbell()};
    const std::uint64_t deadline = now_ns() + 10 * ns_per_s;
    if (!machine::channel_send(socket, machine::bytes_of(welcome), sent, deadline)) return false;
    proto::AttachFence fence;
    std::vector<UniqueFd> fds;
    if (!receive(socket, fence, fds)) return false;
    UniqueFd userfault = fds.empty() ? UniqueFd() : std::move(fds.front());
    space.arrive(std::make_unique<machine::FencedSpace>(std::move(userfault), settings_.layout,
                                                        settings_.self, settings_.mode));
    return machine::channel_send(socket, machine::bytes_of(proto::AttachReady{}), {}, deadline)
        .has_value();
  }

  const Settings settings_;
  FakeNames names_;
  std::unique_ptr<machine::NodeMemory> memory_;
  machine::NodeHeader* header_ = nullptr;
  std::unique_ptr<cell::TaggedHeap> heap_;
  std::unique_ptr<cell::NodeFrameMemory> frames_;
  std::unique_ptr<cell::Home> home_;
  std::unique_ptr<cell::GateServer> gates_;
  UniqueFd listener_;
  std::atomic<std::uint64_t> number_{static_cast<std::uint64_t>(settings_.self) * 1'000'000 + 1};
  std::atomic<int> clients_{0};
};

void obey(FakeCell& cell) {
  std::string word;
  while (std::cin >> word) {
    if (word == "live") {
      std::uint64_t bits = 0;
      std::cin >> bits;
      cell.publish(CellSet(bits));
      std::cout << "done" << std::endl;
    } else if (word == "clients") {
      std::cout << cell.clients() << std::endl;
    } else if (word == "fail") {
      std::cout << "done" << std::endl;
      cell.fail_memory();
    }
  }
}

}  // namespace
}  // namespace hive::test

int main(int argc, char** argv) {
  using namespace hive;
  if (argc != 6) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  install_safe_copy_handler();
  test::Settings settings;
  settings.dir = argv[1];
  settings.self = std::stoi(argv[2]);
  settings.layout = machine::make_layout(std::stoi(argv[3]), std::stoull(argv[4]));
  settings.mode = static_cast<machine::FirewallMode>(std::stoi(argv[5]));
  test::FakeCell cell(settings);
  std::cout << "ready" << std::endl;
  test::obey(cell);
  std::_Exit(0);
}

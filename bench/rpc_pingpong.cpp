// How fast RPC is against its baselines, outside of a booted machine: two processes, each of which
// can only read the memory of the other, as cells are.
//   spin    null RPC, both sides spinning    against    a bare ping-pong of two cache lines
//   sleep   null RPC, both sides asleep      against    a ping-pong of two eventfds
// Interleaved rounds, medians. Usage: rpc_pingpong [cpu of the caller] [cpu of the receiver]
#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "cell/rpc/linux_hardware.h"
#include "cell/rpc/rpc_endpoint.h"

namespace {

using namespace hive;
using namespace hive::cell;

constexpr std::uint16_t op_null = 1;
constexpr std::uint16_t op_queued = 2;
constexpr int spin_rounds = 31;
constexpr int spin_calls = 20000;  // so many that waking the receiver first does not count
constexpr int sleep_rounds = 21;
constexpr int sleep_calls = 1000;

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// A thread that is on its processor from the beginning, whatever the scheduling class.
template <class Body>
std::thread thread_on(int cpu, Body body) {
  cpu_set_t own;
  pthread_getaffinity_np(pthread_self(), sizeof own, &own);
  pin(cpu);
  std::thread thread(body);
  pthread_setaffinity_np(pthread_self(), sizeof own, &own);
  return thread;
}

// A node whose memory is mapped at its place in the layout.
class Node {
 public:
  Node(const machine::Layout& layout, CellId self, RpcEndpoint::Options options) {
    void* at = reinterpret_cast<void*>(layout.kernel_begin(self));
    const UniqueFd memory(::memfd_create("node", MFD_CLOEXEC));
    HIVE_CHECK(::ftruncate(memory.get(), static_cast<off_t>(layout.kernel_bytes)) == 0);
    HIVE_CHECK(::mmap(at, layout.kernel_bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, memory.get(), 0) == at);
    auto* header = machine::node_header(layout, self);
    header->magic = machine::node_magic;
    header->node = static_cast<std::uint32_t>(self);
    header->rings_offset = machine::page_bytes;
    header->consumed_offset = header->rings_offset + layout.cells * sizeof(machine::SipsRing);
    hardware = std::make_unique<LinuxHardware>(layout, self, *LinuxHardware::make_doorbell());
    rpc = std::make_unique<RpcEndpoint>(*hardware, *hardware, 1 + static_cast<unsigned>(self),
                                        options);
    rpc->serve(op_null, RpcLevel::interrupt,
               [](const RpcRequest&, RpcReply&) { return Result<void>(); });
    rpc->serve(op_queued, RpcLevel::queued,
               [](const RpcRequest&, RpcReply&) { return Result<void>(); });
  }
  // What the other process may do with the memory of this node.
  static void only_read(const machine::Layout& layout, CellId node) {
    void* at = reinterpret_cast<void*>(layout.kernel_begin(node));
    HIVE_CHECK(::mprotect(at, layout.kernel_bytes, PROT_READ) == 0);
  }
  void connect(Node& other, CellId peer) {
    PeerDescriptors descriptors;
    descriptors.doorbell = UniqueFd(::dup(other.hardware->own_doorbell()));
    HIVE_CHECK(hardware->connect(peer, std::move(descriptors)).has_value());
    rpc->connect(peer, 1 + static_cast<unsigned>(peer));
  }
  std::unique_ptr<LinuxHardware> hardware;
  std::unique_ptr<RpcEndpoint> rpc;
};

double rpc_round(Node& caller, std::uint16_t opcode, int calls) {
  const std::uint64_t begin = now_ns();
  for (int i = 0; i < calls; ++i) {
    HIVE_CHECK(caller.rpc->call(1, opcode, {}, ns_per_s).has_value());
  }
  return static_cast<double>(now_ns() - begin) / calls;
}

struct Lines {
  alignas(128) std::atomic<std::uint32_t> ping{0};
  alignas(128) std::atomic<std::uint32_t> pong{0};
};

double lines_round(int cpu, int calls) {
  auto lines = std::make_unique<Lines>();
  std::thread other = thread_on(cpu, [&] {
    for (std::uint32_t i = 1; i <= static_cast<std::uint32_t>(calls) + 1; ++i) {
      while (lines->ping.load(std::memory_order_acquire) != i) cpu_relax();
      lines->pong.store(i, std::memory_order_release);
    }
  });
  std::uint64_t begin = 0;
  for (std::uint32_t i = 1; i <= static_cast<std::uint32_t>(calls) + 1; ++i) {
    lines->ping.store(i, std::memory_order_release);
    while (lines->pong.load(std::memory_order_acquire) != i) cpu_relax();
    if (i == 1) begin = now_ns();
  }
  const std::uint64_t end = now_ns();
  other.join();
  return static_cast<double>(end - begin) / calls;
}

double eventfd_round(int cpu, int calls) {
  const UniqueFd ping(::eventfd(0, 0));
  const UniqueFd pong(::eventfd(0, 0));
  std::uint64_t value = 1;
  std::thread other = thread_on(cpu, [&] {
    std::uint64_t v = 1;
    for (int i = 0; i <= calls; ++i) {
      HIVE_CHECK(::read(ping.get(), &v, 8) == 8);
      v = 1;
      HIVE_CHECK(::write(pong.get(), &v, 8) == 8);
    }
  });
  std::uint64_t begin = 0;
  for (int i = 0; i <= calls; ++i) {
    value = 1;
    HIVE_CHECK(::write(ping.get(), &value, 8) == 8);
    HIVE_CHECK(::read(pong.get(), &value, 8) == 8);
    if (i == 0) begin = now_ns();
  }
  const std::uint64_t end = now_ns();
  other.join();
  return static_cast<double>(end - begin) / calls;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Two machines of two nodes each: one that spins where that pays, one that always sleeps.
struct Pair {
  Pair(const machine::Layout& layout, RpcEndpoint::Options options)
      : machine(layout), caller(layout, 0, options), receiver(layout, 1, options) {
    caller.connect(receiver, 1);
    receiver.connect(caller, 0);
  }
  machine::Layout machine;
  Node caller;
  Node receiver;
};

[[noreturn]] void be_receiver(std::array<Pair*, 2> pairs, int cpu) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(cpu);
  std::vector<std::thread> threads;
  for (Pair* pair : pairs) {
    Node::only_read(pair->machine, 0);
    pair->receiver.rpc->start();
    threads.emplace_back([pair] {
      for (;;) pair->receiver.rpc->receive_loop_once(now_ns() + 10 * ns_per_ms);
    });
  }
  for (;;) ::pause();
}

void compare(const char* name, std::vector<double> ours, std::vector<double> theirs) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
  std::ranges::sort(ratios);
  std::printf("%-8s median %9.1f ns, baseline %9.1f ns, ratio %.2f (%.2f .. %.2f); "
              "best %.1f and %.1f\n",
              name, median(ours), median(theirs), ratios[ratios.size() / 2],
              ratios[ratios.size() / 10], ratios[ratios.size() * 9 / 10],
              *std::ranges::min_element(ours), *std::ranges::min_element(theirs));
}

}  // namespace

int main(int argc, char** argv) {
  const int caller_cpu = argc > 1 ? std::atoi(argv[1]) : 0;
  const int receiver_cpu = argc > 2 ? std::atoi(argv[2]) : 1;
  install_safe_copy_handler();
  pin(caller_cpu);
  const auto layout = machine::make_layout(2, 1 << 20);
  auto sleepy_layout = layout;
  sleepy_layout.base = layout.end();
  RpcEndpoint::Options asleep;
  asleep.spin = false;
  Pair spinning(layout, {});
  Pair sleeping(sleepy_layout, asleep);
  const pid_t child = ::fork();
  if (child == 0) be_receiver({&spinning, &sleeping}, receiver_cpu);
  for (const Pair* pair : {&spinning, &sleeping}) Node::only_read(pair->machine, 1);

  std::vector<double> rpc, queued, lines, eventfds;
  if (caller_cpu != receiver_cpu) {
    rpc_round(spinning.caller, op_null, spin_calls);
    for (int i = 0; i < spin_rounds; ++i) {
      rpc.push_back(rpc_round(spinning.caller, op_null, spin_calls));
      lines.push_back(lines_round(receiver_cpu, spin_calls));
    }
    compare("spin", rpc, lines);
    rpc.clear();
  }
  for (int i = 0; i < sleep_rounds; ++i) {
    rpc.push_back(rpc_round(sleeping.caller, op_null, sleep_calls));
    eventfds.push_back(eventfd_round(receiver_cpu, sleep_calls));
    queued.push_back(rpc_round(sleeping.caller, op_queued, sleep_calls));
  }
  compare("sleep", rpc, eventfds);
  compare("queued", queued, eventfds);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return 0;
}

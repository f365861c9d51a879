// RPC between two processes, each of which can only read the other's memory, as cells are.
#include <cstdint>
#include <thread>

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/safe_copy.h"
#include "rpc_node.h"

namespace hive::test {
namespace {

constexpr std::uint64_t patient = 60 * ns_per_s;
constexpr std::uint16_t op_hang = op_first_own;

class RpcProcesses : public ::testing::TestWithParam<bool> {
 protected:
  RpcProcesses() {
    install_safe_copy_handler();
    cell::RpcEndpoint::Options options;
    options.spin = GetParam();
    here.emplace(layout, 0, options);
    there.emplace(layout, 1, options);
    for (auto* node : {&here, &there}) {
      (*node)->rpc.serve(op_hang, cell::RpcLevel::interrupt,
                         [](const cell::RpcRequest&, cell::RpcReply&) -> Result<void> {
                           for (;;) ::pause();
                         });
    }
    RpcNode::join(*here, *there);
    const pid_t parent = ::getpid();
    child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      here->memory.make_read_only();
      there->rpc.start();
      for (;;) there->rpc.receive_loop_once(now_ns() + 10 * ns_per_ms);
    }
    there->memory.make_read_only();
  }
  ~RpcProcesses() override {
    if (child > 0) end_child();
  }
  void end_child() {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    child = -1;
  }

  static inline const machine::Layout layout = machine::make_layout(2, std::uint64_t{1} << 20);
  std::optional<RpcNode> here;
  std::optional<RpcNode> there;  // its endpoint runs in the child
  pid_t child = -1;
};
INSTANTIATE_TEST_SUITE_P(SpinOrSleep, RpcProcesses, ::testing::Bool());

TEST_P(RpcProcesses, CallsNeedNoRemoteStore) {
  for (std::uint64_t i = 0; i < 300; ++i) {
    for (const std::uint16_t opcode : {op_echo, op_echo_queued}) {
      auto echoed = here->rpc.call_for<std::uint64_t>(1, opcode, i, patient);
      ASSERT_TRUE(echoed.has_value()) << echoed.error().cause;
      ASSERT_EQ(*echoed, i);
    }
  }
}

TEST_P(RpcProcesses, AKilledCellIsATimeoutUntilItIsMarkedDown) {
  ASSERT_TRUE(here->rpc.call(1, op_echo, {}, patient).has_value());
  std::thread caller([&] {
    auto hanging = here->rpc.call(1, op_hang, {}, patient);
    EXPECT_EQ(hanging.error().code, Code::cell_down);
  });
  while (here->memory.header()->reply_sleepers.load() == 0) std::this_thread::yield();
  end_child();
  EXPECT_EQ(here->rpc.call(1, op_echo, {}, 3 * ns_per_ms).error().code, Code::timed_out);
  here->rpc.fail_cell(1);
  caller.join();
  EXPECT_EQ(here->rpc.call(1, op_echo, {}, patient).error().code, Code::cell_down);
}

}  // namespace
}  // namespace hive::test

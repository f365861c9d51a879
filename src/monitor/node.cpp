#include "monitor/node.h"

#include <csignal>
#include <cstring>

#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/fd_channel.h"

namespace hive::monitor {
namespace {

// A kernel that does not take a message for so long does not run.
constexpr std::uint64_t tell_ns = 100 * ns_per_ms;

}  // namespace

bool tell(Node& node, const nlohmann::json& message) {
  if (!node.channel) return false;
  const std::string text = message.dump();
  return machine::channel_send(node.channel.get(), machine::bytes_of(std::string_view(text)), {},
                               now_ns() + tell_ns)
      .has_value();
}

void power_off(Node& node) {
  if (node.power_pidfd)
    ::syscall(SYS_pidfd_send_signal, node.power_pidfd.get(), SIGKILL, nullptr, 0);
}

std::string reap(Node& node) {
  node.stage = Stage::gone;
  node.channel.reset();
  node.start_report.reset();
  node.adoption.reset();
  node.kernel_pidfd.reset();
  siginfo_t info{};
  const auto id = static_cast<id_t>(node.power_pidfd.get());
  const bool reaped = ::waitid(P_PIDFD, id, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0;
  node.power_pidfd.reset();
  if (!reaped) return "gone";
  if (info.si_code == CLD_EXITED) return fmt::format("ended with status {}", info.si_status);
  return fmt::format("killed by signal {} ({})", info.si_status, ::strsignal(info.si_status));
}

}  // namespace hive::monitor

// hive-cell: the kernel of one cell. Started by the node's power process, on orders of the
// monitor.

#include <csignal>
#include <cstdio>
#include <cstring>

#include <nlohmann/json.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/time.h"
#include "cell/boot/kernel.h"
#include "machine/linux/fd_channel.h"
#include "machine/linux/power.h"
#include "machine/linux/process.h"

namespace {

// Every other cell and every task costs descriptors; the soft limit is a default, not a need.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int refuse(const hive::Error& error) {
  const std::string cause = error.message();
  std::fprintf(stderr, "hive-cell: %s\n", cause.c_str());
  const std::string event = nlohmann::json{{"event", "failed"}, {"cause", cause}}.dump();
  (void)hive::machine::channel_send(hive::machine::kernel_fd_monitor,
                                    hive::machine::bytes_of(event), {},
                                    hive::now_ns() + hive::ns_per_s);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  auto config = hive::cell::read_config(argc, argv);
  if (!config) {
    std::fprintf(stderr, "hive-cell: %s\n", config.error().message().c_str());
    return 2;
  }
  char name[16];
  std::snprintf(name, sizeof name, "hive-cell %d", config->self);
  ::prctl(PR_SET_NAME, name);
  hive::machine::ask_for_short_slices();
  auto kernel = hive::cell::Kernel::create(std::move(*config));
  if (!kernel) return refuse(kernel.error());
  const int status = (*kernel)->run();
  // The node ends with its kernel; taking it apart in order would only delay that.
  ::_exit(status);
}

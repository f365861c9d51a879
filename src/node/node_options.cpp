#include "node/node_options.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"

namespace hive::node {
namespace {

constexpr const char* score_file = "/proc/self/oom_score_adj";
constexpr int lowest_task_score = 500;
constexpr int highest_score = 1000;
constexpr int step_above_node = 100;

int own_score() noexcept {
  char text[16] = {};
  const UniqueFd file(::open(score_file, O_RDONLY | O_CLOEXEC));
  if (!file || ::read(file.get(), text, sizeof text - 1) <= 0) return 0;
  return std::atoi(text);
}

}  // namespace

int task_oom_score() noexcept {
  return std::max(lowest_task_score, std::min(highest_score, own_score() + step_above_node));
}

void set_oom_score_adj(int value) noexcept {
  const UniqueFd file(::open(score_file, O_WRONLY | O_CLOEXEC));
  char text[16];
  const int length = std::snprintf(text, sizeof text, "%d", value);
  if (file) [[maybe_unused]]
    const auto written = ::write(file.get(), text, static_cast<std::size_t>(length));
}

void set_process_name(const char* role, const std::string& number) {
  ::prctl(PR_SET_NAME, (std::string(role) + "-" + number).c_str());
}

}  // namespace hive::node

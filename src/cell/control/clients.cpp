#include "cell/control/clients.h"

#include <atomic>
#include <csignal>
#include <vector>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"
#include "cell/home/late_space.h"
#include "machine/linux/power.h"

namespace hive::cell {

namespace {

// How long the others wait for a process that was killed. A large one takes 170 ms.
constexpr std::uint64_t task_end_max_ns = 2 * ns_per_s;
constexpr useconds_t task_end_poll_us = 100;

}  // namespace

Result<ClientRegistry::Gate> Clients::prepare(const ClientInfo& info, int pidfd,
                                              UniqueFd request_memory) {
  auto space = std::make_shared<LateSpace>();
  const auto client = home_.add_client(info, space);
  if (!client) return fail(client.error());
  Gate gate{*client, 0};
  if (info.kind == ClientKind::task) {
    auto pages = RequestPages::map(std::move(request_memory));
    const Result<std::uint64_t> replies = pages ? gates_.add(*client, std::move(*pages))
                                                : Result<std::uint64_t>(fail(pages.error()));
    if (!replies) {
      home_.remove_client(*client, Leave::detached);
      return fail(replies.error());
    }
    gate.replies = *replies;
  }
  const std::scoped_lock lock(mutex_);
  entries_[gate.number] = {info, pidfd, std::move(space)};
  if (info.kind == ClientKind::task) tasks_.fetch_add(1, std::memory_order_relaxed);
  return gate;
}

Result<void> Clients::admit(const Gate& gate, std::unique_ptr<machine::FencedSpace> space) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(gate.number);
  if (found == entries_.end()) return fail(Code::not_found, "the process has gone");
  found->second.space->arrive(std::move(space));
  return {};
}

void Clients::remove(const Gate& gate, Leave why) {
  {
    const std::scoped_lock lock(mutex_);
    const auto found = entries_.find(gate.number);
    if (found != entries_.end()) {
      if (found->second.info.kind == ClientKind::task) {
        tasks_.fetch_sub(1, std::memory_order_relaxed);
      }
      entries_.erase(found);
    }
  }
  gates_.remove(gate.number);
  files_.remove_client(gate.number);
  home_.remove_client(gate.number, why);
}

void Clients::end_tasks_of(CellId cell) {
  std::vector<UniqueFd> ending;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [number, entry] : entries_) {
      if (entry.info.kind != ClientKind::task || entry.info.cell != cell) continue;
      ::syscall(SYS_pidfd_send_signal, entry.pidfd, SIGKILL, nullptr, 0);
      ending.emplace_back(::fcntl(entry.pidfd, F_DUPFD_CLOEXEC, 0));
    }
  }
  const std::uint64_t deadline = now_ns() + task_end_max_ns;
  for (const UniqueFd& pidfd : ending) {
    while (pidfd && !machine::pidfd_is_dead(pidfd.get()) && now_ns() < deadline) {
      ::usleep(task_end_poll_us);
    }
  }
}

std::shared_ptr<ClientSpace> Clients::space_of_kernel(CellId cell) {
  const std::scoped_lock lock(mutex_);
  // The last one: the end of an earlier incarnation may not have been seen yet.
  std::shared_ptr<ClientSpace> space;
  for (const auto& [number, entry] : entries_) {
    if (entry.info.kind == ClientKind::kernel && entry.info.cell == cell) space = entry.space;
  }
  return space;
}

}  // namespace hive::cell

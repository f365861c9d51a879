#include "cell/control/clients.h"

#include "cell/home/late_space.h"

namespace hive::cell {

Result<ClientRegistry::Gate> Clients::prepare(const ClientInfo& info, UniqueFd request_memory) {
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
  entries_[gate.number] = {info, std::move(space)};
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
  home_.remove_client(gate.number, why);
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

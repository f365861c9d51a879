// What each operation of a gate does: the request is checked, the home called, the answer given,
// at once or when a wait ends.
//
// Any thread, several at a time. May block for as long as the home does. Its home, names and
// `later` must outlive it and every answer that is still due.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "cell/gate/file_requests.h"
#include "cell/gate/gate.h"
#include "cell/gate/name_service.h"
#include "cell/home/home.h"

namespace hive::cell {

class Dispatcher {
 public:
  // Runs a function in a gate worker soon. For answers that come on threads that must not block.
  using Later = std::function<void(std::function<void()>)>;

  // `files`: null where there are none.
  Dispatcher(Home& home, NameService& names, FileRequests* files, Later later)
      : home_(home), names_(names), files_(files), later_(std::move(later)) {}

  // Runs a request that was taken from the gate and sees to it that it is answered once.
  void run(const std::shared_ptr<Gate>& gate, const TakenRequest& taken);

  // How often an operation was asked for; unknown ones are counted under `none`.
  std::uint64_t count(proto::GateOp op) const {
    return counts_[static_cast<std::size_t>(op)].load(std::memory_order_relaxed);
  }

 private:
  using Answer = Result<GateValues>;
  using Call = std::optional<Answer>;  // none: the answer comes later

  Call call(const std::shared_ptr<Gate>& gate, const TakenRequest& taken);
  Call call_files(const std::shared_ptr<Gate>& gate, const TakenRequest& taken);
  Call store(const Gate& gate, const TakenRequest& taken);
  Call give_cached(const Gate& gate, const TakenRequest& taken);
  Call call_views(Gate& gate, const TakenRequest& taken);
  Call call_pages(ClientId client, const RequestCopy& request);
  Call call_segments(const std::shared_ptr<Gate>& gate, const TakenRequest& taken);
  Call call_sync(const std::shared_ptr<Gate>& gate, const TakenRequest& taken);
  Call create(const std::shared_ptr<Gate>& gate, const TakenRequest& taken, std::string_view name);
  Call find(const std::shared_ptr<Gate>& gate, const TakenRequest& taken, std::string_view name);
  Answer open_lock(ClientId client, const RequestCopy& request);
  Answer open_object(ClientId client, const RequestCopy& request);

  Home& home_;
  NameService& names_;
  FileRequests* const files_;
  const Later later_;
  static constexpr auto operations = static_cast<std::size_t>(proto::GateOp::count_);
  std::array<std::atomic<std::uint64_t>, operations> counts_{};
};

}  // namespace hive::cell

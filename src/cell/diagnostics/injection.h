// Faults that a kernel does to itself when told to, for tests and campaigns: real ones.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include <hive/error.h>
#include "cell/boot/config.h"
#include "cell/diagnostics/corruption.h"
#include "cell/gate/gate_server.h"
#include "cell/home/home.h"
#include "cell/member/membership.h"
#include "cell/rpc/rpc_endpoint.h"
#include "machine/linux/firewall.h"

namespace hive::cell {

class Inspection;
class Survey;

class Injection {
 public:
  using Json = nlohmann::json;
  struct Parts {
    const Config& config;
    machine::NodeMemory& memory;
    TaggedHeap& heap;
    CellRoot*& root;
    Home& home;
    GateServer& gates;
    RpcEndpoint& rpc;
    Membership& membership;
    const Inspection& inspection;
    Survey& survey;
  };
  // What to answer, and what to do once the answer is out: the kernel may die of it. Empty when
  // there is nothing more to do. An errand may block.
  struct Fault {
    Json answer = {{"ok", true}};
    std::function<void()> act{};
    std::function<Result<Json>()> errand{};
  };

  explicit Injection(Parts parts) : parts_(parts) {}

  // A request of proto/control.h, by its "kind". Control thread. Throws Json::exception where the
  // request lacks a member. Errors: bad_argument, not_found (nothing of that sort is there).
  Result<Fault> inject(const Json& request);

  // Called by the receive loop on every turn: where it hangs when it has been told to.
  void hang_point();

 private:
  enum class Hang : std::uint8_t { none, loop, deadlock };
  Result<Fault> hang(const std::string& how);
  Result<Fault> wild_store(const Json& request) const;
  Result<Fault> corrupt_structure(const Json& request) const;
  Result<Fault> accuse(const Json& request) const;
  Result<Fault> bad_messages(const Json& request) const;
  static Result<Fault> kill_at(const Json& request);
  static Result<Fault> fail_disk(const std::string& how);
  Fault structures() const;
  Fault counters() const;
  PublishedMemory published() const;

  const Parts parts_;
  std::atomic<Hang> hang_{Hang::none};
};

// A fault point that waits for the next incarnation of a cell: noted in a file that it finds when
// it starts. Errors: bad_argument, host.
Result<void> plant_fault_point(const Config& config, CellId cell, const std::string& point,
                               std::uint32_t skip);
// By a kernel that starts: arms what was planted for it, once.
void arm_planted_fault_point(const Config& config);

}  // namespace hive::cell

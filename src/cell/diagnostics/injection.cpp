#include "cell/diagnostics/injection.h"

#include <latch>
#include <mutex>
#include <thread>

#include <unistd.h>

#include "cell/diagnostics/bad_messages.h"
#include "cell/diagnostics/counters.h"
#include "cell/diagnostics/stray_store.h"
#include "machine/disk_fault.h"
#include "machine/fault_point.h"

namespace hive::cell {
namespace {

constexpr useconds_t answer_gets_out_us = 20'000;
constexpr std::int64_t accusations_max = 1000;

template <class Fault>
void soon(Fault fault) {
  std::thread([fault] {
    ::usleep(answer_gets_out_us);
    fault();
  }).detach();
}

// Two threads, two locks, opposite orders; the one that calls never comes back.
void deadlock() {
  static std::mutex first;
  static std::mutex second;
  static std::latch both_hold_one(2);
  std::thread([] {
    const std::scoped_lock lock(second);
    both_hold_one.arrive_and_wait();
    const std::scoped_lock never(first);
  }).detach();
  const std::scoped_lock lock(first);
  both_hold_one.arrive_and_wait();
  const std::scoped_lock never(second);
}

void store_wildly(std::uint64_t address) {
  *reinterpret_cast<volatile std::uint8_t*>(address) = 0xff;
}

}  // namespace

Result<Injection::Fault> Injection::inject(const Json& request) {
  const std::string kind = request.at("kind").get<std::string>();
  if (kind == "hang-cell") return hang(request.value("how", "stop"));
  if (kind == "fail-memory") {
    Fault fault;
    fault.act = [this] { soon([this] { parts_.memory.fail(); }); };
    return fault;
  }
  if (kind == "wild-store") return wild_store(request);
  if (kind == "corrupt") return corrupt_structure(request);
  if (kind == "accuse") return accuse(request);
  if (kind == "garbage") return bad_messages(request);
  if (kind == "kill-at") return kill_at(request);
  if (kind == "fail-disk") return fail_disk(request.value("how", "io"));
  if (kind == "structures") return structures();
  if (kind == "counters") return counters();
  return fail(Code::bad_argument, "no such fault");
}

Result<Injection::Fault> Injection::hang(const std::string& how) {
  if (how != "loop" && how != "deadlock") return fail(Code::bad_argument, "no such fault");
  Fault fault;
  fault.act = [this, how] { hang_.store(how == "loop" ? Hang::loop : Hang::deadlock); };
  return fault;
}

Result<Injection::Fault> Injection::wild_store(const Json& request) const {
  const auto& layout = parts_.config.layout;
  StrayStore store;
  if (request.contains("address")) {
    store = stray_store_at(layout, parts_.config.self, request["address"].get<std::uint64_t>());
  } else {
    const auto drawn =
        draw_stray_store(layout, parts_.config.self, parts_.heap,
                         request.at("class").get<std::string>(),
                         request.value("seed", std::uint64_t{0}));
    if (!drawn) return fail(drawn.error());
    store = *drawn;
  }
  Fault fault;
  fault.answer.update({{"address", store.address},
                       {"home", store.home},
                       {"hit", store.is_memory},
                       {"blocked", store.is_fenced}});
  fault.act = [address = store.address] { soon([address] { store_wildly(address); }); };
  return fault;
}

PublishedMemory Injection::published() const {
  return {parts_.config.layout, parts_.config.self, parts_.heap, parts_.root};
}

Result<Injection::Fault> Injection::corrupt_structure(const Json& request) const {
  const auto drawn = draw_corruption(published(), request.at("structure").get<std::string>(),
                                     request.value("how", "word"),
                                     request.value("seed", std::uint64_t{0}));
  if (!drawn) return fail(drawn.error());
  Fault fault;
  fault.answer.update({{"address", drawn->address},
                       {"offset", drawn->offset},
                       {"old", drawn->old_value},
                       {"new", drawn->new_value}});
  fault.act = [what = *drawn] { corrupt(what); };
  return fault;
}

Result<Injection::Fault> Injection::accuse(const Json& request) const {
  const auto accused = request.at("accused").get<CellId>();
  const auto times = request.value("times", std::int64_t{1});
  if (times < 1 || times > accusations_max) {
    return fail(Code::bad_argument, "the number of accusations is out of range");
  }
  if (accused == parts_.config.self || accused < 0 ||
      accused >= static_cast<CellId>(parts_.config.layout.cells)) {
    return fail(Code::bad_argument, "there is no such other cell", accused);
  }
  Fault fault;
  fault.act = [this, accused, times] {
    parts_.membership.accuse_falsely(accused, static_cast<int>(times));
  };
  return fault;
}

Result<Injection::Fault> Injection::bad_messages(const Json& request) const {
  const auto to = request.at("to").get<CellId>();
  const auto how = request.value("how", std::string("garbage"));
  const auto count = request.value("count", std::int64_t{1});
  const auto seed = request.value("seed", std::uint64_t{0});
  Fault fault;
  fault.errand = [this, to, how, count, seed]() -> Result<Json> {
    const auto sent = send_bad_messages(parts_.rpc, parts_.config.layout, parts_.config.self, to,
                                        how, count, seed);
    if (!sent) return fail(sent.error());
    return Json{{"ok", true}, {"sent", *sent}};
  };
  return fault;
}

Result<Injection::Fault> Injection::kill_at(const Json& request) {
  const std::string name = request.at("point").get<std::string>();
  const auto point = machine::find_fault_point(name);
  if (!point && name != "none") return fail(Code::bad_argument, "there is no such point");
  const auto skip = request.value("skip", std::uint32_t{0});
  Fault fault;
  fault.act = [armed = point ? point->point : machine::FaultPoint::none, skip] {
    machine::arm_fault_point(armed, skip);
  };
  return fault;
}

Result<Injection::Fault> Injection::fail_disk(const std::string& how) {
  if (how != "full" && how != "io" && how != "none") {
    return fail(Code::bad_argument, "no such fault");
  }
  Fault fault;
  fault.act = [wanted = how == "full" ? machine::DiskFault::full
                        : how == "io" ? machine::DiskFault::io
                                      : machine::DiskFault::none] {
    machine::set_disk_fault(wanted);
  };
  return fault;
}

Injection::Fault Injection::structures() const {
  Json list = Json::array();
  for (const PublishedStructure& structure : published_structures()) {
    list.push_back({{"name", structure.name},
                    {"what", structure.what},
                    {"pointers", structure.has_pointers},
                    {"there", structure.find(published()).size()}});
  }
  Fault fault;
  fault.answer["structures"] = std::move(list);
  return fault;
}

Injection::Fault Injection::counters() const {
  Fault fault;
  fault.answer.update(count_all({.config = parts_.config,
                                 .home = parts_.home,
                                 .gates = parts_.gates,
                                 .rpc = parts_.rpc,
                                 .membership = parts_.membership,
                                 .inspection = parts_.inspection,
                                 .survey = parts_.survey}));
  return fault;
}

void Injection::hang_point() {
  switch (hang_.load(std::memory_order_relaxed)) {
    case Hang::none:
      return;
    case Hang::loop:
      while (hang_.load(std::memory_order_relaxed) == Hang::loop) {
      }
      return;
    case Hang::deadlock:
      return deadlock();
  }
}

}  // namespace hive::cell

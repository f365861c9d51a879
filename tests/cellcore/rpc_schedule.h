// For tests: a few cells that call each other on a simulated machine, everything by a seed: who
// calls whom when, how long servers take, which cells stop, die, or are booted again, and what
// happens to messages. Keeps the book that tells whether the protocol held what it promises.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cell/rpc/rpc_core.h"
#include "machine/sim/sim_machine.h"

namespace hive::test {

struct ScheduleOptions {
  machine::SimOptions machine;
  int calls = 100;
  std::uint64_t calls_end_ns = 400'000;
  bool fail_cells = true;         // kill, stop, boot again
  bool check_repeats = true;      // false: the planted bug
  bool forge = false;             // well-formed messages that nobody sent
};

struct ScheduleResult {
  std::vector<std::string> violations;
  std::uint64_t digest = 0;
  int started = 0;
  int replied = 0;
  int timed_out = 0;
  int cell_down = 0;
  int not_started = 0;
  int executed = 0;
  std::uint64_t rejected = 0;
};

class RpcSchedule {
 public:
  explicit RpcSchedule(const ScheduleOptions& options)
      : options_(options), machine_(options.machine), cells_(cells()) {
    for (CellId c = 0; c < count(); ++c) {
      boot(c);
      machine_.on_mail(c, [this, c] { receive_all(c); });
      machine_.after(tick_ns, c, [this, c] { tick(c); });
    }
    for (CellId a = 0; a < count(); ++a) connect_to_all(a);
  }

  ScheduleResult run() {
    auto& random = machine_.random();
    for (int i = 0; i < options_.calls; ++i) {
      const auto from = static_cast<CellId>(random.below(cells_.size()));
      machine_.at(random.below(options_.calls_end_ns), from, [this, from] { start_call(from); });
    }
    if (options_.fail_cells) plan_failures();
    if (options_.forge) {
      for (int i = 0; i < options_.calls; ++i) {
        machine_.at(random.below(options_.calls_end_ns), machine::SimMachine::no_node,
                    [this] { forge(); });
      }
    }
    machine_.run_until(options_.calls_end_ns + settle_ns);
    for (CellId c = 0; c < count(); ++c) {
      if (machine_.is_dead(c) || machine_.is_stopped(c)) continue;
      for (const auto& [number, ticket] : cell(c).waiting) {
        violation("call " + std::to_string(number) + " never ended");
      }
      for (CellId p = 0; p < count(); ++p) {
        if (p != c) result_.rejected += cell(c).core->counters(p).rejected_total();
      }
    }
    result_.digest = machine_.digest();
    return result_;
  }

 private:
  static constexpr std::uint16_t op_now = 1;
  static constexpr std::uint16_t op_later = 2;
  static constexpr std::uint64_t tick_ns = 10'000;
  static constexpr std::uint64_t settle_ns = 6'000'000;
  static constexpr std::uint64_t detection_max_ns = 50'000;

  // What a request and its reply carry: which call it is, twice, so that a flipped bit shows.
  struct Body {
    std::uint64_t number = 0;
    std::uint64_t inverse = ~std::uint64_t{0};
    bool whole() const { return number == ~inverse; }
  };
  struct Cell {
    std::unique_ptr<cell::RpcCore> core;
    std::uint64_t incarnation = 0;
    std::map<std::uint64_t, cell::RpcTicket> waiting;  // by the number of the call
  };

  std::vector<Cell> cells() const {
    return std::vector<Cell>(static_cast<std::size_t>(options_.machine.cells));
  }
  CellId count() const { return options_.machine.cells; }
  Cell& cell(CellId c) { return cells_[static_cast<std::size_t>(c)]; }
  void violation(std::string what) { result_.violations.push_back(std::move(what)); }

  void boot(CellId c) {
    cell(c).incarnation = static_cast<std::uint64_t>(c) * 1000 + 1 + ++boots_;
    cell(c).core = std::make_unique<cell::RpcCore>(
        c, count(), cell(c).incarnation,
        cell::RpcCore::Options{.check_repeats = options_.check_repeats});
    cell(c).core->set_level(op_now, cell::RpcLevel::interrupt);
    cell(c).core->set_level(op_later, cell::RpcLevel::queued);
    cell(c).waiting.clear();  // what an earlier life waited for went with it
  }
  void connect_to_all(CellId c) {
    for (CellId p = 0; p < count(); ++p) {
      if (p != c && !machine_.is_dead(p)) cell(c).core->connect(p, cell(p).incarnation);
    }
  }

  void start_call(CellId from) {
    auto& random = machine_.random();
    const auto to = static_cast<CellId>(
        (static_cast<std::uint64_t>(from) + random.between(1, cells_.size() - 1)) % cells_.size());
    const std::uint64_t number = ++numbers_;
    const Body body{number, ~number};
    const std::uint16_t opcode = random.one_in(2) ? op_now : op_later;
    cell::RpcMessage message;
    cell::RpcCore& core = *cell(from).core;
    auto ticket = core.start_call(to, opcode, std::as_bytes(std::span(&body, 1)),
                                  machine_.now_ns() + random.between(1'000, 2'000'000), message);
    if (!ticket) {
      ++result_.not_started;
      return;
    }
    if (!machine_.hardware(from).send(to, message.bytes())) {
      core.cancel_call(*ticket);
      ++result_.not_started;
      return;
    }
    ++result_.started;
    cell(from).waiting[number] = *ticket;
  }

  void receive_all(CellId c) {
    for (CellId from = 0; from < count(); ++from) {
      if (from == c) continue;
      machine::SipsMessage message;
      for (;;) {
        const auto what = machine_.hardware(c).receive(from, message);
        if (what == machine::SipsReceived::rejected) cell(c).core->on_garbled(from);
        if (what == machine::SipsReceived::message) take_message(c, from, message);
        if (what == machine::SipsReceived::none) break;
        if (what == machine::SipsReceived::unreadable) break;
      }
    }
    take_ended(c);
  }

  void take_message(CellId c, CellId from, const machine::SipsMessage& message) {
    using What = cell::RpcArrival::What;
    const cell::RpcArrival arrival = cell(c).core->on_message(from, message.bytes());
    switch (arrival.what) {
      case What::rejected:
      case What::completed:  // found by take_ended
        return;
      case What::interrupt:
      case What::unknown_opcode:
        execute(c, arrival.origin, body_of(arrival.body));
        return;
      case What::queued: {
        const std::uint64_t life = cell(c).incarnation;
        const cell::RpcOrigin origin = arrival.origin;
        const Body body = body_of(arrival.body);
        machine_.after(machine_.random().below(100'000), c, [this, c, life, origin, body] {
          if (cell(c).incarnation == life) execute(c, origin, body);
        });
        return;
      }
    }
  }
  static Body body_of(std::span<const std::byte> bytes) {
    Body body;
    if (bytes.size() == sizeof body) std::memcpy(&body, bytes.data(), sizeof body);
    return body;
  }

  void execute(CellId c, const cell::RpcOrigin& origin, const Body& body) {
    ++result_.executed;
    const std::pair life{c, cell(c).incarnation};
    if (!executed_ids_.insert({life, {origin.incarnation, origin.id}}).second) {
      violation("request " + std::to_string(origin.id) + " was executed twice");
    }
    // A message whose id was flipped on its way can't be told from a new one.
    if (body.whole() && body.number != 0 && options_.machine.flip_one_in == 0 &&
        !options_.forge && !executed_.insert(body.number).second) {
      violation("call " + std::to_string(body.number) + " was executed twice");
    }
    cell::RpcCore& core = *cell(c).core;
    if (!core.wants_reply(origin)) return;
    cell::RpcReply reply;
    reply.set(body);
    cell::RpcMessage message;
    core.make_reply(origin, {}, reply, message);
    machine_.hardware(c).send(origin.from, message.bytes());  // a full ring drops it
  }

  void tick(CellId c) {
    cell(c).core->on_tick(machine_.now_ns());
    take_ended(c);
    machine_.after(tick_ns, c, [this, c] { tick(c); });
  }

  void take_ended(CellId c) {
    auto& waiting = cell(c).waiting;
    for (auto it = waiting.begin(); it != waiting.end();) {
      if (!cell(c).core->ended(it->second)) {
        ++it;
        continue;
      }
      note_end(it->first, cell(c).core->take(it->second));
      it = waiting.erase(it);
    }
  }
  void note_end(std::uint64_t number, const Result<cell::RpcReply>& reply) {
    const bool sane = options_.machine.flip_one_in == 0 && !options_.forge;
    if (reply) {
      ++result_.replied;
      Body body;
      if (sane && (!reply->get(body) || body.number != number)) {
        violation("call " + std::to_string(number) + " got the answer of another");
      }
    } else if (reply.error().code == Code::timed_out) {
      ++result_.timed_out;
    } else if (reply.error().code == Code::cell_down) {
      ++result_.cell_down;
    } else if (sane) {
      violation("call " + std::to_string(number) + " ended with " + reply.error().cause);
    }
  }

  // Everybody else learns of it, each in its own time.
  void notice_down(CellId lost, std::uint64_t life) {
    for (CellId c = 0; c < count(); ++c) {
      if (c == lost) continue;
      machine_.after(machine_.random().below(detection_max_ns), c, [this, c, lost, life] {
        if (cell(lost).incarnation != life) return;
        cell(c).core->mark_down(lost);
        cell(c).core->fail_calls(lost);
        take_ended(c);
      });
    }
  }

  void plan_failures() {
    auto& random = machine_.random();
    const auto victim = static_cast<CellId>(random.below(cells_.size()));
    const std::uint64_t when = random.below(options_.calls_end_ns);
    switch (random.below(4)) {
      case 0:  // dies
        machine_.at(when, machine::SimMachine::no_node, [this, victim] {
          machine_.kill(victim);
          if (machine_.random().one_in(2)) machine_.fail_memory(victim);
          notice_down(victim, cell(victim).incarnation);
        });
        return;
      case 1: {  // stands still for a while, longer than some deadlines
        const std::uint64_t length = random.between(1'000, 1'000'000);
        machine_.at(when, machine::SimMachine::no_node, [this, victim, length] {
          machine_.stop(victim);
          machine_.after(length, machine::SimMachine::no_node, [this, victim] {
            machine_.resume(victim);
          });
        });
        return;
      }
      case 2:  // is voted out and booted again, while messages of its earlier life are about
        machine_.at(when, victim, [this, victim] {
          for (CellId c = 0; c < count(); ++c) {
            if (c == victim) continue;
            cell(c).core->mark_down(victim);
            cell(c).core->fail_calls(victim);
            take_ended(c);
          }
          boot(victim);
          connect_to_all(victim);
          for (CellId c = 0; c < count(); ++c) {
            if (c != victim) cell(c).core->connect(victim, cell(victim).incarnation);
          }
        });
        return;
      default:
        return;
    }
  }

  // A message that looks right but that nobody sent: a flip of what an insane cell could write.
  void forge() {
    auto& random = machine_.random();
    const auto from = static_cast<CellId>(random.below(cells_.size()));
    const auto to = static_cast<CellId>(
        (static_cast<std::uint64_t>(from) + random.between(1, cells_.size() - 1)) % cells_.size());
    cell::RpcMessage message;
    message.header.id = random.below(60);
    message.header.from_incarnation = static_cast<std::uint32_t>(cell(from).incarnation);
    message.header.to_incarnation = static_cast<std::uint32_t>(cell(to).incarnation);
    message.header.opcode = static_cast<std::uint16_t>(random.between(1, 3));
    message.header.slot = static_cast<std::uint16_t>(random.below(cell::calls_per_peer_max + 2));
    message.header.kind = static_cast<std::uint8_t>(random.below(5));
    message.header.status = static_cast<std::uint8_t>(random.one_in(4) ? random.below(20) : 0);
    message.header.length = static_cast<std::uint8_t>(random.below(cell::rpc_body_max + 1));
    for (auto& b : message.body) b = static_cast<std::byte>(random.next());
    machine_.inject(from, to, message.bytes());
  }

  const ScheduleOptions options_;
  machine::SimMachine machine_;
  std::vector<Cell> cells_;
  std::uint64_t boots_ = 0;
  std::uint64_t numbers_ = 0;
  std::set<std::uint64_t> executed_;
  // Which life of which cell executed which id of which life of its caller.
  std::set<std::pair<std::pair<CellId, std::uint64_t>, std::pair<std::uint32_t, std::uint64_t>>>
      executed_ids_;
  ScheduleResult result_;
};

}  // namespace hive::test

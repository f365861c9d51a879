#include "machine/sim/sim_machine.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "machine/sim/sim_hardware.h"

namespace hive::machine {

namespace {
constexpr std::uint64_t stall_factor = 100;
}  // namespace

SimMachine::SimMachine(const SimOptions& options)
    : options_(options),
      random_(options.seed),
      nodes_(static_cast<std::size_t>(options.cells)),
      pairs_(static_cast<std::size_t>(options.cells) * static_cast<std::size_t>(options.cells)) {
  HIVE_CHECK(options.cells > 0 && options.cells <= max_cells);
  HIVE_CHECK(options.delay_min_ns <= options.delay_max_ns);
  HIVE_CHECK(options.memory_bytes < memory_stride);
  for (CellId node = 0; node < options.cells; ++node) {
    nodes_[index(node)].hardware = std::make_unique<SimHardware>(*this, node);
    nodes_[index(node)].memory.resize(options.memory_bytes);
  }
}

SimMachine::~SimMachine() = default;

Hardware& SimMachine::hardware(CellId node) { return *nodes_[index(node)].hardware; }

std::size_t SimMachine::index(CellId node) const {
  HIVE_CHECK(node >= 0 && node < options_.cells);
  return static_cast<std::size_t>(node);
}

SimMachine::Pair& SimMachine::pair(CellId from, CellId to) {
  return pairs_[index(from) * nodes_.size() + index(to)];
}

void SimMachine::note(std::uint64_t what) {
  digest_ = (digest_ ^ what ^ now_ << 20) * 0x9e3779b97f4a7c15;
  digest_ ^= digest_ >> 32;
}

// --- events

void SimMachine::at(std::uint64_t time_ns, CellId node, std::function<void()> action) {
  HIVE_CHECK(time_ns >= now_);
  const std::uint32_t life = node == no_node ? 0 : nodes_[index(node)].life;
  if (free_actions_.empty()) {
    free_actions_.push_back(static_cast<std::uint32_t>(actions_.size()));
    actions_.emplace_back();
  }
  const std::uint32_t place = free_actions_.back();
  free_actions_.pop_back();
  actions_[place] = std::move(action);
  events_.push({time_ns, events_put_++, node, life, place});
}

void SimMachine::on_mail(CellId node, std::function<void()> handler) {
  nodes_[index(node)].mail = std::move(handler);
}

bool SimMachine::step() {
  if (events_.empty()) return false;
  const Event event = events_.top();
  events_.pop();
  now_ = event.time_ns;
  const std::function<void()> action = std::exchange(actions_[event.action], nullptr);
  free_actions_.push_back(event.action);
  note(event.order << 8 | static_cast<std::uint64_t>(event.node + 1));
  if (event.node != no_node) {
    Node& node = nodes_[index(event.node)];
    if (node.dead || node.life != event.life) return true;
    if (node.stopped) {
      node.held.push_back(action);
      return true;
    }
  }
  action();
  return true;
}

void SimMachine::run_until(std::uint64_t time_ns) {
  while (!events_.empty() && events_.top().time_ns <= time_ns) step();
  now_ = std::max(now_, time_ns);
}

// --- faults of nodes

void SimMachine::kill(CellId node) {
  nodes_[index(node)].dead = true;
  nodes_[index(node)].held.clear();
}

void SimMachine::stop(CellId node) { nodes_[index(node)].stopped = true; }

void SimMachine::resume(CellId node) {
  Node& n = nodes_[index(node)];
  n.stopped = false;
  for (auto& action : std::exchange(n.held, {})) at(now_, node, std::move(action));
}

void SimMachine::restart(CellId node) {
  Node& n = nodes_[index(node)];
  HIVE_CHECK(n.dead);
  ++n.life;
  n.dead = n.stopped = n.memory_failed = false;
  n.mail = nullptr;
  std::ranges::fill(n.memory, std::byte{0});
  for (CellId other = 0; other < options_.cells; ++other) {
    pair(node, other).letters.clear();
    pair(other, node).letters.clear();
  }
}

void SimMachine::fail_memory(CellId node) { nodes_[index(node)].memory_failed = true; }

// --- messages

void SimMachine::flip_bit(std::span<std::byte> bytes) {
  const std::uint64_t bit = random_.below(bytes.size() * 8);
  bytes[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
}

bool SimMachine::put(CellId from, CellId to, std::span<const std::byte> payload, bool spoiled) {
  Pair& p = pair(from, to);
  if (p.letters.size() >= options_.ring_slots) return false;
  std::uint64_t delay = random_.between(options_.delay_min_ns, options_.delay_max_ns);
  if (random_.one_in(options_.stall_one_in)) delay *= stall_factor;
  Letter letter;
  letter.visible_ns = std::max(now_ + delay, p.last_visible_ns);
  letter.spoiled = spoiled;
  letter.message.from = from;
  letter.message.length = static_cast<std::uint16_t>(payload.size());
  letter.message.payload = {};
  std::ranges::copy(payload, letter.message.payload.begin());
  p.last_visible_ns = letter.visible_ns;
  p.letters.push_back(letter);
  for (const std::byte b : payload) note(static_cast<std::uint64_t>(b));
  at(letter.visible_ns, to, [this, to] {
    if (const auto& mail = nodes_[index(to)].mail) mail();
  });
  return true;
}

bool SimMachine::inject(CellId from, CellId to, std::span<const std::byte> payload) {
  HIVE_CHECK(payload.size() <= sips_payload_max);
  return put(from, to, payload, false);
}

bool SimMachine::send(CellId from, CellId to, std::span<const std::byte> payload) {
  HIVE_CHECK(payload.size() <= sips_payload_max);
  if (nodes_[index(from)].dead) return false;
  Pair& p = pair(from, to);
  if (p.letters.size() >= options_.ring_slots || nodes_[index(to)].memory_failed) {
    ++counters_.ring_full;
    return false;
  }
  ++counters_.sent;
  SipsMessage& remembered = p.history[p.history_count++ % p.history.size()];
  remembered.length = static_cast<std::uint16_t>(payload.size());
  std::ranges::copy(payload, remembered.payload.begin());

  std::array<std::byte, sips_payload_max> bytes{};
  std::ranges::copy(payload, bytes.begin());
  const std::span<std::byte> sent(bytes.data(), payload.size());
  if (random_.one_in(options_.drop_one_in)) {
    ++counters_.dropped;
  } else if (!sent.empty() && random_.one_in(options_.flip_one_in)) {
    ++counters_.flipped;
    flip_bit(sent);
    put(from, to, sent, false);
  } else {
    const bool spoiled = random_.one_in(options_.spoil_one_in);
    if (spoiled) ++counters_.spoiled;
    put(from, to, sent, spoiled);
  }
  if (random_.one_in(options_.replay_one_in)) {
    const auto known = std::min<std::uint64_t>(p.history_count, p.history.size());
    const std::uint64_t back = random_.below(known);
    const SipsMessage& old = p.history[(p.history_count - 1 - back) % p.history.size()];
    if (put(from, to, old.bytes(), false)) ++counters_.replayed;
  }
  if (random_.one_in(options_.garbage_one_in)) {
    for (std::byte& b : bytes) b = static_cast<std::byte>(random_.next());
    const std::size_t length = random_.below(sips_payload_max + 1);
    if (put(from, to, std::span(bytes).first(length), false)) ++counters_.garbage;
  }
  return true;
}

SipsReceived SimMachine::receive(CellId from, CellId to, SipsMessage& out) {
  if (nodes_[index(from)].memory_failed) return SipsReceived::unreadable;
  Pair& p = pair(from, to);
  if (p.letters.empty() || p.letters.front().visible_ns > now_) return SipsReceived::none;
  const Letter letter = p.letters.front();
  p.letters.pop_front();
  if (letter.spoiled) return SipsReceived::rejected;
  out = letter.message;
  return SipsReceived::message;
}

// --- memory

bool SimMachine::read(CellId reader, std::uint64_t address, void* out, std::size_t bytes) {
  if (nodes_[index(reader)].dead || address < memory_base) return false;
  const std::uint64_t node = (address - memory_base) / memory_stride;
  const std::uint64_t offset = (address - memory_base) % memory_stride;
  if (node >= nodes_.size() || nodes_[node].memory_failed) return false;
  const auto& memory = nodes_[node].memory;
  if (offset > memory.size() || bytes > memory.size() - offset) return false;
  std::memcpy(out, memory.data() + offset, bytes);
  return true;
}

}  // namespace hive::machine

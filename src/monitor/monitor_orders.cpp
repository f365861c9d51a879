// `hive drain` and `hive reboot`. Who asks is answered when it has come to its end; the work goes
// on also when nobody waits for it any more.

#include <algorithm>

#include <fmt/format.h>

#include "base/time.h"
#include "monitor/json_words.h"
#include "monitor/monitor.h"
#include "proto/control.h"

namespace hive::monitor {

using Json = nlohmann::json;

namespace {

constexpr std::uint64_t client_send_ns = 50 * ns_per_ms;
constexpr std::int64_t grace_max_ms = 3600 * 1000;
// For a kernel to end after its tasks have.
constexpr std::uint64_t end_after_drain_ns = proto::flush_max_ns + proto::cell_end_max_ns;

Json no(const char* code, std::string why) {
  return {{"ok", false}, {"code", code}, {"error", std::move(why)}};
}

}  // namespace

void Monitor::send(Client& client, const Json& reply) {
  const std::string text = reply.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (!machine::channel_send(client.socket.get(), machine::bytes_of(std::string_view(text)), {},
                             now_ns() + client_send_ns)) {
    client.socket.reset();
  }
}

// Null, and the client is told, when the request can not be followed whatever the node's state.
Node* Monitor::node_of(Client& client, const Json& request) {
  const std::int64_t cell = number_of(request, "cell");
  const std::int64_t grace_ms = number_of(request, "grace_ms");
  if (shutting_down_) {
    send(client, no("refused", "the machine is being shut down"));
  } else if (cell < 0 || cell >= plan_.cells() || grace_ms < 0 || grace_ms > grace_max_ms) {
    count_garbage("monitor.sock");
    send(client, no("bad_argument", "the request makes no sense"));
  } else {
    return &nodes_[static_cast<std::size_t>(cell)];
  }
  return nullptr;
}

void Monitor::drain_order(Client& client, const Json& request) {
  Node* const node = node_of(client, request);
  if (node == nullptr) return;
  if (node->stage != Stage::up || node->comeback.under_way) {
    return send(client, no("refused", fmt::format("cell {} is not up", node->id)));
  }
  if (members() == 1) {
    return send(client, no("refused", fmt::format("cell {} is the last one that lives: end the "
                                                  "machine with hive shutdown",
                                                  node->id)));
  }
  client.waits_for = node->id;
  client.wants_up = false;
  drain(*node, static_cast<std::uint64_t>(number_of(request, "grace_ms")) * ns_per_ms, false);
}

void Monitor::reboot_order(Client& client, const Json& request) {
  Node* const node = node_of(client, request);
  if (node == nullptr) return;
  if (node->stage == Stage::adopting) {
    return send(client,
                no("busy", fmt::format("cell {} has not answered the new monitor yet", node->id)));
  }
  if (node->is_member() && members() == 1) {
    return send(client,
                no("refused", fmt::format("cell {} is the last one that lives", node->id)));
  }
  client.waits_for = node->id;
  client.wants_up = true;
  node->comeback.failures = 0;  // somebody has looked at it
  if (node->is_member()) {
    return drain(*node, static_cast<std::uint64_t>(number_of(request, "grace_ms")) * ns_per_ms,
                 true);
  }
  node->out.clear();
  if (node->comeback.under_way) return;
  node->comeback.wanted = true;
  note(*node, "rebooting");
}

// Empties a cell that is up. Whoever asks second decides what comes then.
void Monitor::drain(Node& node, std::uint64_t grace_ns, bool again) {
  node.drain.under_way = true;
  node.drain.again = again;
  node.drain.deadline_ns = now_ns() + grace_ns + end_after_drain_ns;
  note(node, "draining", "drained");
  log_->info("draining cell {}: its tasks have {} ms{}", node.id, grace_ns / ns_per_ms,
             again ? ", then it is started anew" : "");
  if (!tell(node, {{"op", "drain"}, {"grace_ms", grace_ns / ns_per_ms}})) power_off(node);
}

void Monitor::on_node_up(Node& node) {
  for (Client& client : clients_) {
    if (client.waits_for != node.id) continue;
    client.waits_for = -1;
    if (client.wants_up) {
      send(client, {{"ok", true}, {"incarnation", node.incarnation}});
    } else {
      send(client, no("refused", fmt::format("cell {} was started anew meanwhile", node.id)));
    }
  }
}

// It has gone, or is given up.
void Monitor::on_node_off(Node& node) {
  for (Client& client : clients_) {
    if (client.waits_for != node.id) continue;
    if (!client.wants_up) {
      send(client, {{"ok", true}});
    } else if (!node.out.empty()) {
      send(client, no("refused", fmt::format("cell {} stays out: {}", node.id, node.out)));
    } else if (!node.comeback.wanted && !plan_.reboot) {
      send(client, no("refused", fmt::format("cell {} has died again", node.id)));
    } else {
      continue;  // it will come
    }
    client.waits_for = -1;
  }
}

}  // namespace hive::monitor

// Finding a running machine and asking its cells.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/time.h"
#include "monitor/refusal.h"

namespace hive::cli {

using Json = nlohmann::json;
using monitor::Outcome;
using monitor::Refusal;

struct Machine {
  std::string name;
  std::string dir;
  int cells = 0;
};

// Errors: exit_usage (no such name can be), exit_not_running (also while it is still starting).
Outcome<Machine> find_machine(const std::string& name);

// Errors: exit_usage (the machine has no such cell).
Outcome<void> check_cell(const Machine& machine, int cell);

// A cell that does not answer within ask_first_ns is passed over while others may; when none has
// answered, each is given ask_patient_ns.
inline constexpr std::uint64_t ask_first_ns = 300 * ns_per_ms;
inline constexpr std::uint64_t ask_patient_ns = 3 * ns_per_s;

// Whether an answer came, and what it says. An answer with "ok": false is an answer.
enum class Asked : std::uint8_t { answered, down, silent };
struct Answer {
  Asked asked = Asked::down;
  Json json;
};
Answer ask(const std::string& socket_path, const Json& request, std::uint64_t timeout_ns);
Answer ask_cell(const Machine& machine, int cell, const Json& request, std::uint64_t timeout_ns);

// Asks the cells in the order of `cells`, or of their numbers, until one answers with "ok": true
// or refuses. Errors: exit_not_running (no cell lives), exit_failed (none answers; refused).
Outcome<Json> ask_any(const Machine& machine, const Json& request);
Outcome<Json> ask_any(const Machine& machine, const Json& request, const std::vector<int>& cells);

// The words of a refusing answer.
std::string refusal_text(const Json& answer);

// The next message of a connection as JSON, also one that came in a memfd; null for what is none.
// `end` is set when the peer has closed, and when the deadline has passed nothing is.
struct Incoming {
  Json json;
  bool end = false;
  bool timed_out = false;
};
Incoming receive_json(int socket, std::uint64_t deadline_ns);

// Members of JSON that others wrote; a default for what is absent or of another kind.
std::string text_of(const Json& json, const char* name, const std::string& otherwise = "");
std::int64_t number_of(const Json& json, const char* name, std::int64_t otherwise = 0);
const Json& list_of(const Json& json, const char* name);

// An answer on standard output, for --json: without the "ok" of the protocol.
void print_json(Json answer);

}  // namespace hive::cli

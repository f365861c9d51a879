#include "cli/ask.h"

#include <algorithm>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ids.h"
#include "machine/linux/fd_channel.h"
#include "monitor/boot_record.h"
#include "monitor/machine_lock.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

constexpr std::size_t answer_bytes_max = std::size_t{64} << 20;

std::string not_running(const std::string& name) {
  return fmt::format("machine '{}' is not running (start it with `hive boot{}`)", name,
                     name == proto::default_machine ? "" : " --name " + name);
}

std::string read_all(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || info.st_size < 0) return {};
  std::string text(std::min(static_cast<std::size_t>(info.st_size), answer_bytes_max), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n =
        ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (n <= 0) return {};
    done += static_cast<std::size_t>(n);
  }
  return text;
}

Json parse(const char* begin, std::size_t bytes) {
  Json json = Json::parse(begin, begin + bytes, nullptr, false);
  return json.is_object() ? json : Json();
}

}  // namespace

Outcome<void> check_cell(const Machine& machine, int cell) {
  if (cell < machine.cells) return {};
  return monitor::refuse(monitor::exit_usage,
                         fmt::format("machine '{}' has the cells 0 to {}, not {}", machine.name,
                                     machine.cells - 1, cell));
}

Outcome<Machine> find_machine(const std::string& name) {
  if (!proto::is_machine_name(name)) {
    return monitor::refuse(monitor::exit_usage,
                           fmt::format("'{}' is no name for a machine: 1 to {} of a-z 0-9 _ -",
                                       name, proto::machine_name_max));
  }
  Machine machine{name, proto::machine_dir(name), 0};
  if (!proto::is_private_dir(machine.dir) ||
      monitor::lock_state(machine.dir) != monitor::LockState::held) {
    return monitor::refuse(monitor::exit_not_running, not_running(name));
  }
  const Json record = monitor::read_boot_record(machine.dir);
  machine.cells = static_cast<int>(number_of(record, "cells"));
  if (machine.cells < 1 || machine.cells > max_cells) {
    return monitor::refuse(monitor::exit_not_running,
                           fmt::format("machine '{}' is still starting", name));
  }
  return machine;
}

Incoming receive_json(int socket, std::uint64_t deadline_ns) {
  auto message = machine::channel_receive(socket, deadline_ns);
  if (!message)
    return {Json(), message.error().code != Code::timed_out,
            message.error().code == Code::timed_out};
  if (message->end) return {Json(), true, false};
  Json json = parse(reinterpret_cast<const char*>(message->bytes.data()), message->bytes.size());
  if (text_of(json, "in") == "memfd" && !message->fds.empty()) {
    const std::string text = read_all(message->fds.front().get());
    json = parse(text.data(), text.size());
  }
  return {std::move(json), false, false};
}

Answer ask(const std::string& socket_path, const Json& request, std::uint64_t timeout_ns) {
  auto socket = machine::channel_connect(socket_path);
  if (!socket) return {};
  const std::uint64_t deadline_ns = now_ns() + timeout_ns;
  const std::string text = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  const auto sent = machine::channel_send(socket->get(), machine::bytes_of(std::string_view(text)),
                                          {}, deadline_ns);
  if (!sent) return {sent.error().code == Code::timed_out ? Asked::silent : Asked::down, Json()};
  Incoming incoming = receive_json(socket->get(), deadline_ns);
  if (incoming.end) return {};
  if (incoming.timed_out || incoming.json.is_null()) return {Asked::silent, Json()};
  return {Asked::answered, std::move(incoming.json)};
}

Answer ask_cell(const Machine& machine, int cell, const Json& request, std::uint64_t timeout_ns) {
  return ask(proto::cell_socket(machine.dir, cell), request, timeout_ns);
}

Outcome<Json> ask_any(const Machine& machine, const Json& request) {
  std::vector<int> cells;
  for (int cell = 0; cell < machine.cells; ++cell) cells.push_back(cell);
  return ask_any(machine, request, cells);
}

Outcome<Json> ask_any(const Machine& machine, const Json& request, const std::vector<int>& cells) {
  std::vector<int> silent;
  const auto round = [&](const std::vector<int>& these, std::uint64_t timeout_ns) {
    silent.clear();
    for (const int cell : these) {
      Answer answer = ask_cell(machine, cell, request, timeout_ns);
      if (answer.asked == Asked::answered) return answer.json;
      if (answer.asked == Asked::silent) silent.push_back(cell);
    }
    return Json();
  };
  Json json = round(cells, ask_first_ns);
  if (json.is_null() && !silent.empty()) {
    const std::vector<int> again = silent;
    json = round(again, ask_patient_ns);
  }
  if (!json.is_null()) {
    if (json.value("ok", false)) return json;
    return monitor::refuse(monitor::exit_failed, refusal_text(json));
  }
  if (!silent.empty()) {
    return monitor::refuse(monitor::exit_failed,
                           fmt::format("no cell of machine '{}' answers", machine.name));
  }
  return monitor::refuse(
      monitor::exit_not_running,
      fmt::format("no cell of machine '{}' is alive (end it with `hive shutdown`, "
                  "start it afresh with `hive boot`)",
                  machine.name));
}

std::string refusal_text(const Json& answer) {
  const std::string words = text_of(answer, "error", "the cell refused without saying why");
  return words;
}

std::string text_of(const Json& json, const char* name, const std::string& otherwise) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

std::int64_t number_of(const Json& json, const char* name, std::int64_t otherwise) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number() ? found->get<std::int64_t>() : otherwise;
}

const Json& list_of(const Json& json, const char* name) {
  static const Json none = Json::array();
  const auto found = json.find(name);
  return found != json.end() && found->is_array() ? *found : none;
}

void print_json(Json answer) {
  answer.erase("ok");
  fmt::print("{}\n", answer.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace hive::cli

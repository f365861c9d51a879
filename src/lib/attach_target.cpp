#include "lib/attach_target.h"

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "proto/control.h"
#include "proto/runtime_dir.h"

namespace hive::lib {
namespace {

std::string_view environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<CellId> cell_of_environment() {
  const std::string_view text = environment(proto::env_cell);
  if (text.empty()) return -1;
  const auto cell = number<CellId>(text);
  if (!cell || *cell < 0 || *cell >= max_cells) {
    return fail(Code::bad_argument, "HIVE_CELL is not the number of a cell");
  }
  return *cell;
}

}  // namespace

Result<AttachTarget> attach_target(const AttachOptions& options) {
  AttachTarget target;
  const std::string_view machine = environment(proto::env_machine);
  target.machine = !options.machine.empty() ? options.machine
                   : !machine.empty()       ? std::string(machine)
                                            : proto::default_machine;
  if (!proto::is_machine_name(target.machine)) {
    return fail(Code::bad_argument, "the name of a machine has 1 to 32 of a-z 0-9 _ -");
  }
  if (options.cell < -1 || options.cell >= max_cells) {
    return fail(Code::bad_argument, "no machine has a cell of this number");
  }
  // Of another machine than the environment's, its cell says nothing.
  const bool same_machine = machine.empty() || machine == target.machine;
  CellId started_on = -1;
  if (same_machine && (options.cell < 0 || !environment(proto::env_cookie).empty())) {
    auto cell = cell_of_environment();
    if (!cell && options.cell < 0) return fail(cell.error());
    if (cell) started_on = *cell;
  }
  target.cell = options.cell >= 0 ? options.cell : started_on;
  // A cookie counts only with the cell that gave it.
  if (started_on >= 0 && target.cell == started_on) {
    target.cookie = number<std::uint64_t>(environment(proto::env_cookie)).value_or(0);
  }
  target.dir = proto::machine_dir(target.machine);
  if (!proto::is_private_dir(target.dir)) {
    return fail(Code::not_found, "no machine of this name runs here for this user");
  }
  return target;
}

std::string program_name() { return program_invocation_short_name; }

}  // namespace hive::lib

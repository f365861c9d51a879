// hive bench: what Hive costs, each figure beside that of plain Linux, taken in turns.

#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include "cli/bench_machine.h"
#include "cli/bench_program.h"
#include "cli/bench_report.h"
#include "cli/bench_rows.h"
#include "cli/command.h"

namespace hive::cli {
namespace {

constexpr const char* bench_footer =
    "Boots a machine of its own for it, and shuts it down again. Exit status 0 also when a bound\n"
    "does not hold: the table says so. On a busy host the ratios count, not the values.\n";

struct BenchArguments {
  std::string name = "bench";
  std::string rows = "*";
  std::string pairs = "10";
  bool json = false;
  bool list = false;
};

constexpr int pairs_max = 1000;

bool is_wanted(const BenchRow& row, const std::string& pattern) {
  return ::fnmatch(pattern.c_str(), row.name.c_str(), 0) == 0 ||
         row.name.find(pattern) != std::string::npos;
}

class Progress {
 public:
  ~Progress() { clear(); }
  void show(const std::string& row, int pair, int pairs) const {
    if (shown_) fmt::print(stderr, "\r\033[K{} {}/{}", row, pair, pairs);
  }
  void clear() const {
    if (shown_) fmt::print(stderr, "\r\033[K");
  }

 private:
  const bool shown_ = ::isatty(STDERR_FILENO) != 0;
};

// One pair; who goes first changes from pair to pair, so that a drift of the host does not count.
Outcome<BenchPair> take_pair(const BenchRow& row, const BenchPlace& place, bool value_first) {
  BenchPair pair;
  for (const bool value_now : {value_first, !value_first}) {
    const BenchFigure& take = value_now ? row.value : row.baseline;
    if (!take) continue;
    const auto figure = take(place);
    if (!figure) return tl::unexpected(figure.error());
    if (value_now) {
      pair.value = *figure;
    } else {
      pair.baseline = *figure;
    }
  }
  if (row.rpc) {
    const auto rpc = row.rpc(place);
    if (!rpc) return tl::unexpected(rpc.error());
    pair.rpc = *rpc;
  }
  return pair;
}

Outcome<BenchResult> take_row(const BenchRow& row, const BenchPlace& place, int pairs,
                              const Progress& progress) {
  std::vector<BenchPair> taken;
  for (int i = 0; i < pairs; ++i) {
    if (interrupted()) return tl::unexpected(interrupted_refusal());
    progress.show(row.name, i + 1, pairs);
    const auto pair = take_pair(row, place, i % 2 == 0);
    if (!pair) {
      if (interrupted()) return tl::unexpected(interrupted_refusal());
      return monitor::refuse(pair.error().status,
                             fmt::format("{}: {}", row.name, pair.error().text));
    }
    taken.push_back(*pair);
  }
  return BenchResult{&row, pairs, summarize(taken, row.unit == BenchUnit::percent)};
}

Outcome<void> place_kernels(const BenchPlace& place, bool pinned) {
  if (!pinned) return place.machine.unpin_kernels();
  if (auto done = place.machine.pin_kernel(0, {place.own_processor}); !done) return done;
  return place.machine.pin_kernel(1, {place.other_processor});
}

Outcome<std::vector<BenchResult>> take_rows(const std::vector<BenchRow>& rows,
                                            const BenchMachine& machine, int pairs) {
  const std::vector<int> processors = bench_processors();
  const auto published = machine.ask_kernel(1, {{"name", "publish"}});
  if (!published) return tl::unexpected(published.error());
  const auto address = [&](const char* name) { return published->value(name, std::uint64_t{0}); };
  const BenchPlace place{machine,          processors.front(), processors.back(),
                         address("small"), address("large"),   address("list")};
  const Progress progress;
  std::vector<BenchResult> results;
  bool pinned = false;
  for (const BenchRow& row : rows) {
    if (row.pinned && processors.size() < 2) {
      complain(fmt::format("{} is left out: it needs two processors", row.name));
      continue;
    }
    if (row.pinned != pinned) {
      if (auto done = place_kernels(place, row.pinned); !done) return tl::unexpected(done.error());
      pinned = row.pinned;
    }
    auto result = take_row(row, place, pairs, progress);
    if (!result) return tl::unexpected(result.error());
    results.push_back(*result);
  }
  return results;
}

int bench(const BenchArguments& arguments) {
  const int pairs = number_option("--pairs", arguments.pairs, 1, pairs_max);
  std::vector<BenchRow> rows = bench_rows();
  std::erase_if(rows, [&](const BenchRow& row) { return !is_wanted(row, arguments.rows); });
  if (arguments.list) {
    for (const BenchRow& row : rows) fmt::print("{}\n", row.name);
    return monitor::exit_ok;
  }
  if (rows.empty()) {
    throw CLI::ValidationError(
        fmt::format("--rows: no row is named like '{}' (see --list)", arguments.rows),
        CLI::ExitCodes::ValidationError);
  }
  catch_interrupts();
  std::string firewall;
  const auto results = [&]() -> Outcome<std::vector<BenchResult>> {
    const auto machine = BenchMachine::boot(arguments.name);
    if (!machine) return tl::unexpected(machine.error());
    firewall = machine->firewall();
    return take_rows(rows, *machine, pairs);
  }();
  if (!results) return complain(results.error());
  if (arguments.json) {
    print_bench_json(*results, firewall);
  } else {
    print_bench_table(*results);
  }
  return monitor::exit_ok;
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App* command = app.add_subcommand("bench", "Measure what Hive costs, beside plain Linux");
  add_name(*command, arguments->name);
  // Not $HIVE_MACHINE: that one runs, and this one is booted.
  command->get_option("--name")->default_str(arguments->name)->envname("");
  command->add_flag("--json", arguments->json, "As JSON; times in nanoseconds");
  command->add_option("--rows", arguments->rows, "Only rows whose names match, or contain this")
      ->type_name("PATTERN");
  command->add_option("--pairs", arguments->pairs, "How often each row and its baseline are taken")
      ->type_name("N")
      ->capture_default_str();
  command->add_flag("--list", arguments->list, "Only name the rows");
  command->footer(bench_footer);
  command->callback([arguments, &context] { context.status = bench(*arguments); });
}

}  // namespace hive::cli

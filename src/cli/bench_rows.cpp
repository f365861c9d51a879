#include "cli/bench_rows.h"

#include <cerrno>
#include <ctime>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/bench_program.h"
#include "cli/bench_recovery.h"
#include "cli/bench_tasks.h"
#include "monitor/host.h"

namespace hive::cli {
namespace {

using Words = std::vector<std::string>;

constexpr int own_cell = 0;
constexpr int other_cell = 1;
constexpr double us = 1e3;

constexpr int spinning_calls = 30000;
constexpr int sleeping_calls = 1500;
constexpr int copies = 300000;
constexpr int page_copies = 30000;
constexpr int walks = 600;
constexpr int list_length = 1000;  // of the list that a kernel publishes
constexpr std::uint64_t idle_slice_ns = 500 * ns_per_ms;
constexpr std::uint64_t settle_ns =
    1500 * ns_per_ms;  // a cell that had work ticks fast for a second

// --- figures of a kernel

BenchFigure kernel(const Json& request) {
  return [request](const BenchPlace& place) { return place.machine.measure(own_cell, request); };
}

Json rpc_request(const char* name, int count) {
  return {{"name", name}, {"peer", other_cell}, {"count", count}};
}

Outcome<void> set_spin(const BenchPlace& place, bool on) {
  for (const int cell : {own_cell, other_cell}) {
    const auto done = place.machine.ask_kernel(cell, {{"name", "spin"}, {"on", on}});
    if (!done) return tl::unexpected(done.error());
  }
  return {};
}

BenchFigure asleep(const Json& request) {
  return [request](const BenchPlace& place) -> Outcome<double> {
    if (auto done = set_spin(place, false); !done) return tl::unexpected(done.error());
    auto figure = place.machine.measure(own_cell, request);
    if (auto done = set_spin(place, true); !done) return tl::unexpected(done.error());
    return figure;
  };
}

BenchFigure careful(const char* name, std::uint64_t BenchPlace::*address, int count) {
  return [=](const BenchPlace& place) {
    return place.machine.measure(
        own_cell,
        {{"name", name}, {"peer", other_cell}, {"address", place.*address}, {"count", count}});
  };
}

BenchFigure firewall(const char* name, int pages, int count) {
  return kernel({{"name", name}, {"peer", other_cell}, {"pages", pages}, {"count", count}});
}

// --- baselines

BenchFigure baseline(const Words& words, bool pinned) {
  return [words, pinned](const BenchPlace& place) {
    Words all = {monitor::helper_program("hive-baseline")};
    all.insert(all.end(), words.begin(), words.end());
    if (pinned) {
      for (const std::string& word : Words{"--on", std::to_string(place.own_processor), "--other",
                                           std::to_string(place.other_processor)}) {
        all.push_back(word);
      }
    }
    return run_for_number(all);
  };
}

BenchFigure baseline(const char* name, int count, bool pinned, int size = 1) {
  return baseline(Words{name, "--count", std::to_string(count), "--size", std::to_string(size)},
                  pinned);
}

// --- the idle machine

Outcome<void> sleep_for(std::uint64_t ns) {
  const timespec slice = to_timespec(ns);
  while (::nanosleep(&slice, nullptr) != 0) {
    if (errno != EINTR || interrupted()) return tl::unexpected(interrupted_refusal());
  }
  return {};
}

// Percent of a processor that all its processes use.
Outcome<double> idle_share(const BenchPlace& place) {
  if (auto slept = sleep_for(settle_ns); !slept) return tl::unexpected(slept.error());
  const double before = place.machine.processor_time_ns();
  const std::uint64_t begin = now_ns();
  if (auto slept = sleep_for(idle_slice_ns); !slept) return tl::unexpected(slept.error());
  const double used = place.machine.processor_time_ns() - before;
  return 100 * used / static_cast<double>(now_ns() - begin);
}

// --- bounds

BenchBound careful_bound() {
  return {"25 ns, RPC/5",
          [](const BenchFigures& f) { return f.value <= 25 && f.rpc && f.value * 5 <= *f.rpc; }};
}

BenchBound after_rpc(double more_ns) {
  return {fmt::format("RPC + {:g} us", more_ns / us),
          [more_ns](const BenchFigures& f) { return f.rpc && f.value <= *f.rpc + more_ns; }};
}

// --- rows

void add_messages(std::vector<BenchRow>& rows) {
  rows.push_back({"rpc.null.spin", "ping-pong of two cache lines",
                  kernel(rpc_request("rpc.null", spinning_calls)),
                  baseline("cache-lines", spinning_calls, true), ratio_at_most(2), true});
  rows.push_back({"rpc.null.sleep", "ping-pong of two eventfds",
                  asleep(rpc_request("rpc.null", sleeping_calls)),
                  baseline("eventfds", sleeping_calls, true), ratio_at_most(1.3), true});
  rows.push_back({"rpc.queued", "eventfds, and a thread that answers",
                  kernel(rpc_request("rpc.queued", sleeping_calls)),
                  baseline("queued", sleeping_calls, true), std::nullopt, true});
}

void add_careful(std::vector<BenchRow>& rows) {
  rows.push_back({"careful.64B", "memcpy", careful("careful.64B", &BenchPlace::small, copies),
                  baseline("copy", copies, true, 64), careful_bound(), true,
                  kernel(rpc_request("rpc.null", spinning_calls))});
  rows.push_back({"careful.4KiB", "memcpy",
                  careful("careful.4KiB", &BenchPlace::large, page_copies),
                  baseline("copy", page_copies, true, 4096), std::nullopt, true});
  rows.push_back({"careful.list1000", "plain walk",
                  careful("careful.list1000", &BenchPlace::list, walks),
                  baseline("list", walks, true, list_length), std::nullopt, true});
}

void add_firewall(std::vector<BenchRow>& rows) {
  struct Size {
    int pages;
    int pairs;
    int punches;
  };
  constexpr Size sizes[] = {{1, 6000, 300}, {256, 600, 60}};
  for (const auto& [pages, pairs, punches] : sizes) {
    rows.push_back({fmt::format("firewall.open_close.{}", pages), "two UFFDIO_WRITEPROTECT",
                    firewall("firewall.open_close", pages, pairs),
                    baseline("protect", pairs, true, pages), ratio_at_most(1.5), true});
  }
  for (const auto& [pages, pairs, punches] : sizes) {
    rows.push_back({fmt::format("firewall.takeback.{}", pages), "hole punch",
                    firewall("firewall.takeback", pages, punches),
                    baseline("punch", punches, true, pages), std::nullopt, true});
  }
  for (const auto& [pages, pairs, punches] : sizes) {
    rows.push_back({fmt::format("frame.borrow_return.{}", pages), "memfd: allocate, punch",
                    firewall("frame.borrow_return", pages, punches),
                    baseline("allocate", punches, true, pages), std::nullopt, true});
  }
}

void add_tasks(std::vector<BenchRow>& rows) {
  constexpr int stores = 600;
  constexpr int blocks = 128;
  constexpr int windows = 6000;
  constexpr int opens = 1500;
  constexpr int starts = 15;
  rows.push_back({"firewall.blocked_store", "SIGBUS to a handler",
                  task_figure("blocked", other_cell, stores),
                  baseline("blocked-store", stores, false)});
  rows.push_back({"fault.64KiB.local", "SIGBUS, eventfd, UFFDIO_CONTINUE",
                  task_figure("fault", own_cell, blocks), baseline("page-fault", blocks, false)});
  rows.push_back({"fault.64KiB.remote", "the local one", task_figure("fault", other_cell, blocks),
                  task_figure("fault", own_cell, blocks), ratio_at_most(2)});
  rows.push_back({"fault.file.local", "mmap of a cached file",
                  task_figure("file", own_cell, blocks), baseline("file-fault", blocks, false)});
  rows.push_back({"fault.file.remote", "the local one", task_figure("file", other_cell, blocks),
                  task_figure("file", own_cell, blocks), ratio_at_most(2)});
  rows.push_back({"window.own", "cache lines, two UFFDIO_WRITEPROTECT",
                  task_figure("window", own_cell, windows), baseline("window", windows, false),
                  value_at_most(5 * us, "5 us")});
  rows.push_back({"window.remote", "cache lines, two UFFDIO_WRITEPROTECT",
                  task_figure("window", other_cell, windows), baseline("window", windows, false),
                  after_rpc(5 * us), false, kernel(rpc_request("rpc.null", spinning_calls))});
  rows.push_back({"segment.open", "shm_open, mmap, munmap", task_figure("open", other_cell, opens),
                  baseline("open-memory", opens, false)});
  rows.push_back({"task.start", "posix_spawn, waitpid", start_figure(own_cell, starts),
                  baseline("start-program", starts, false)});
}

// What the library is used for, against what programs use without Hive.
void add_sharing(std::vector<BenchRow>& rows) {
  constexpr int calls = 6000;
  constexpr int looks = 300000;
  constexpr int meetings = 3000;
  rows.push_back({"put.64B", "memcpy", task_figure("put", other_cell, calls),
                  baseline("copy", looks, false, 64)});
  rows.push_back({"read.64B", "memcpy", task_figure("read", other_cell, looks),
                  baseline("copy", looks, false, 64)});
  rows.push_back({"view.load", "memcpy of a word", task_figure("view", other_cell, looks),
                  baseline("copy", looks, false, 8)});
  rows.push_back({"versioned.publish", "sequence lock", task_figure("publish", own_cell, looks),
                  baseline("publish", looks, false)});
  rows.push_back({"versioned.read", "sequence lock", task_figure("latest", other_cell, looks),
                  baseline("latest", looks, false)});
  rows.push_back({"ring.record", "bare ring", task_figure("ring", own_cell, looks),
                  baseline("ring", looks, false)});
  rows.push_back({"mutex.free", "robust pthread mutex", task_figure("mutex", other_cell, looks),
                  baseline("mutex", looks, false)});
  rows.push_back({"barrier.2", "pthread barrier", task_figure("barrier", other_cell, meetings),
                  baseline("barrier", meetings, false)});
}

void add_files(std::vector<BenchRow>& rows) {
  constexpr int whole = 45;  // of 4 MiB
  constexpr int calls = 30000;
  constexpr int opens = 600;
  rows.push_back({"file.read.4MiB.local", "read, on tmpfs or disk",
                  task_figure("file-read", own_cell, whole), baseline("file-read", whole, false),
                  ratio_at_most(1)});
  rows.push_back({"file.read.4MiB.remote", "the local one",
                  task_figure("file-read", other_cell, whole),
                  task_figure("file-read", own_cell, whole), ratio_at_most(1.05)});
  rows.push_back({"file.write.4MiB.local", "write, on tmpfs",
                  task_figure("file-write", own_cell, whole), baseline("file-write", whole, false),
                  ratio_at_most(1.2)});
  rows.push_back({"file.write.4MiB.remote", "the local one",
                  task_figure("file-write", other_cell, whole),
                  task_figure("file-write", own_cell, whole), ratio_at_most(1.1)});
  rows.push_back({"file.open.local", "open, close", task_figure("file-open", own_cell, opens),
                  baseline("file-open", calls, false)});
  rows.push_back({"file.open.remote", "the local one", task_figure("file-open", other_cell, opens),
                  task_figure("file-open", own_cell, opens), ratio_at_most(2)});
  rows.push_back({"file.pread.4KiB", "pread", task_figure("file-pread", own_cell, calls),
                  baseline("file-pread", calls, false)});
  rows.push_back({"file.stat", "fstat", task_figure("file-stat", own_cell, opens),
                  baseline("file-stat", calls, false)});
}

// Against iceoryx, where there is one.
void add_iceoryx(std::vector<BenchRow>& rows) {
  constexpr int spinning = 1500;  // batches shorter than a time slice, also on a busy host
  constexpr int sleeping = 1500;
  const std::string program = monitor::helper_program("hive-baseline-iceoryx");
  if (::access(program.c_str(), X_OK) != 0) return;
  const auto iceoryx = [program](const char* way, int count) -> BenchFigure {
    return [=](const BenchPlace& place) {
      return run_for_number({program, way, "--count", std::to_string(count), "--on",
                             std::to_string(place.own_processor), "--other",
                             std::to_string(place.other_processor)});
    };
  };
  rows.push_back({"ring.oneway", "iceoryx", oneway_figure(false, spinning),
                  iceoryx("spin", spinning), std::nullopt, true});
  rows.push_back({"ring.oneway.sleep", "iceoryx, WaitSet", oneway_figure(true, sleeping),
                  iceoryx("sleep", sleeping), std::nullopt, true});
}

void add_programs(std::vector<BenchRow>& rows) {
  for (const int cells : {1, 2, 4}) {
    rows.push_back({fmt::format("raytrace.{}", cells), "the same with threads",
                    raytrace_figure(cells), raytrace_threads_figure(cells), ratio_at_most(1.02)});
  }
}

}  // namespace

std::vector<BenchRow> bench_rows() {
  std::vector<BenchRow> rows;
  add_messages(rows);
  add_careful(rows);
  add_firewall(rows);
  add_tasks(rows);
  add_sharing(rows);
  add_files(rows);
  add_iceoryx(rows);
  add_programs(rows);
  rows.push_back({"idle.cpu", "", idle_share, nullptr, value_at_most(1, "1 %"), false, nullptr,
                  BenchUnit::percent});
  add_recovery(rows);  // cells die in it: last
  return rows;
}

}  // namespace hive::cli

// attach: a process that nobody started for Hive becomes a task, shares something, and goes again.
//
//   example-attach [MACHINE]        from an ordinary shell, a supervisor, a debugger
#include <cstdio>

#include <hive/hive.h>

int main(int argc, char** argv) {
  hive::AttachOptions options;
  if (argc > 1) options.machine = argv[1];
  auto session = hive::attach(options);
  if (!session) {
    std::fprintf(stderr, "attach: %s\n", session.error().message().c_str());
    return 1;
  }
  std::printf("task %llu of cell %d\n", static_cast<unsigned long long>(session->task()),
              session->cell());
  for (const hive::CellView& cell : session->cells()) {
    std::printf("cell %d is %s\n", cell.id, cell.up ? "up" : "down");
  }
  // How often was this run on this machine? The number outlives us: `keep`.
  auto visits =
      session->create("attach-visits", sizeof(std::uint64_t), {.home = -1, .keep = true});
  if (!visits) visits = session->open("attach-visits");
  if (!visits) {
    std::fprintf(stderr, "attach: %s\n", visits.error().message().c_str());
    return 1;
  }
  auto counter = hive::Counter::open(*visits, "visits");
  auto before = counter ? counter->add(1) : hive::fail(counter.error());
  if (!before) {
    std::fprintf(stderr, "attach: %s\n", before.error().message().c_str());
    return 1;
  }
  std::printf("visit %llu\n", static_cast<unsigned long long>(*before + 1));
}

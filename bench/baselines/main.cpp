// hive-baseline NAME [--on CPU] [--other CPU] [--count N] [--size N]: prints nanoseconds for one
// operation. Without a line of Hive.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "baselines.h"

namespace {

struct Entry {
  const char* name;
  double (*measure)(const baseline::Arguments&);
};

constexpr Entry entries[] = {
    {"cache-lines", baseline::cache_lines},
    {"eventfds", baseline::eventfds},
    {"queued", baseline::eventfds_queued},
    {"copy", baseline::copy},
    {"list", baseline::list_walk},
    {"protect", baseline::protect_pair},
    {"punch", baseline::punch},
    {"allocate", baseline::allocate},
    {"blocked-store", baseline::blocked_store},
    {"page-fault", baseline::page_fault},
    {"file-fault", baseline::file_fault},
    {"window", baseline::window},
    {"publish", baseline::publish},
    {"latest", baseline::latest},
    {"ring", baseline::ring},
    {"mutex", baseline::mutex},
    {"barrier", baseline::barrier},
    {"file-read", baseline::file_read},
    {"file-pread", baseline::file_pread},
    {"file-write", baseline::file_write},
    {"file-open", baseline::file_open},
    {"file-stat", baseline::file_stat},
    {"start-program", baseline::start_program},
    {"open-memory", baseline::open_memory},
    {"death", baseline::death},
};

int usage() {
  std::fputs("usage: hive-baseline NAME [--on CPU] [--other CPU] [--count N] [--size N]\nNAME:",
             stderr);
  for (const Entry& entry : entries) std::fprintf(stderr, " %s", entry.name);
  std::fputs("\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) return usage();
  baseline::Arguments arguments;
  for (int i = 2; i + 1 < argc; i += 2) {
    const long long value = std::atoll(argv[i + 1]);
    if (std::strcmp(argv[i], "--on") == 0) {
      arguments.own_processor = static_cast<int>(value);
    } else if (std::strcmp(argv[i], "--other") == 0) {
      arguments.other_processor = static_cast<int>(value);
    } else if (std::strcmp(argv[i], "--count") == 0 && value > 0) {
      arguments.count = value;
    } else if (std::strcmp(argv[i], "--size") == 0 && value > 0) {
      arguments.size = value;
    } else {
      return usage();
    }
  }
  for (const Entry& entry : entries) {
    if (std::strcmp(argv[1], entry.name) != 0) continue;
    const double ns = entry.measure(arguments);
    if (ns < 0) {
      std::perror("hive-baseline");
      return 1;
    }
    std::printf("%.3f\n", ns);
    return 0;
  }
  return usage();
}

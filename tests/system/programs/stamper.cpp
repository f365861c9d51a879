// Stores the time into a file that it has mapped, as fast as it can, for ever: whoever reads the
// file later knows when this task ran last. Attached to its cell, with a window open on another
// cell. Usage: stamper FILE
#include <atomic>
#include <cstdio>

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <hive/hive.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const int file = ::open(argv[1], O_RDWR | O_CREAT, 0600);
  if (file < 0 || ::ftruncate(file, 4096) != 0) return 1;
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) return 1;
  auto* stamp = static_cast<std::atomic<long long>*>(page);

  auto session = hive::attach();
  if (!session) {
    std::fprintf(stderr, "stamper: %s\n", session.error().message().c_str());
    return 1;
  }
  const int other = (session->cell() + 1) % static_cast<int>(session->cells().size());
  auto segment = session->create("stamps-" + std::to_string(session->task()), 1 << 20,
                                 {.home = other, .keep = false});
  if (!segment) {
    std::fprintf(stderr, "stamper: %s\n", segment.error().message().c_str());
    return 1;
  }
  auto window = segment->write(0, hive::page_size);
  if (!window) return 1;
  std::puts("stamping");
  std::fflush(stdout);
  while (true) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const long long ns = now.tv_sec * 1'000'000'000LL + now.tv_nsec;
    stamp->store(ns, std::memory_order_relaxed);
    *window->at<long long>(0) = ns;
  }
}

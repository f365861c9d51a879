// Keeps a segment with a known pattern, and checks it on every line that comes in.
// Usage: keeper NAME PAGES
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <hive/hive.h>

namespace {

std::uint64_t pattern(std::uint64_t word) { return word * 0x9e3779b97f4a7c15 + 1; }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::uint64_t bytes = std::strtoull(argv[2], nullptr, 10) * hive::page_size;
  auto session = hive::attach();
  if (!session) return 1;
  auto segment = session->create(argv[1], bytes);
  if (!segment) {
    std::fprintf(stderr, "keeper: %s\n", segment.error().message().c_str());
    return 1;
  }
  auto window = segment->write_all();
  if (!window) return 1;
  for (std::uint64_t i = 0; i < bytes / 8; ++i) *window->at<std::uint64_t>(i * 8) = pattern(i);
  if (!window->commit()) return 1;
  std::printf("%p\n", static_cast<const void*>(segment->data()));
  std::fflush(stdout);
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    if (c != '\n') continue;
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < bytes / 8; ++i) {
      wrong += *segment->at<std::uint64_t>(i * 8) != pattern(i);
    }
    std::printf("wrong %llu\n", static_cast<unsigned long long>(wrong));
    std::fflush(stdout);
  }
}

// Reading memory, in cache, without any care.
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "baselines.h"
#include "timing.h"

namespace baseline {
namespace {

// Half a page apart within their pages: source and destination at the same place in a page, or
// nearly, get in each other's way.
struct Buffers {
  alignas(4096) std::byte from[8192];
  alignas(4096) std::byte gap[2048];
  std::byte to[8192];
};

struct alignas(64) Element {
  std::uint64_t payload[7] = {};
  const Element* next = nullptr;
};

}  // namespace

double copy(const Arguments& arguments) {
  run_on(arguments.own_processor);
  const auto bytes = static_cast<std::size_t>(arguments.size);
  const auto buffers = std::make_unique<Buffers>();
  if (bytes > sizeof buffers->to) return -1;
  std::memset(buffers.get(), 1, sizeof *buffers);
  return median_batch_ns(arguments.count, [&] {
    std::memcpy(buffers->to, buffers->from, bytes);
    asm volatile("" : : "r"(buffers->to), "r"(buffers->from) : "memory");
  });
}

double list_walk(const Arguments& arguments) {
  run_on(arguments.own_processor);
  std::vector<Element> elements(static_cast<std::size_t>(arguments.size));
  for (std::size_t i = 0; i + 1 < elements.size(); ++i) elements[i].next = &elements[i + 1];
  const Element* const first = elements.data();
  return median_batch_ns(arguments.count, [&] {
    std::uint64_t sum = 0;
    for (const Element* e = first; e != nullptr; e = e->next) sum += e->payload[0];
    asm volatile("" : : "r"(sum) : "memory");
  });
}

}  // namespace baseline

// Reading memory, in cache, without any care.
#include <cstring>
#include <memory>
#include <vector>

#include "baselines.h"
#include "timing.h"

namespace baseline {
namespace {

struct alignas(64) Element {
  std::uint64_t payload[7] = {};
  const Element* next = nullptr;
};

}  // namespace

double copy(const Arguments& arguments) {
  run_on(arguments.own_processor);
  const auto bytes = static_cast<std::size_t>(arguments.size);
  const std::vector<std::byte> from(bytes, std::byte{1});
  std::vector<std::byte> to(bytes);
  return median_batch_ns(arguments.count, [&] {
    std::memcpy(to.data(), from.data(), bytes);
    asm volatile("" : : "r"(to.data()), "r"(from.data()) : "memory");
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

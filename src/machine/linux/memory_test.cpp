#include "machine/linux/memory_test.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include <sys/mman.h>

#include "base/time.h"
#include "machine/layout.h"

namespace hive::machine {
namespace {

constexpr std::uint64_t slice_bytes = std::uint64_t{16} << 20;
constexpr std::uint64_t word_bytes = sizeof(std::uint64_t);
constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
constexpr std::uint64_t sparse_words = 64 / word_bytes;  // a line of a page
constexpr std::uint64_t page_words = page_bytes / word_bytes;

struct Slice {
  Slice(int memfd, std::uint64_t offset, std::uint64_t bytes)
      : bytes_(bytes),
        memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd,
                       static_cast<off_t>(offset))) {}
  ~Slice() {
    if (mapped()) ::munmap(memory_, bytes_);
  }
  Slice(const Slice&) = delete;
  Slice& operator=(const Slice&) = delete;
  bool mapped() const { return memory_ != MAP_FAILED; }
  std::span<std::uint64_t> words() {
    return {static_cast<std::uint64_t*>(memory_), bytes_ / word_bytes};
  }

 private:
  std::uint64_t bytes_;
  void* memory_;
};

// The pattern of word i is (salt + i) * odd, so that a line at a wrong address is seen too.
void write_run(std::span<std::uint64_t> words, std::uint64_t salt) {
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = (salt + i) * odd;
}
bool holds_run(std::span<const std::uint64_t> words, std::uint64_t salt) {
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < words.size(); ++i) wrong |= words[i] ^ ((salt + i) * odd);
  return wrong == 0;
}

// Calls `each` for all of the words, or for a line of each page.
template <class Each>
bool over(std::span<std::uint64_t> words, bool thorough, Each each) {
  if (thorough) return each(words, std::uint64_t{0});
  bool good = true;
  for (std::size_t at = 0; good && at < words.size(); at += page_words) {
    good = each(words.subspan(at, std::min<std::size_t>(sparse_words, words.size() - at)), at);
  }
  return good;
}

bool test_slice(std::span<std::uint64_t> words, std::uint64_t offset, bool thorough, bool plant) {
  for (const std::uint64_t salt : {offset, ~offset}) {
    over(words, thorough, [&](std::span<std::uint64_t> run, std::uint64_t at) {
      write_run(run, salt + at);
      return true;
    });
    // What is read below is memory, not what the compiler remembers of the stores above.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (plant) words[0] ^= 1;
    if (!over(words, thorough, [&](std::span<const std::uint64_t> run, std::uint64_t at) {
          return holds_run(run, salt + at);
        })) {
      return false;
    }
  }
  return over(words, thorough, [](std::span<std::uint64_t> run, std::uint64_t) {
    std::memset(run.data(), 0, run.size_bytes());
    return true;
  });
}

}  // namespace

Result<MemoryTested> test_memory(int memfd, std::uint64_t bytes, std::uint64_t deadline_ns,
                                 bool plant_fault) {
  MemoryTested tested;
  while (tested.bytes < bytes) {
    const std::uint64_t now = std::min(slice_bytes, bytes - tested.bytes);
    Slice slice(memfd, tested.bytes, now);
    if (!slice.mapped())
      return fail(Code::host, "memory can not be mapped for its test", -1, errno);
    const bool thorough = now_ns() < deadline_ns;
    if (!test_slice(slice.words(), tested.bytes, thorough, std::exchange(plant_fault, false))) {
      return fail(Code::lost, "the memory of the node does not hold what is written to it");
    }
    tested.bytes += now;
    if (thorough) tested.thorough += now;
  }
  return tested;
}

}  // namespace hive::machine

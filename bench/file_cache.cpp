// How fast the page cache of a data home is against Linux's own, outside of a booted machine: the
// same file, read and written through cached content and with bare pread and pwrite.
//   read.64KiB    4 MiB that are cached, 64 KiB a call      against  pread of the same
//   read.4KiB     the same, at random places, 4 KiB a call  against  pread of the same
//   write.64KiB   4 MiB over what is cached                 against  pwrite of the same
//   fsync.4MiB    flush of 4 MiB that are dirty             against  fdatasync of the same
//   miss.64KiB    16 MiB through 8 MiB of frames            against  pread of the same
// The frames lie in a memfd, as a node's. Interleaved rounds, medians and quartiles of the ratio.
// Usage: file_cache [folder for the file]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "cell/files/host_file.h"
#include "cell/files/page_cache.h"
#include "cell/home/home.h"

namespace {

using namespace hive;
using namespace hive::cell;
using machine::page_bytes;

constexpr std::uint32_t frames = 2048;
constexpr std::uint64_t hot_bytes = 4 << 20;
constexpr std::uint64_t file_bytes = 16 << 20;
constexpr std::size_t call_bytes = content_call_bytes_max;
constexpr int rounds = 31;

class MemfdFrames final : public FrameMemory {
 public:
  MemfdFrames() : memory_(::memfd_create("frames", MFD_CLOEXEC)) {
    HIVE_CHECK(::ftruncate(memory_.get(), frames * page_bytes) == 0);
    HIVE_CHECK(::fallocate(memory_.get(), 0, 0, frames * page_bytes) == 0);
  }
  Result<void> take_back(machine::PageRange range) override {
    HIVE_CHECK(::fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(range.first * page_bytes),
                           static_cast<off_t>(range.count * page_bytes)) == 0);
    return {};
  }
  Result<void> refill(machine::PageRange range) override {
    HIVE_CHECK(::fallocate(memory_.get(), FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(range.first * page_bytes),
                           static_cast<off_t>(range.count * page_bytes)) == 0);
    return {};
  }
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    HIVE_CHECK(::pread(memory_.get(), out.data(), out.size(), static_cast<off_t>(offset)) ==
               static_cast<ssize_t>(out.size()));
    return {};
  }
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    HIVE_CHECK(::pwrite(memory_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
               static_cast<ssize_t>(bytes.size()));
    return {};
  }

 private:
  const UniqueFd memory_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double timed(const std::function<void()>& body) {
  const std::uint64_t begin = now_ns();
  body();
  return static_cast<double>(now_ns() - begin) / 1000;
}

void compare(const char* name, const std::function<void()>& ours,
             const std::function<void()>& theirs) {
  ours();
  theirs();
  std::vector<double> our_us, their_us, ratios;
  for (int i = 0; i < rounds; ++i) {
    our_us.push_back(timed(ours));
    their_us.push_back(timed(theirs));
    ratios.push_back(our_us.back() / their_us.back());
  }
  std::ranges::sort(ratios);
  std::printf("%-12s median %9.1f us, Linux %9.1f us, ratio %.2f (%.2f .. %.2f)\n", name,
              median(our_us), median(their_us), ratios[rounds / 2], ratios[rounds / 4],
              ratios[rounds * 3 / 4]);
}

}  // namespace

int main(int argc, char** argv) {
  install_safe_copy_handler();
  std::string path = std::string(argc > 1 ? argv[1] : ".") + "/file_cache.XXXXXX";
  const UniqueFd bare(::mkstemp(path.data()));
  HIVE_CHECK(bare);
  std::vector<std::byte> buffer(call_bytes, std::byte{1});
  for (std::uint64_t at = 0; at < file_bytes; at += call_bytes) {
    HIVE_CHECK(::pwrite(bare.get(), buffer.data(), call_bytes, static_cast<off_t>(at)) ==
               static_cast<ssize_t>(call_bytes));
  }

  const auto layout = machine::make_layout(1, frames * page_bytes);
  void* kernel = ::mmap(nullptr, layout.kernel_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  HIVE_CHECK(kernel != MAP_FAILED);
  TaggedHeap heap(kernel, layout.kernel_bytes);
  MemfdFrames memory;
  const auto home = *Home::create({.self = 0, .layout = layout, .heap = &heap, .memory = &memory,
                                   .log = {}});
  const auto cache = *PageCache::create({.heap = &heap, .frames = home.get(),
                                         .node_frames = frames, .self = 0,
                                         .dirty_age_ns = 3600 * ns_per_s,
                                         .dirty_pages_high = frames});
  auto file = *cache->open(1, [&path] { return HostFile::open(path); });
  ::unlink(path.c_str());

  const auto read_ours = [&](std::uint64_t at, std::size_t bytes) {
    HIVE_CHECK(*file->read(at, std::span(buffer).first(bytes)) == bytes);
  };
  const auto read_bare = [&](std::uint64_t at, std::size_t bytes) {
    HIVE_CHECK(::pread(bare.get(), buffer.data(), bytes, static_cast<off_t>(at)) ==
               static_cast<ssize_t>(bytes));
  };
  const auto sequence = [](std::uint64_t end, const auto& call) {
    for (std::uint64_t at = 0; at < end; at += call_bytes) call(at, call_bytes);
  };
  const auto random = [](const auto& call) {
    std::minstd_rand places(1);
    for (std::uint64_t i = 0; i < hot_bytes / page_bytes; ++i) {
      call(places() % (hot_bytes / page_bytes) * page_bytes, page_bytes);
    }
  };
  const auto write_ours = [&](std::uint64_t at, std::size_t bytes) {
    HIVE_CHECK(*file->write(at, std::span(buffer).first(bytes)) == bytes);
  };
  const auto write_bare = [&](std::uint64_t at, std::size_t bytes) {
    HIVE_CHECK(::pwrite(bare.get(), buffer.data(), bytes, static_cast<off_t>(at)) ==
               static_cast<ssize_t>(bytes));
  };

  compare("read.64KiB", [&] { sequence(hot_bytes, read_ours); },
          [&] { sequence(hot_bytes, read_bare); });
  compare("read.4KiB", [&] { random(read_ours); }, [&] { random(read_bare); });
  compare("write.64KiB", [&] { sequence(hot_bytes, write_ours); },
          [&] { sequence(hot_bytes, write_bare); });
  compare("fsync.4MiB",
          [&] {
            sequence(hot_bytes, write_ours);
            HIVE_CHECK(file->flush().has_value());
          },
          [&] {
            sequence(hot_bytes, write_bare);
            HIVE_CHECK(::fdatasync(bare.get()) == 0);
          });
  compare("miss.64KiB", [&] { sequence(file_bytes, read_ours); },
          [&] { sequence(file_bytes, read_bare); });
  file.reset();
  return 0;
}

// hive-bench-task WHAT HOME COUNT: what a task can measure, for `hive bench`. Prints nanoseconds
// for one operation. A program like any other, started with `hive run`.
//   window    open a page of a segment, store, commit
//   fault     first touch of a block of 64 KiB
//   file      the same of a mapped file that its home has cached
//   blocked   a store to a closed page, with a handler of the program's own that steps over it
//   open      open a segment by name, and close it
//   put       have the home store 64 bytes
//   read      copy 64 bytes out of a segment; view: look whether a view is valid, and load from it
//   publish   publish a versioned value of 64 bytes; latest: read it
//   ring      publish a record of 64 bytes, and read it
//   oneway    a record of 64 bytes from one cell to another, both sides looking all the time;
//             oneway-asleep: both waiting. With `hive run --span 2`, and two processors more
//   witness   for COUNT ms, uses its own cell and the others in turn: the longest time in which
//             nothing came of it, and when it began and ended
//   spin      only uses a processor, for COUNT ms
//   file-read, file-write   4 MiB of a file, 64 KiB a call; write: to an empty one
//   file-pread   4 KiB that are cached; file-open   open and close; file-stat   fstat
//   mutex     lock and unlock, nobody else wants it; barrier: two threads meet
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <ucontext.h>

#include <hive/hive.h>

#include "files.h"
#include "oneway.h"
#include "timing.h"
#include "witness.h"

namespace {

constexpr std::uint64_t block_bytes = 65536;

using bench::batches;
using bench::median_batch_ns;
using bench::median_of;
using bench::must;
using bench::now_ns;
using bench::Record;

struct Bench {
  hive::Session session;
  int home;
  int count;

  hive::Segment make(std::uint64_t bytes) {
    hive::SegmentOptions options;
    options.home = home;
    const std::string name = "bench-" + std::to_string(session.task());
    return must("create", session.create(name, bytes, options));
  }

  double window() {
    hive::Segment segment = make(hive::page_size);
    std::uint32_t value = 0;
    return median_batch_ns(count, [&] {
      auto window = must("open a window", segment.write(0, hive::page_size));
      *window.at<volatile std::uint32_t>(0) = ++value;
      must("commit", window.commit());
    });
  }

  double fault() {
    const hive::Segment segment = make(static_cast<std::uint64_t>(count) * block_bytes);
    std::vector<double> figures;
    for (int i = 0; i < count; ++i) {
      const double begin = now_ns();
      [[maybe_unused]] const std::byte byte = *const_cast<const volatile std::byte*>(
          segment.data() + static_cast<std::size_t>(i) * block_bytes);
      figures.push_back(now_ns() - begin);
    }
    return median_of(std::move(figures));
  }

  double file() {
    const auto bytes = static_cast<std::uint64_t>(count) * block_bytes;
    const std::string path = "/bench-" + std::to_string(session.task());
    const auto files = session.files();
    auto opened = must("open", files.open(path, O_RDWR | O_CREAT | O_EXCL, 0600, {.home = home}));
    const std::vector<std::byte> block(block_bytes);
    for (std::uint64_t at = 0; at < bytes; at += block_bytes) {
      must("write", opened.pwrite(block, static_cast<std::int64_t>(at)));
    }
    const auto mapping = must("map", opened.mmap(bytes, PROT_READ, MAP_SHARED, 0));
    must("unlink", files.unlink(path));
    std::vector<double> figures;
    for (std::uint64_t at = 0; at < bytes; at += block_bytes) {
      const double begin = now_ns();
      [[maybe_unused]] const std::byte byte = *mapping.at<const volatile std::byte>(at);
      figures.push_back(now_ns() - begin);
    }
    return median_of(std::move(figures));
  }

  double blocked() {
    const hive::Segment segment = make(hive::page_size);
    must("touch", segment.touch(0, hive::page_size));
    return median_batch_ns(count, [&] {
      // Three bytes long; step_over() counts on it.
      asm volatile("movb $1, (%%rdi)" : : "D"(segment.data()) : "memory");
    });
  }

  double put() {
    hive::Segment segment = make(hive::page_size);
    const Record record{};
    return median_batch_ns(count, [&] { must("put", segment.put_as(0, record)); });
  }

  double read() {
    const hive::Segment segment = make(hive::page_size);
    return median_batch_ns(count, [&] {
      const auto record = must("read", segment.read_as<Record>(0));
      asm volatile("" : : "r"(&record) : "memory");
    });
  }

  double view() {
    const hive::Segment segment = make(hive::page_size);
    const auto seen = must("view", hive::view<std::uint64_t>(segment, 0));
    return median_batch_ns(count, [&] {
      const std::uint64_t value = *seen;
      asm volatile("" : : "r"(value) : "memory");
      if (!seen.valid()) std::exit(1);
    });
  }

  double publish() {
    hive::Segment segment = make(hive::Versioned<Record>::bytes());
    auto writer = must("create", hive::Versioned<Record>::Writer::create(segment, 0));
    return median_batch_ns(count, [&] { must("publish", writer.publish(Record{})); });
  }

  double latest() {
    hive::Segment segment = make(hive::Versioned<Record>::bytes());
    auto writer = must("create", hive::Versioned<Record>::Writer::create(segment, 0));
    must("publish", writer.publish(Record{}));
    const auto reader = must("open", hive::Versioned<Record>::Reader::open(segment, 0));
    Record record;
    return median_batch_ns(count, [&] { must("read", reader.read(record)); });
  }

  double ring() {
    hive::Segment segment = make(hive::RingWriter<Record>::bytes(1024));
    auto writer = must("create", hive::RingWriter<Record>::create(segment, 0, 1024));
    auto reader = must("open", hive::RingReader<Record>::open(segment, 0));
    Record record;
    return median_batch_ns(count, [&] {
      must("publish", writer.publish(record));
      if (must("read", reader.read({&record, 1})).count != 1) std::exit(1);
    });
  }

  double mutex() {
    const hive::Segment segment = make(hive::page_size);
    auto mutex = must("open a mutex", hive::Mutex::open(segment, "bench"));
    return median_batch_ns(count, [&] {
      must("lock", mutex.lock());
      must("unlock", mutex.unlock());
    });
  }

  double barrier() {
    const hive::Segment segment = make(hive::page_size);
    auto barrier = must("open a barrier", hive::Barrier::open(segment, "bench", 2));
    const int meetings = (std::max(1, count / batches)) * (batches + 1);
    std::thread other([&] {
      for (int i = 0; i < meetings; ++i) must("meet", barrier.arrive_and_wait());
    });
    const double ns = median_batch_ns(count, [&] { must("meet", barrier.arrive_and_wait()); });
    other.join();
    return ns;
  }

  double open() {
    const hive::Segment segment = make(hive::page_size);
    return median_batch_ns(
        count, [&] { const hive::Segment again = must("open", session.open(segment.name())); });
  }
};

void step_over(int, siginfo_t*, void* context) {
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 3;
}

}  // namespace

int main(int argc, char** argv) {
  const bool two_sided = argc == 6 && std::string_view(argv[1]).starts_with("oneway");
  const int home = argc == 4 || two_sided ? std::atoi(argv[2]) : -1;
  const int count = argc == 4 || two_sided ? std::atoi(argv[3]) : 0;
  if (home < 0 || count < 1) {
    std::fputs("usage: hive-bench-task WHAT HOME COUNT\n", stderr);
    return 2;
  }
  if (two_sided) {
    return bench::oneway(argv[1] == std::string_view("oneway-asleep"), count,
                         {std::atoi(argv[4]), std::atoi(argv[5])});
  }
  if (argv[1] == std::string_view("witness")) return bench::witness(count);
  if (argv[1] == std::string_view("spin")) return bench::spin(count);
  struct sigaction action {};
  action.sa_sigaction = step_over;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);

  Bench bench{must("attach", hive::attach()), home, count};
  const std::string what = argv[1];
  if (what.starts_with("file-")) {
    const double ns = bench::file_figure(bench.session, what, home, count);
    if (ns < 0) return 2;
    std::printf("%.3f\n", ns);
    return 0;
  }
  constexpr struct {
    const char* name;
    double (Bench::*measure)();
  } figures[] = {
      {"window", &Bench::window}, {"fault", &Bench::fault},     {"blocked", &Bench::blocked},
      {"open", &Bench::open},     {"put", &Bench::put},         {"read", &Bench::read},
      {"view", &Bench::view},     {"publish", &Bench::publish}, {"latest", &Bench::latest},
      {"ring", &Bench::ring},     {"mutex", &Bench::mutex},     {"barrier", &Bench::barrier},
      {"file", &Bench::file}};
  const auto* figure = std::find_if(std::begin(figures), std::end(figures),
                                    [&](auto& f) { return f.name == what; });
  if (figure == std::end(figures)) return 2;
  std::printf("%.3f\n", (bench.*figure->measure)());
  return 0;
}

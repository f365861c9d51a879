// A load with a known answer: the components of a spanning run share one segment for each cell;
// each writes numbered, summed records into its own pages of every segment and checks those of the
// others. A component that loses a segment with its home goes on with the rest. Exit status: 0
// when every record that it could read was whole, 1 when one was not. Usage: mixer ROUNDS
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <hive/hive.h>

namespace {

constexpr int components_max = 64;
constexpr auto open_wait = std::chrono::seconds(20);

struct Record {
  std::uint64_t round;
  std::uint64_t words[60];
  std::uint64_t sum;
};

std::uint64_t sum_of(const Record& record) {
  std::uint64_t sum = record.round * 0x9e3779b97f4a7c15;
  for (const std::uint64_t word : record.words) sum = (sum ^ word) * 0x100000001b3;
  return sum;
}

Record make_record(std::uint64_t round, int writer) {
  Record record{};
  record.round = round;
  for (std::size_t i = 0; i < 60; ++i)
    record.words[i] = round * 1000 + static_cast<std::uint64_t>(writer) + i;
  record.sum = sum_of(record);
  return record;
}

constexpr std::chrono::seconds torn_max(20);

bool is_expected(const hive::Error& error) {
  return error.code == hive::Code::cell_down || error.code == hive::Code::lost ||
         error.code == hive::Code::timed_out;
}

struct Tally {
  std::uint64_t written = 0;
  std::uint64_t read = 0;
  std::uint64_t lost = 0;
  std::uint64_t changing = 0;
  std::uint64_t wrong = 0;
};

void write_one(hive::Segment& segment, int self, std::uint64_t round, Tally& tally) {
  auto window = segment.write(static_cast<std::uint64_t>(self) * hive::page_size, sizeof(Record));
  if (!window) {
    if (!is_expected(window.error())) {
      std::fprintf(stderr, "mixer: write: %s\n", window.error().message().c_str());
      ++tally.wrong;
    }
    ++tally.lost;
    return;
  }
  const Record record = make_record(round, self);
  std::memcpy(window->data(), &record, sizeof record);
  if (auto done = window->commit(); !done && !is_expected(done.error())) ++tally.wrong;
  ++tally.written;
}

// A record that is being written is seen half old, half new, for as long as its writer may have
// lost its processor in the middle; one that nobody completes any more must become an error.
void check_one(const hive::Segment& segment, int other, Tally& tally) {
  const auto deadline = std::chrono::steady_clock::now() + torn_max;
  while (std::chrono::steady_clock::now() < deadline) {
    auto record = segment.read_as<Record>(static_cast<std::uint64_t>(other) * hive::page_size);
    if (!record) {
      if (!is_expected(record.error())) {
        std::fprintf(stderr, "mixer: read: %s\n", record.error().message().c_str());
        ++tally.wrong;
      }
      ++tally.lost;
      return;
    }
    if (record->round == 0 || record->sum == sum_of(*record)) {
      ++tally.read;
      return;
    }
    ++tally.changing;
    std::this_thread::yield();
  }
  std::fprintf(stderr, "mixer: a record of component %d stays torn without an error\n", other);
  ++tally.wrong;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t rounds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100;
  auto session = hive::attach();
  if (!session) {
    std::fprintf(stderr, "mixer: %s\n", session.error().message().c_str());
    return 1;
  }
  const int self = session->span_index();
  const int count = session->span_count();
  const std::string prefix = "mixer-" + session->span_id() + "-";
  auto own = session->create(prefix + std::to_string(self), components_max * hive::page_size);
  if (!own) {
    std::fprintf(stderr, "mixer: create: %s\n", own.error().message().c_str());
    return 1;
  }
  std::vector<hive::Segment> segments;
  for (int i = 0; i < count; ++i) {
    if (i == self) continue;
    auto opened = session->open(prefix + std::to_string(i), open_wait);
    if (opened) {
      segments.push_back(std::move(*opened));
    } else if (!is_expected(opened.error())) {
      std::fprintf(stderr, "mixer: open: %s\n", opened.error().message().c_str());
      return 1;
    }
  }
  segments.push_back(std::move(*own));
  // Nobody ends, and takes its segment along, before all have opened it. A component that is lost
  // before the start breaks the barrier; the others go on all the same.
  for (const hive::Segment& segment : segments) {
    if (segment.name() != prefix + "0") continue;
    auto start = hive::Barrier::open(segment, "start", static_cast<std::uint32_t>(count));
    if (start) (void)start->arrive_and_wait(open_wait);
  }

  Tally tally;
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    for (hive::Segment& segment : segments) {
      write_one(segment, self, round, tally);
      check_one(segment, static_cast<int>(round % static_cast<std::uint64_t>(count)), tally);
    }
    if (round == 1) {
      std::puts("mixing");
      std::fflush(stdout);
    }
  }
  std::printf("mixer %d: written %llu read %llu lost %llu changing %llu wrong %llu\n", self,
              static_cast<unsigned long long>(tally.written),
              static_cast<unsigned long long>(tally.read),
              static_cast<unsigned long long>(tally.lost),
              static_cast<unsigned long long>(tally.changing),
              static_cast<unsigned long long>(tally.wrong));
  return tally.wrong == 0 ? 0 : 1;
}

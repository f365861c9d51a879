// What the programs of the comparison have in common: the board on which a worker says how it
// fares, the record that it stores, and its main loop. Not a line of Hive here: each peer brings
// its own way to share.
//
//   PEER keep KIND NAME BOARD              makes what is shared, says "made", stays
//   PEER work KIND NAME BOARD SLOT SEED    works until it is killed or the board says stop
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace chaos {

inline constexpr int workers_max = 8;
inline constexpr int records = 16;
// Who waits for so long waits for nobody.
inline constexpr std::chrono::milliseconds patience{1000};

using Word = std::atomic<std::uint64_t>;

struct Board {  // chaos.py reads it in this order
  Word stop;
  struct Slot {
    Word ready;  // pid
    Word steps;  // records stored, or received
    Word told;   // errors that said what was lost
    Word torn;   // records that were half old, half new, without an error
    Word stuck;  // waits that ended for nothing but patience
  };
  std::array<Slot, workers_max> slots;
};

struct Record {  // all words follow from the first
  std::uint64_t words[64];
};

inline std::uint64_t word_of(std::uint64_t version, std::size_t i) {
  return version == 0 ? 0 : (version + i) * 0x9e3779b97f4a7c15;
}
inline Record record_of(std::uint64_t version) {
  Record record{};
  record.words[0] = version;
  for (std::size_t i = 1; i < std::size(record.words); ++i) {
    record.words[i] = word_of(version, i);
  }
  return record;
}
inline bool is_whole(const Record& record) {
  for (std::size_t i = 1; i < std::size(record.words); ++i) {
    if (record.words[i] != word_of(record.words[0], i)) return false;
  }
  return true;
}
// Word by word, in order, as a program does that computes what it stores.
inline void store(volatile std::uint64_t* to, const Record& record) {
  for (std::size_t i = 0; i < std::size(record.words); ++i) to[i] = record.words[i];
}

inline Board& map_board(const char* path) {
  const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof(Board)) != 0) std::exit(2);
  void* at = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) std::exit(2);
  return *static_cast<Board*>(at);
}

struct Job {
  std::string kind;
  std::string name;
  int slot = 0;  // in a stream, slot 0 writes and the others read
  Board* board = nullptr;
  std::mt19937_64 random;

  Board::Slot& self() const { return board->slots[static_cast<std::size_t>(slot)]; }
  bool stopped() const { return board->stop.load() != 0; }
  void ready() const { self().ready.store(static_cast<std::uint64_t>(::getpid())); }
  std::size_t pick() { return random() % records; }
  std::uint64_t version() { return random() | 1; }
};

// For those that cannot go on: they are counted as stuck until they are killed.
inline void stay(const Job& job) {
  while (!job.stopped()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

// keep() makes what is shared and returns what has to live; work() returns at the end.
template <class Keep, class Work>
int run(int argc, char** argv, Keep keep, Work work) {
  if (argc < 5) return 2;
  Job job;
  job.kind = argv[2];
  job.name = argv[3];
  job.board = &map_board(argv[4]);
  if (std::strcmp(argv[1], "keep") == 0) {
    [[maybe_unused]] const auto kept = keep(job);
    std::puts("made");
    std::fflush(stdout);
    stay(job);
    return 0;
  }
  if (argc < 7) return 2;
  job.slot = std::atoi(argv[5]);
  job.random.seed(std::strtoull(argv[6], nullptr, 0));
  work(job);
  return 0;
}

}  // namespace chaos

#include "base/futex.h"

#include <thread>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/time.h"

namespace hive {
namespace {

// A word as its owner sees it, and as a reader who may not store there.
class SharedWord {
 public:
  SharedWord() {
    const int file = ::memfd_create("futex-test", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(file, 4096), 0);
    writable_ = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    readable_ = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
  }
  ~SharedWord() {
    ::munmap(writable_, 4096);
    ::munmap(readable_, 4096);
  }
  SharedWord(const SharedWord&) = delete;
  SharedWord& operator=(const SharedWord&) = delete;
  std::atomic<std::uint32_t>& owner() {
    return *static_cast<std::atomic<std::uint32_t>*>(writable_);
  }
  const std::atomic<std::uint32_t>& reader() {
    return *static_cast<const std::atomic<std::uint32_t>*>(readable_);
  }

 private:
  void* writable_;
  void* readable_;
};

constexpr std::uint64_t long_ns = 20 * ns_per_s;

TEST(Futex, AReaderOfAReadOnlyMappingIsWoken) {
  SharedWord word;
  std::thread waiter([&] {
    while (word.reader().load() == 0) {
      ASSERT_NE(futex_wait(&word.reader(), 0, now_ns() + long_ns), FutexWait::timed_out);
    }
  });
  word.owner().store(1);
  futex_wake(&word.owner(), 1);
  waiter.join();
}

TEST(Futex, AReaderWakesOthersToo) {
  SharedWord word;
  std::thread waiter([&] {
    while (word.reader().load() == 0) {
      ASSERT_NE(futex_wait(&word.reader(), 0, now_ns() + long_ns), FutexWait::timed_out);
    }
  });
  word.owner().store(1);
  EXPECT_GE(futex_wake(&word.reader(), 1), 0);
  waiter.join();
}

TEST(Futex, AnyOfSeveralWordsEndsTheWait) {
  SharedWord first;
  SharedWord second;
  std::thread waiter([&] {
    const FutexWord words[] = {{&first.reader(), 0}, {&second.reader(), 0}};
    while (second.reader().load() == 0) {
      ASSERT_NE(futex_wait_any(words, now_ns() + long_ns), FutexWait::timed_out);
    }
  });
  second.owner().store(1);
  futex_wake(&second.owner(), 1);
  waiter.join();
}

TEST(Futex, DeadlineAndFaultAreToldApart) {
  SharedWord word;
  EXPECT_EQ(futex_wait(&word.reader(), 0, now_ns() + ns_per_ms), FutexWait::timed_out);
  EXPECT_EQ(futex_wait(&word.reader(), 7, now_ns() + long_ns), FutexWait::woken);
  const auto* nowhere = reinterpret_cast<const std::atomic<std::uint32_t>*>(0x1000);
  EXPECT_EQ(futex_wait(nowhere, 0, now_ns() + long_ns), FutexWait::fault);
}

}  // namespace
}  // namespace hive

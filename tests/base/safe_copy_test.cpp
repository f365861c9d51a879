#include "base/safe_copy.h"

#include <array>
#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/time.h"

namespace hive {
namespace {

constexpr std::size_t page = 4096;

// Two pages of a file of one page: the second is a bus error.
class SafeCopy : public testing::Test {
 protected:
  void SetUp() override {
    install_safe_copy_handler();
    const int file = ::memfd_create("safe-copy-test", MFD_CLOEXEC);
    ASSERT_GE(file, 0);
    ASSERT_EQ(::ftruncate(file, page), 0);
    void* memory = ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ASSERT_NE(memory, MAP_FAILED);
    ::close(file);
    begin_ = static_cast<std::byte*>(memory);
    for (std::size_t i = 0; i < page; ++i) begin_[i] = static_cast<std::byte>(i * 7);
  }
  void TearDown() override { ::munmap(begin_, 2 * page); }

  std::byte* begin_ = nullptr;
};

TEST_F(SafeCopy, CopiesEveryLengthAndAlignmentWhole) {
  std::vector<std::byte> out(page + 1);
  for (std::size_t length : {0, 1, 3, 7, 8, 9, 15, 16, 17, 48, 64, 100, 255, 256, 257, 1000}) {
    for (std::size_t offset = 0; offset < 17; ++offset) {
      std::fill(out.begin(), out.end(), std::byte{0xee});
      ASSERT_TRUE(safe_copy(out.data(), begin_ + offset, length));
      ASSERT_EQ(std::memcmp(out.data(), begin_ + offset, length), 0);
      ASSERT_EQ(out[length], std::byte{0xee}) << "one byte too many";
    }
  }
}

template <class Word>
void expect_whole_words() {
  std::atomic<Word> word{0};
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (Word next = 0; !done.load(std::memory_order_relaxed); next = static_cast<Word>(~next)) {
      word.store(next, std::memory_order_relaxed);
      for (int i = 0; i < 20; ++i) cpu_relax();  // the reader keeps the line for most of the time
    }
  });
  int torn = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    Word seen = 0;
    EXPECT_TRUE(safe_copy(&seen, &word, sizeof seen));
    if (seen != 0 && seen != static_cast<Word>(~Word{0})) ++torn;
  }
  done.store(true);
  changer.join();
  EXPECT_EQ(torn, 0);
}

TEST_F(SafeCopy, AWordThatChangesIsSeenWhole) {
  expect_whole_words<std::uint32_t>();
  expect_whole_words<std::uint64_t>();
}

TEST_F(SafeCopy, ABusErrorAtAnyByteIsAReturnValue) {
  std::array<std::byte, 600> out{};
  for (std::size_t before = 0; before < 550; ++before) {
    ASSERT_FALSE(safe_copy(out.data(), begin_ + page - before, before + 1)) << before;
    ASSERT_TRUE(safe_copy(out.data(), begin_ + page - before, before)) << before;
  }
}

TEST_F(SafeCopy, LoadsAndStoresOfWordsReportFaults) {
  std::uint32_t value32 = 0;
  std::uint64_t value64 = 0;
  EXPECT_TRUE(safe_load32(begin_ + 64, value32));
  EXPECT_TRUE(safe_load64(begin_ + 64, value64));
  EXPECT_EQ(static_cast<std::uint32_t>(value64), value32);
  EXPECT_TRUE(safe_store8(begin_ + 5, 99));
  EXPECT_EQ(begin_[5], std::byte{99});
  EXPECT_FALSE(safe_load32(begin_ + page, value32));
  EXPECT_FALSE(safe_load64(begin_ + page + 8, value64));
  EXPECT_FALSE(safe_store8(begin_ + page, 1));
}

TEST_F(SafeCopy, AnUnmappedAddressIsAReturnValueToo) {
  std::array<std::byte, 64> out{};
  EXPECT_FALSE(safe_copy(out.data(), reinterpret_cast<const void*>(0x10), 64));
}

using SafeCopyDeathTest = SafeCopy;

TEST_F(SafeCopyDeathTest, AFaultElsewhereStillKills) {
  EXPECT_DEATH({ *reinterpret_cast<volatile char*>(begin_ + page) = 1; }, "");
}

}  // namespace
}  // namespace hive

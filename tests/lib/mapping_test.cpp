// Anonymous memory of a task: zero, its own, page by page, and an error when there is none left.
#include <hive/hive.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_machine.h"
#include "sanitized.h"

namespace hive::test {
namespace {

class MappingTest : public ::testing::Test {
 protected:
  MappingTest() : machine(2) {
    if (machine::probe_firewall_mode() == machine::FirewallMode::cooperative) {
      skipped = true;
    }
  }
  void SetUp() override {
    if (skipped) GTEST_SKIP() << "this host has no firewall";
  }
  FakeMachine machine;
  bool skipped = false;
};

// The first word of a page.
std::uint64_t get(const Mapping& mapping, std::uint64_t page) {
  return *mapping.at<volatile std::uint64_t>(page * page_size);
}
void put(const Mapping& mapping, std::uint64_t page, std::uint64_t value) {
  *mapping.at<volatile std::uint64_t>(page * page_size) = value;
}

TEST_F(MappingTest, IsZeroAndKeepsWhatIsStored) {
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  auto memory = session->map_anonymous(1'000'001);
  ASSERT_TRUE(memory) << memory.error().message();
  EXPECT_EQ(memory->size(), 1'000'001U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->data()) % page_size, 0U);
  for (std::uint64_t i = 0; i < memory->size(); ++i) ASSERT_EQ(memory->data()[i], std::byte{0});
  for (std::uint64_t i = 0; i < memory->size(); ++i) {
    memory->data()[i] = static_cast<std::byte>(i * 7);
  }
  for (std::uint64_t i = 0; i < memory->size(); ++i) {
    ASSERT_EQ(memory->data()[i], static_cast<std::byte>(i * 7)) << i;
  }
}

TEST_F(MappingTest, SeveralAreApartAndServeManyThreads) {
  auto session = hive::attach({.cell = 1});
  ASSERT_TRUE(session);
  std::vector<Mapping> all;
  for (int i = 0; i < 5; ++i) {
    auto memory = session->map_anonymous(200 * page_size);
    ASSERT_TRUE(memory);
    all.push_back(std::move(*memory));
  }
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (std::uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      errno = 1234;
      for (std::uint64_t page = 0; page < 200; ++page) {
        for (const Mapping& memory : all) {
          // Each thread has a word of its own in every page.
          memory.at<std::uint64_t>(page * page_size)[t] = page + t;
        }
      }
      if (errno != 1234) ++wrong;  // faults leave it alone
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::uint64_t page = 0; page < 200; ++page) {
    for (const Mapping& memory : all) {
      for (std::uint64_t t = 0; t < 8; ++t) {
        wrong += memory.at<std::uint64_t>(page * page_size)[t] == page + t ? 0 : 1;
      }
    }
  }
  EXPECT_EQ(wrong.load(), 0);
}

TEST_F(MappingTest, NeedsNoRunOfFrames) {
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  // Every second page of the first half of the node is free, and the second half is taken.
  const std::uint64_t node_pages = FakeMachine::user_bytes / page_size;
  constexpr std::uint64_t singles = 400;
  std::vector<Segment> kept;
  std::vector<Segment> given_up;
  for (std::uint64_t i = 0; i < singles; ++i) {
    auto segment = session->create("s" + std::to_string(i), page_size);
    ASSERT_TRUE(segment);
    (i % 2 == 0 ? kept : given_up).push_back(std::move(*segment));
  }
  auto rest = session->create("rest", (node_pages - singles) * page_size);
  ASSERT_TRUE(rest) << rest.error().message();
  given_up.clear();
  ASSERT_FALSE(session->create("two", 2 * page_size)) << "no run of two is free";
  auto memory = session->map_anonymous(singles / 2 * page_size);
  ASSERT_TRUE(memory);
  for (std::uint64_t page = 0; page < singles / 2; ++page) put(*memory, page, page + 1);
  for (std::uint64_t page = 0; page < singles / 2; ++page) ASSERT_EQ(get(*memory, page), page + 1);
}

TEST_F(MappingTest, SystemCallsReachWhatIsThere) {
  auto session = hive::attach({.cell = 0});
  auto memory = session->map_anonymous(64 * page_size);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(memory->populate(0, memory->size()));
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  put(*memory, 3, 99);
  ASSERT_EQ(::write(ends[1], memory->data() + 3 * page_size, 2 * page_size), 2 * page_size);
  ASSERT_EQ(::read(ends[0], memory->data() + 20 * page_size, 2 * page_size), 2 * page_size);
  EXPECT_EQ(get(*memory, 20), 99U);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(MappingTest, AFullCellFailsTheOneRequest) {
  auto session = hive::attach({.cell = 0});
  auto keeps = session->map_anonymous(16 * page_size);
  ASSERT_TRUE(keeps);
  put(*keeps, 0, 5);
  auto much = session->map_anonymous(2 * FakeMachine::user_bytes);
  ASSERT_TRUE(much) << "no page of it is there yet";
  const auto populated = much->populate(0, much->size());
  ASSERT_FALSE(populated);
  EXPECT_EQ(populated.error().code, Code::exhausted);
  EXPECT_EQ(populated.error().sys_errno, ENOMEM);
  const auto loaded = guarded([&] {
    (void)get(*much, 2 * FakeMachine::user_bytes / page_size - 1);
  });
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::exhausted) << loaded.error().message();
  EXPECT_EQ(get(*keeps, 0), 5U);
  put(*keeps, 1, 6);
  much->unmap();
  auto again = session->map_anonymous(FakeMachine::user_bytes / 2);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->populate(0, again->size())) << "what was unmapped is there again";
  EXPECT_EQ(get(*again, 77), 0U);
  EXPECT_EQ(get(*keeps, 1), 6U);
}

TEST_F(MappingTest, ATouchThatCannotBeServedSaysWhy) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Child child([&](Child&) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::signal(SIGBUS, SIG_DFL);
    auto session = hive::attach({.cell = 0});
    auto much = session->map_anonymous(2 * FakeMachine::user_bytes);
    for (std::uint64_t page = 0; page < much->size() / page_size; ++page) put(*much, page, 1);
    return 0;
  });
  ::close(ends[1]);
  std::string words;
  for (char c = 0; ::read(ends[0], &c, 1) == 1;) words += c;
  ::close(ends[0]);
  const int status = child.wait();
  EXPECT_TRUE(under_sanitizer || (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS)) << status;
  EXPECT_NE(words.find("store to mapped memory at 0x"), std::string::npos) << words;
  EXPECT_NE(words.find("the cell has no memory left for this page"), std::string::npos) << words;
}

TEST_F(MappingTest, WhatADeadTaskHadIsZeroForTheNext) {
  for (int round = 0; round < 3; ++round) {
    Child child([&](Child& self) {
      auto session = hive::attach({.cell = 0});
      auto memory = session->map_anonymous(FakeMachine::user_bytes * 3 / 4);
      if (!memory || !memory->populate(0, memory->size())) return 1;
      for (std::uint64_t page = 0; page < memory->size() / page_size; ++page) {
        if (get(*memory, page) != 0) return 2;
        put(*memory, page, 0x7777);
      }
      self.tell();
      ::pause();
      return 0;
    });
    ASSERT_TRUE(child.hear()) << "round " << round << " did not find its memory, or not zero";
    child.kill();
    ASSERT_TRUE(wait_until([&] { return machine.ask(0, "clients") == "0"; }));
  }
}

TEST_F(MappingTest, AfterItsEndNothingIsThere) {
  auto session = hive::attach({.cell = 0});
  auto memory = session->map_anonymous(4 * page_size);
  ASSERT_TRUE(memory);
  const volatile std::byte* const at = memory->data();
  memory->data()[0] = std::byte{1};
  EXPECT_FALSE(guarded([&] { (void)*(at + 4 * page_size); })) << "behind its end";
  memory->unmap();
  memory->unmap();
  EXPECT_EQ(memory->data(), nullptr);
  const auto loaded = guarded([&] { (void)*at; });
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::refused);
}

TEST_F(MappingTest, AForkedChildHasNoneOfIt) {
  Child child([](Child&) {
    auto session = hive::attach({.cell = 0});
    auto memory = session->map_anonymous(4 * page_size);
    put(*memory, 0, 5);
    const pid_t forked = ::fork();
    if (forked == 0) {
      ::signal(SIGSEGV, SIG_DFL);
      ::signal(SIGBUS, SIG_DFL);
      const std::uint64_t seen = get(*memory, 0);
      ::_exit(seen == 5 ? 3 : 4);
    }
    int status = 0;
    ::waitpid(forked, &status, 0);
    if (!died_of_fault(status)) return 1;
    return get(*memory, 0) == 5 ? 0 : 2;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(MappingTest, OutlivesItsSessionAsNothingAtAll) {
  Child child([](Child&) {
    auto session = hive::attach({.cell = 0});
    auto memory = session->map_anonymous(4 * page_size);
    put(*memory, 0, 5);
    { const Session gone = std::move(*session); }
    if (memory->populate(0, page_size)) return 1;
    auto next = hive::attach({.cell = 0});
    if (!next) return 2;
    memory->unmap();
    auto other = next->map_anonymous(4 * page_size);
    if (!other || get(*other, 0) != 0) return 3;
    put(*other, 0, 6);
    return get(*other, 0) == 6 ? 0 : 4;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(MappingTest, SenselessSizesAreRefused) {
  auto session = hive::attach({.cell = 0});
  EXPECT_EQ(session->map_anonymous(0).error().code, Code::bad_argument);
  EXPECT_EQ(session->map_anonymous(~std::uint64_t{0}).error().code, Code::exhausted);
  EXPECT_EQ(session->map_anonymous(std::uint64_t{341} << 30).error().code, Code::exhausted);
  auto memory = session->map_anonymous(page_size);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->populate(page_size, 1).error().code, Code::bad_argument);
  EXPECT_EQ(memory->populate(1, ~std::uint64_t{0}).error().code, Code::bad_argument);
  EXPECT_TRUE(memory->populate(page_size, 0));
}

TEST_F(MappingTest, NoMoreMappingsThanAreSafe) {
  auto session = hive::attach({.cell = 0});
  std::vector<Mapping> all;
  Result<Mapping> last = fail(Code::host, "none");
  while (all.size() < 5000 && (last = session->map_anonymous(page_size))) {
    all.push_back(std::move(*last));
  }
  EXPECT_EQ(all.size(), 1024U);
  EXPECT_EQ(last.error().code, Code::exhausted);
  all.erase(all.begin() + 10);
  EXPECT_TRUE(session->map_anonymous(page_size));
}

}  // namespace
}  // namespace hive::test

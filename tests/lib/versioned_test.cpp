// Versioned values: whole versions only, whatever becomes of the writer and whenever.
#include <hive/hive.h>

#include <array>
#include <csignal>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include <sys/wait.h>

#include "random_moments.h"

namespace hive::test {
namespace {

static_assert(Shareable<int> && Shareable<std::array<double, 3>> && Shareable<Range>);
static_assert(!Shareable<int*> && !Shareable<std::array<char*, 2>> && !Shareable<const int>);
static_assert(!Shareable<std::string> && !Shareable<std::string_view> && !Shareable<int&>);
static_assert(!Shareable<std::span<int>> && !Shareable<std::optional<int*>>);
static_assert(!Shareable<std::reference_wrapper<int>> && !Shareable<int Range::*>);

// A value of which each word says which version it belongs to.
template <std::size_t words>
struct Numbered {
  std::array<std::uint64_t, words> word{};
  static Numbered of(std::uint64_t version) {
    Numbered value;
    for (std::size_t i = 0; i < words; ++i) value.word[i] = version * words + i;
    return value;
  }
  bool is(std::uint64_t version) const {
    for (std::size_t i = 0; i < words; ++i) {
      if (word[i] != version * words + i) return false;
    }
    return true;
  }
};
using Small = Numbered<3>;
using Short = Numbered<29>;  // the longest that is read with one copy
using Long = Numbered<30>;
using Pages = Numbered<1500>;

class VersionedTest : public ::testing::TestWithParam<machine::FirewallMode> {
 protected:
  static constexpr std::uint64_t room = 64 * page_size;
  VersionedTest()
      : machine(2, GetParam()),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session.create("s", room, {.home = 1}))) {}

  // A task that makes the value, tells its parent, and publishes for ever.
  template <class T>
  static int publish_for_ever(Child& parent) {
    auto mine = hive::attach({.cell = 1});
    auto opened = mine ? mine->open("s") : fail(mine.error());
    if (!opened) return 1;
    auto writer = Versioned<T>::Writer::create(*opened, page_size);
    if (!writer) return 2;
    if (!writer->publish(T::of(1))) return 3;
    parent.tell();
    for (std::uint64_t version = 2;; ++version) {
      const auto done = writer->publish(T::of(version));
      if (!done || *done != version) return 4;
    }
  }

  FakeMachine machine;
  Session session;
  Segment segment;
};

TEST_P(VersionedTest, EachReadGivesTheLastVersionPublished) {
  auto writer = Versioned<Small>::Writer::create(segment, 0);
  ASSERT_TRUE(writer) << writer.error().message();
  auto reader = Versioned<Small>::Reader::open(segment, 0);
  ASSERT_TRUE(reader) << reader.error().message();
  EXPECT_EQ(reader->read().error().code, Code::not_found);
  EXPECT_EQ(*reader->version(), 0U);
  for (std::uint64_t version = 1; version <= 100; ++version) {
    ASSERT_EQ(*writer->publish(Small::of(version)), version);
    EXPECT_EQ(writer->version(), version);
    EXPECT_EQ(*reader->version(), version);
    const auto now = reader->read();
    ASSERT_TRUE(now);
    EXPECT_EQ(now->version, version);
    EXPECT_TRUE(now->value.is(version));
  }
}

TEST_P(VersionedTest, ValuesOfEverySizeArriveWhole) {
  const auto round_trip = [&](auto value) {
    using T = decltype(value);
    auto writer = Versioned<T>::Writer::create(segment, 0);
    ASSERT_TRUE(writer) << writer.error().message();
    auto reader = Versioned<T>::Reader::open(segment, 0);
    ASSERT_TRUE(reader);
    ASSERT_TRUE(writer->publish(T::of(1)) && writer->publish(T::of(2)));
    EXPECT_TRUE(reader->read()->value.is(2));
    ASSERT_TRUE(writer->commit());
  };
  round_trip(Numbered<1>{});
  round_trip(Short{});
  round_trip(Long{});
  round_trip(Pages{});
  auto byte = Versioned<char>::Writer::create(segment, 0);
  ASSERT_TRUE(byte && byte->publish('x'));
  EXPECT_EQ(Versioned<char>::Reader::open(segment, 0)->read()->value, 'x');
}

TEST_P(VersionedTest, PlacesAndTypesAreChecked) {
  using V = Versioned<Small>;
  EXPECT_EQ(V::Writer::create(segment, 8).error().code, Code::bad_argument);
  EXPECT_EQ(V::Writer::create(segment, room).error().code, Code::bad_argument);
  EXPECT_EQ(V::Reader::open(segment, ~std::uint64_t{0} << 12).error().code, Code::bad_argument);
  EXPECT_EQ(V::Reader::open(segment, 0).error().code, Code::not_found);
  EXPECT_EQ(V::Writer::resume(segment, 0).error().code, Code::not_found);
  EXPECT_EQ(V::Reader::open(segment, 0).error().code, Code::not_found);  // and it is not torn
  auto writer = V::Writer::create(segment, 0);
  ASSERT_TRUE(writer);
  EXPECT_EQ(V::Writer::create(segment, 0).error().code, Code::busy);
  EXPECT_EQ(Versioned<Long>::Reader::open(segment, 0).error().code, Code::corrupt);
  ASSERT_TRUE(writer->commit());
  EXPECT_EQ(writer->publish({}).error().code, Code::bad_argument);
}

TEST_P(VersionedTest, WhatIsCommittedStaysAndALaterWriterGoesOn) {
  auto writer = Versioned<Small>::Writer::create(segment, 0);
  ASSERT_TRUE(writer && writer->publish(Small::of(1)) && writer->publish(Small::of(2)));
  auto before = Versioned<Small>::Reader::open(segment, 0);
  ASSERT_TRUE(before && writer->commit());
  EXPECT_TRUE(before->read()->value.is(2));
  auto next = Versioned<Small>::Writer::resume(segment, 0);
  ASSERT_TRUE(next) << next.error().message();
  EXPECT_EQ(*next->publish(Small::of(3)), 3U);
  EXPECT_EQ(before->read()->version, 3U);
  EXPECT_TRUE(before->read()->value.is(3));
}

TEST_P(VersionedTest, AWriterThatLeavesWithoutCommitIsLost) {
  auto writer = std::optional(std::move(*Versioned<Small>::Writer::create(segment, 0)));
  auto reader = Versioned<Small>::Reader::open(segment, 0);
  ASSERT_TRUE(reader && writer->publish(Small::of(1)));
  writer.reset();
  EXPECT_EQ(reader->read().error().code, Code::lost);
  EXPECT_EQ(Versioned<Small>::Writer::create(segment, 0).error().code, Code::lost);
  ASSERT_TRUE(segment.reset(0, Versioned<Small>::bytes()));
  EXPECT_EQ(reader->read().error().code, Code::lost);
  auto again = Versioned<Small>::Writer::create(segment, 0);
  ASSERT_TRUE(again && again->publish(Small::of(1)));
  EXPECT_EQ(reader->read().error().code, Code::lost);  // not what it was opened for
  EXPECT_TRUE(Versioned<Small>::Reader::open(segment, 0)->read());
}

TEST_P(VersionedTest, AHomeThatDiesIsCellDown) {
  auto writer = Versioned<Small>::Writer::create(segment, 0);
  auto reader = Versioned<Small>::Reader::open(segment, 0);
  ASSERT_TRUE(writer && reader && writer->publish(Small::of(1)));
  machine.kill(1);
  EXPECT_EQ(reader->read().error().code, Code::cell_down);
  EXPECT_EQ(writer->commit().error().code, Code::cell_down);
}

TEST_P(VersionedTest, MemoryThatFailsIsAnErrorOfBothAndNoSignal) {
  auto writer = Versioned<Small>::Writer::create(segment, 0);
  auto reader = Versioned<Small>::Reader::open(segment, 0);
  ASSERT_TRUE(writer && reader && writer->publish(Small::of(1)));
  (void)machine.ask(1, "fail");
  ASSERT_TRUE(wait_until([&] {
    const auto published = writer->publish(Small::of(2));
    return !published && published.error().code == Code::cell_down;
  }));
  EXPECT_EQ(reader->read().error().code, Code::cell_down);
}

// Reads until the end of the writer, killed after a random time; the number of reads.
template <class T>
void read_until_death(Segment& segment, Child& writer, RandomMoments& moments,
                      std::uint64_t& reads, std::uint64_t& published) {
  auto reader = Versioned<T>::Reader::open(segment, page_size);
  ASSERT_TRUE(reader) << reader.error().message();
  std::uint64_t last = 0;
  std::jthread death([&] {
    moments.pass(4000);
    writer.kill();
  });
  while (true) {
    T value;
    const auto version = reader->read(value);
    if (!version && version.error().code == Code::busy) continue;
    if (!version) {
      ASSERT_EQ(version.error().code, Code::lost) << version.error().message();
      break;
    }
    ASSERT_TRUE(value.is(*version)) << *version;
    ASSERT_GE(*version, last);
    last = *version;
    ++reads;
  }
  published += last;
}

template <class T>
void kill_writers(Segment& segment, const std::function<int(Child&)>& body, int rounds) {
  RandomMoments moments;
  std::uint64_t reads = 0;
  std::uint64_t published = 0;
  constexpr std::uint64_t enough = 5000;  // on a busy machine a writer gets little done in a round
  for (int round = 0; round < rounds || published <= enough; ++round) {
    ASSERT_LT(round, 100 * rounds);
    Child writer(body);
    ASSERT_TRUE(writer.hear());
    read_until_death<T>(segment, writer, moments, reads, published);
    if (::testing::Test::HasFatalFailure()) return;
    ASSERT_TRUE(segment.reset(0, segment.size()));
  }
  std::printf("%llu reads of %llu versions\n", static_cast<unsigned long long>(reads),
              static_cast<unsigned long long>(published));
}

TEST_P(VersionedTest, NoReaderEverSeesAMixtureThoughWritersAreKilled) {
  kill_writers<Small>(segment, &publish_for_ever<Small>, 15);
  if (HasFatalFailure()) return;
  kill_writers<Short>(segment, &publish_for_ever<Short>, 10);
  if (HasFatalFailure()) return;
  kill_writers<Pages>(segment, &publish_for_ever<Pages>, 15);
}

TEST_P(VersionedTest, AWriterThatIsStoppedKeepsNobodyWaiting) {
  RandomMoments moments;
  Child writer(&publish_for_ever<Pages>);
  ASSERT_TRUE(writer.hear());
  auto reader = Versioned<Pages>::Reader::open(segment, page_size);
  ASSERT_TRUE(reader);
  for (int round = 0; round < 100; ++round) {
    moments.pass(300);
    ::kill(writer.pid(), SIGSTOP);
    const std::uint64_t begin = now_ns();
    const auto stopped = [&] {
      siginfo_t info{};
      return ::waitid(P_PID, static_cast<id_t>(writer.pid()), &info,
                      WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
             info.si_pid != 0;
    };
    ASSERT_TRUE(wait_until(stopped));
    std::uint64_t first = 0;
    for (int i = 0; i < 3; ++i) {
      const auto now = reader->read();
      ASSERT_TRUE(now) << now.error().message();
      ASSERT_TRUE(now->value.is(now->version));
      if (i == 0) first = now->version;
      ASSERT_EQ(now->version, first);
    }
    EXPECT_LT(now_ns() - begin, 10 * ns_per_s);
    siginfo_t taken{};
    (void)::waitid(P_PID, static_cast<id_t>(writer.pid()), &taken, WSTOPPED | WNOHANG);
    ::kill(writer.pid(), SIGCONT);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, VersionedTest, ::testing::ValuesIn(firewall_modes()),
                         &firewall_mode_name);

}  // namespace
}  // namespace hive::test

// Rings: every record once and in order or counted as missed, whatever becomes of the writer.
#include <hive/hive.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include <sys/wait.h>

#include "random_moments.h"

namespace hive::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

template <std::size_t words>
struct Numbered {
  std::array<std::uint64_t, words> word{};
  static Numbered of(std::uint64_t number) {
    Numbered record;
    for (std::size_t i = 0; i < words; ++i) record.word[i] = number * words + i;
    return record;
  }
  bool is(std::uint64_t number) const {
    for (std::size_t i = 0; i < words; ++i) {
      if (word[i] != number * words + i) return false;
    }
    return true;
  }
};
using Small = Numbered<2>;
using Odd = Numbered<5>;      // does not divide a page
using Large = Numbered<700>;  // more than a page

class RingTest : public ::testing::TestWithParam<machine::FirewallMode> {
 protected:
  static constexpr std::uint64_t room = 64 * page_size;
  RingTest()
      : machine(2, GetParam()),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session.create("s", room, {.home = 1}))) {}

  // A task that makes a ring, tells its parent, and publishes record after record for ever.
  template <class T, std::uint64_t capacity>
  static int publish_for_ever(Child& parent) {
    auto mine = hive::attach({.cell = 1});
    auto opened = mine ? mine->open("s") : fail(mine.error());
    if (!opened) return 1;
    auto writer = RingWriter<T>::create(*opened, page_size, capacity);
    if (!writer) return 2;
    parent.tell();
    std::array<T, 7> some;
    for (std::uint64_t number = 0;;) {
      const std::size_t count = 1 + number % some.size();
      for (std::size_t i = 0; i < count; ++i) some[i] = T::of(number + i);
      if (!writer->publish(std::span(some).first(count))) return 3;
      number += count;
      if (writer->published() != number) return 4;
    }
  }

  FakeMachine machine;
  Session session;
  Segment segment;
};

TEST_P(RingTest, EachReaderGetsEveryRecordInOrder) {
  auto writer = RingWriter<Odd>::create(segment, 0, 100);
  ASSERT_TRUE(writer) << writer.error().message();
  EXPECT_EQ(writer->capacity(), 128U);
  auto first = RingReader<Odd>::open(segment, 0);
  auto second = RingReader<Odd>::open(segment, 0);
  ASSERT_TRUE(first && second) << first.error().message();
  std::array<Odd, 10> out;
  EXPECT_EQ(first->read(out)->count, 0U);
  for (std::uint64_t n = 0; n < 1000; ++n) {
    ASSERT_TRUE(writer->publish(Odd::of(n)));
    const auto batch = first->read(out);
    ASSERT_TRUE(batch) << batch.error().message();
    ASSERT_EQ(batch->count, 1U);
    ASSERT_EQ(batch->missed, 0U);
    ASSERT_TRUE(out[0].is(n));
    if (n % 64 != 63) continue;
    for (std::uint64_t next = n - 63; next <= n;) {  // by tens and a rest, across the end
      const auto tens = second->read(out);
      ASSERT_TRUE(tens && tens->count > 0 && tens->missed == 0);
      for (std::size_t i = 0; i < tens->count; ++i) ASSERT_TRUE(out[i].is(next++));
    }
  }
  EXPECT_EQ(first->position(), 1000U);
}

TEST_P(RingTest, ASlowReaderIsToldExactlyWhatItMissed) {
  auto writer = RingWriter<Small>::create(segment, 0, 64);
  auto reader = RingReader<Small>::open(segment, 0);
  ASSERT_TRUE(writer && reader);
  std::array<Small, 64> out;
  std::vector<Small> all;
  for (std::uint64_t n = 0; n < 64; ++n) all.push_back(Small::of(n));
  ASSERT_TRUE(writer->publish(all));
  auto batch = reader->read(std::span(out).first(1));
  ASSERT_TRUE(batch && batch->count == 1 && batch->missed == 0 && out[0].is(0));
  ASSERT_TRUE(writer->publish(Small::of(64)));
  batch = reader->read(std::span(out).first(1));  // the next one is still there
  ASSERT_TRUE(batch && batch->count == 1 && batch->missed == 0 && out[0].is(1));
  for (std::uint64_t n = 65; n < 67; ++n) ASSERT_TRUE(writer->publish(Small::of(n)));
  batch = reader->read(out);  // number 2 has been overwritten
  ASSERT_TRUE(batch && batch->count > 0);
  EXPECT_TRUE(out[0].is(2 + batch->missed));
  EXPECT_EQ(batch->missed + batch->count, 65U);
  EXPECT_GE(batch->missed, 1U);
  EXPECT_LE(batch->missed, 65U - 32U);  // not more than half a ring for nothing
  EXPECT_EQ(reader->position(), 67U);
}

TEST_P(RingTest, AReaderMayBeginWithWhatIsStillThere) {
  auto writer = RingWriter<Small>::create(segment, 0, 8);
  ASSERT_TRUE(writer);
  for (std::uint64_t n = 0; n < 5; ++n) ASSERT_TRUE(writer->publish(Small::of(n)));
  std::array<Small, 8> out;
  auto early = RingReader<Small>::open(segment, 0, RingStart::oldest);
  const auto five = early->read(out);
  ASSERT_TRUE(five && five->count == 5 && five->missed == 0 && out[0].is(0));
  for (std::uint64_t n = 5; n < 20; ++n) ASSERT_TRUE(writer->publish(Small::of(n)));
  auto late = RingReader<Small>::open(segment, 0, RingStart::oldest);
  const auto eight = late->read(out);
  ASSERT_TRUE(eight && eight->count == 8 && eight->missed == 0 && out[0].is(12));
}

TEST_P(RingTest, PlacesAndTypesAreChecked) {
  using Writer = RingWriter<Small>;
  using Reader = RingReader<Small>;
  EXPECT_EQ(Writer::create(segment, 8, 4).error().code, Code::bad_argument);
  EXPECT_EQ(Writer::create(segment, 0, 1).error().code, Code::bad_argument);
  EXPECT_EQ(Writer::create(segment, 0, ~std::uint64_t{0}).error().code, Code::bad_argument);
  EXPECT_EQ(Writer::create(segment, page_size, room / sizeof(Small)).error().code,
            Code::bad_argument);
  EXPECT_EQ(Reader::open(segment, ~std::uint64_t{0} << 12).error().code, Code::bad_argument);
  EXPECT_EQ(Reader::open(segment, 0).error().code, Code::not_found);
  EXPECT_EQ(Writer::resume(segment, 0).error().code, Code::not_found);
  auto writer = Writer::create(segment, 0, 4);
  ASSERT_TRUE(writer);
  EXPECT_EQ(Writer::create(segment, 0, 4).error().code, Code::busy);
  EXPECT_EQ(Writer::resume(segment, 0).error().code, Code::busy);
  EXPECT_EQ(RingReader<Odd>::open(segment, 0).error().code, Code::corrupt);
  EXPECT_TRUE(writer->publish(std::span<const Small>()));
  ASSERT_TRUE(writer->commit());
  EXPECT_EQ(writer->publish(Small{}).error().code, Code::bad_argument);
  EXPECT_EQ(writer->notify().error().code, Code::bad_argument);
}

TEST_P(RingTest, WhatIsCommittedStaysAndALaterWriterGoesOn) {
  auto writer = RingWriter<Small>::create(segment, 0, 8);
  auto reader = RingReader<Small>::open(segment, 0);
  ASSERT_TRUE(writer && reader);
  for (std::uint64_t n = 0; n < 3; ++n) ASSERT_TRUE(writer->publish(Small::of(n)));
  ASSERT_TRUE(writer->commit());
  auto next = RingWriter<Small>::resume(segment, 0);
  ASSERT_TRUE(next) << next.error().message();
  EXPECT_EQ(next->published(), 3U);
  ASSERT_TRUE(next->publish(Small::of(3)) && next->commit());
  std::array<Small, 8> out;
  const auto batch = reader->read(out);
  ASSERT_TRUE(batch && batch->count == 4);
  for (std::uint64_t n = 0; n < 4; ++n) EXPECT_TRUE(out[n].is(n));
}

TEST_P(RingTest, HeadersFullOfNonsenseAreErrors) {
  RandomMoments random;
  for (int round = 0; round < 300; ++round) {
    auto writer = RingWriter<Small>::create(segment, 0, 8);
    auto reader = RingReader<Small>::open(segment, 0);
    ASSERT_TRUE(writer && reader && writer->publish(Small::of(0)) && writer->commit());
    auto window = segment.write(0, page_size);
    ASSERT_TRUE(window);
    for (std::uint64_t at = random.below(12) * 8; at < 88; at += 8 * (1 + random.below(8))) {
      *window->at<std::uint64_t>(at) =
          random.below(2) == 0 ? random.below(~std::uint64_t{0}) : random.below(20);
    }
    ASSERT_TRUE(window->commit());
    std::array<Small, 8> out;
    (void)reader->read(out);  // whatever it says, it ends
    (void)reader->read(out);
    if (auto other = RingReader<Small>::open(segment, 0); other) (void)other->read(out);
    if (auto next = RingWriter<Small>::resume(segment, 0); next) {
      (void)next->publish(Small::of(1));
      (void)next->commit();
    }
  }
}

TEST_P(RingTest, AWaiterIsWokenByTheWriter) {
  auto writer = RingWriter<Small>::create(segment, 0, 1024);
  auto reader = RingReader<Small>::open(segment, 0);
  ASSERT_TRUE(writer && reader);
  constexpr std::uint64_t records = 200;
  std::jthread other([&] {
    for (std::uint64_t n = 0; n < records; ++n) {
      if (n % 20 == 0) std::this_thread::sleep_for(milliseconds(2));
      EXPECT_TRUE(writer->publish(Small::of(n), Notify::yes));
    }
  });
  std::array<Small, 16> out;
  for (std::uint64_t next = 0; next < records;) {
    ASSERT_TRUE(reader->wait(seconds(20)));
    const auto batch = reader->read(out);
    ASSERT_TRUE(batch && batch->count > 0 && batch->missed == 0);
    for (std::size_t i = 0; i < batch->count; ++i) ASSERT_TRUE(out[i].is(next++));
  }
}

TEST_P(RingTest, AWaiterFindsWhatNobodyAnnounced) {
  auto writer = RingWriter<Small>::create(segment, 0, 1024);
  auto reader = RingReader<Small>::open(segment, 0);
  ASSERT_TRUE(writer && reader);
  const auto begin = now_ns();
  EXPECT_EQ(reader->wait(milliseconds(30)).error().code, Code::timed_out);
  EXPECT_GE(now_ns() - begin, 30 * ns_per_ms);
  EXPECT_EQ(reader->wait(milliseconds(-1)).error().code, Code::timed_out);
  std::jthread other([&] {
    std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(writer->publish(Small::of(0)));
  });
  EXPECT_TRUE(reader->wait(seconds(20)));
}

TEST_P(RingTest, AWaiterLearnsThatTheHomeHasDied) {
  auto writer = RingWriter<Small>::create(segment, 0, 8);
  auto reader = RingReader<Small>::open(segment, 0);
  ASSERT_TRUE(writer && reader);
  std::jthread death([&] {
    std::this_thread::sleep_for(milliseconds(300));  // asleep for the longest time that there is
    machine.kill(1);
    machine.tell_down(0, 1);
  });
  EXPECT_EQ(reader->wait(seconds(20)).error().code, Code::cell_down);
  std::array<Small, 8> out;
  EXPECT_EQ(reader->read(out).error().code, Code::cell_down);
}

TEST_P(RingTest, AWaiterLearnsThatTheWriterHasDied) {
  Child writer([&](Child& parent) {
    auto mine = hive::attach({.cell = 1});
    auto opened = mine ? mine->open("s") : fail(mine.error());
    auto made = opened ? RingWriter<Small>::create(*opened, 0, 8) : fail(opened.error());
    if (!made) return 1;
    parent.tell();
    return parent.hear() ? 0 : 2;
  });
  ASSERT_TRUE(writer.hear());
  auto reader = RingReader<Small>::open(segment, 0);
  ASSERT_TRUE(reader);
  std::jthread death([&] {
    std::this_thread::sleep_for(milliseconds(20));
    writer.kill();
  });
  EXPECT_EQ(reader->wait(seconds(20)).error().code, Code::lost);
  death.join();
  ASSERT_TRUE(segment.reset(0, room));
  EXPECT_EQ(reader->wait(seconds(20)).error().code, Code::lost);
  auto again = RingWriter<Small>::create(segment, 0, 8);
  ASSERT_TRUE(again);
  EXPECT_EQ(reader->wait(seconds(20)).error().code, Code::lost);
}

TEST_P(RingTest, DetachingEndsAWait) {
  auto writer = RingWriter<Small>::create(segment, 0, 8);
  auto reader = RingReader<Small>::open(segment, 0);
  ASSERT_TRUE(writer && reader && writer->commit());
  std::jthread waiter([&] { EXPECT_EQ(reader->wait(seconds(20)).error().code, Code::refused); });
  std::this_thread::sleep_for(milliseconds(20));
  const auto begin = now_ns();
  { Session gone = std::move(session); }
  EXPECT_LT(now_ns() - begin, 2 * ns_per_s);
}

struct Seen {
  std::uint64_t records = 0;
  std::uint64_t missed = 0;
};

// Reads until the end of the writer, which is killed a random time after it has published some
// records: on a busy machine it may be long before it gets a processor.
template <class T>
void read_until_death(Segment& segment, Child& writer, RandomMoments& moments, Seen& seen) {
  auto reader = RingReader<T>::open(segment, page_size, RingStart::oldest);
  ASSERT_TRUE(reader) << reader.error().message();
  std::uint64_t next = reader->position();
  const std::uint64_t enough = next + moments.below(100);
  std::jthread death;
  std::array<T, 16> out;
  while (true) {
    if (!death.joinable() && next >= enough) {
      death = std::jthread([&] {
        moments.pass(4000);
        writer.kill();
      });
    }
    const auto batch = reader->read(std::span(out).first(1 + next % out.size()));
    if (!batch && batch.error().code == Code::busy) continue;
    if (!batch) {
      ASSERT_EQ(batch.error().code, Code::lost) << batch.error().message();
      return;
    }
    if (batch->count == 0) (void)reader->wait(milliseconds(1));
    next += batch->missed;
    seen.missed += batch->missed;
    seen.records += batch->count;
    for (std::size_t i = 0; i < batch->count; ++i) ASSERT_TRUE(out[i].is(next++)) << next;
    ASSERT_EQ(next, reader->position());
  }
}

template <class T>
void kill_writers(Segment& segment, const std::function<int(Child&)>& body, int rounds) {
  RandomMoments moments;
  Seen seen;
  for (int round = 0; round < rounds; ++round) {
    Child writer(body);
    ASSERT_TRUE(writer.hear());
    read_until_death<T>(segment, writer, moments, seen);
    if (::testing::Test::HasFatalFailure()) return;
    ASSERT_TRUE(segment.reset(0, segment.size()));
  }
  EXPECT_GT(seen.records, 0U);
  std::printf("%llu records, %llu missed\n", static_cast<unsigned long long>(seen.records),
              static_cast<unsigned long long>(seen.missed));
}

TEST_P(RingTest, NoRecordIsTornOrMiscountedThoughWritersAreKilled) {
  kill_writers<Small>(segment, &publish_for_ever<Small, 256>, 15);
  if (HasFatalFailure()) return;
  kill_writers<Odd>(segment, &publish_for_ever<Odd, 4>, 10);
  if (HasFatalFailure()) return;
  kill_writers<Large>(segment, &publish_for_ever<Large, 32>, 15);
}

TEST_P(RingTest, AWriterThatIsStoppedKeepsNobodyWaiting) {
  RandomMoments moments;
  Child writer(&publish_for_ever<Large, 32>);
  ASSERT_TRUE(writer.hear());
  auto reader = RingReader<Large>::open(segment, page_size, RingStart::oldest);
  ASSERT_TRUE(reader);
  std::array<Large, 32> out;
  for (int round = 0; round < 50; ++round) {
    moments.pass(300);
    ::kill(writer.pid(), SIGSTOP);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(writer.pid()), &info, WSTOPPED), 0);
    const std::uint64_t before = reader->position();
    const auto batch = reader->read(out);
    ASSERT_TRUE(batch) << batch.error().message();
    const std::uint64_t first = before + batch->missed;
    for (std::size_t i = 0; i < batch->count; ++i) ASSERT_TRUE(out[i].is(first + i));
    EXPECT_EQ(reader->position(), first + batch->count);
    ::kill(writer.pid(), SIGCONT);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, RingTest, ::testing::ValuesIn(firewall_modes()),
                         &firewall_mode_name);

}  // namespace
}  // namespace hive::test

#include "machine/sips.h"

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/safe_copy.h"
#include "base/time.h"

namespace hive::machine {
namespace {

constexpr CellId sender_cell = 2;
constexpr CellId receiver_cell = 5;

class SipsTest : public testing::Test {
 protected:
  std::unique_ptr<SipsRing> ring_ = std::make_unique<SipsRing>();
  std::unique_ptr<SipsConsumed> consumed_ = std::make_unique<SipsConsumed>();
  SipsSender sender_{ring_.get(), consumed_.get(), sender_cell, receiver_cell};
  SipsReceiver receiver_{ring_.get(), consumed_.get(), sender_cell, receiver_cell};
  SipsMessage message_;

  bool send(std::string_view text) { return sender_.send(std::as_bytes(std::span(text))); }
  std::string text() const {
    return {reinterpret_cast<const char*>(message_.payload.data()), message_.length};
  }
};

TEST_F(SipsTest, AnEmptyRingHasNothing) {
  EXPECT_EQ(receiver_.receive(message_), SipsReceived::none);
}

TEST_F(SipsTest, MessagesOfEveryLengthArriveInOrder) {
  for (std::size_t length = 0; length <= sips_payload_max; ++length) {
    const std::string sent(length, static_cast<char>('a' + length % 26));
    ASSERT_TRUE(send(sent));
    ASSERT_EQ(receiver_.receive(message_), SipsReceived::message) << length;
    EXPECT_EQ(message_.from, sender_cell);
    EXPECT_EQ(text(), sent);
  }
  EXPECT_EQ(receiver_.receive(message_), SipsReceived::none);
}

TEST_F(SipsTest, AFullRingRefusesUntilOneIsTaken) {
  for (std::uint32_t i = 0; i < sips_slots; ++i) ASSERT_TRUE(send(std::to_string(i)));
  EXPECT_FALSE(send("too many"));
  ASSERT_EQ(receiver_.receive(message_), SipsReceived::message);
  EXPECT_EQ(text(), "0");
  EXPECT_TRUE(send("one more"));
  EXPECT_FALSE(send("too many"));
  for (std::uint32_t i = 1; i < sips_slots; ++i) {
    ASSERT_EQ(receiver_.receive(message_), SipsReceived::message);
    EXPECT_EQ(text(), std::to_string(i));
  }
  ASSERT_EQ(receiver_.receive(message_), SipsReceived::message);
  EXPECT_EQ(text(), "one more");
}

TEST_F(SipsTest, ACounterThatMakesNoSenseCountsAsFull) {
  for (std::uint32_t i = 0; i < sips_slots; ++i) ASSERT_TRUE(send("x"));
  for (const std::uint32_t nonsense : {sips_slots + 1, ~0U, 1U << 31}) {
    consumed_->count.store(nonsense);
    EXPECT_FALSE(send("x")) << nonsense;
  }
  consumed_->count.store(1);
  EXPECT_TRUE(send("x"));
}

TEST_F(SipsTest, AMessageThatWasScribbledOverIsRejectedAndTheNextArrives) {
  const auto spoil = [](SipsSlot& slot, int way) {
    switch (way) {
      case 0:
        slot.sum ^= 1;
        break;
      case 1:
        slot.from = 7;
        break;
      case 2:
        slot.to = 7;
        break;
      case 3:
        slot.length = sips_payload_max + 1;
        break;
      case 4:
        slot.length = 0xffff;
        break;
      case 5:
        slot.payload[0] ^= std::byte{1};
        break;
      case 6:
        slot.length -= 8;
        break;
      default:
        slot.payload[99] ^= std::byte{0x80};
        break;
    }
  };
  for (int way = 0; way < 8; ++way) {
    const std::uint32_t slot = (receiver_.next_sequence() - 1) % sips_slots;
    ASSERT_TRUE(send(std::string(100, 'y')));
    ASSERT_TRUE(send("after"));
    spoil(ring_->slots[slot], way);
    EXPECT_EQ(receiver_.receive(message_), SipsReceived::rejected) << way;
    ASSERT_EQ(receiver_.receive(message_), SipsReceived::message) << way;
    EXPECT_EQ(text(), "after");
  }
}

TEST_F(SipsTest, AMessageOfAnotherPairIsRejected) {
  SipsSender stranger(ring_.get(), consumed_.get(), sender_cell, receiver_cell + 1);
  ASSERT_TRUE(stranger.send(std::as_bytes(std::span("hello"))));
  EXPECT_EQ(receiver_.receive(message_), SipsReceived::rejected);
}

TEST_F(SipsTest, AGarbageSequenceIsCountedOnceAndTheRingRecovers) {
  auto& sequence = ring_->slots[0].sequence;
  sequence.store(4711);
  EXPECT_EQ(receiver_.receive(message_), SipsReceived::rejected);
  EXPECT_EQ(receiver_.receive(message_), SipsReceived::none);
  sequence.store(4712);
  EXPECT_EQ(receiver_.receive(message_), SipsReceived::rejected);
  EXPECT_EQ(consumed_->count.load(), 0U);
  ASSERT_TRUE(send("sound"));
  ASSERT_EQ(receiver_.receive(message_), SipsReceived::message);
  EXPECT_EQ(text(), "sound");
}

TEST_F(SipsTest, AnyGarbageInTheRingIsSurvived) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20000; ++round) {
    auto* words = reinterpret_cast<std::uint64_t*>(ring_.get());
    words[random() % (sizeof(SipsRing) / 8)] = random() >> random() % 64;
    if (random() % 4 == 0) send("a message");
    const auto got = receiver_.receive(message_);
    if (got == SipsReceived::message) {
      ASSERT_LE(message_.length, sips_payload_max);
    }
    ASSERT_NE(got, SipsReceived::unreadable);
  }
}

TEST_F(SipsTest, TheWordsToWaitOnAreTheSame) {
  const auto* waited = receiver_.next_word();
  const std::uint32_t before = waited->load();
  ASSERT_TRUE(send("x"));
  EXPECT_EQ(sender_.last_sent_word(), waited);
  EXPECT_NE(waited->load(), before);
}

TEST_F(SipsTest, MemoryThatIsGoneIsUnreadableOrFull) {
  install_safe_copy_handler();
  void* page = ::mmap(nullptr, sizeof(SipsRing), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  SipsReceiver receiver(static_cast<SipsRing*>(page), consumed_.get(), sender_cell, receiver_cell);
  EXPECT_EQ(receiver.receive(message_), SipsReceived::unreadable);
  SipsSender sender(ring_.get(), static_cast<SipsConsumed*>(page), sender_cell, receiver_cell);
  for (std::uint32_t i = 0; i < sips_slots; ++i) ASSERT_TRUE(sender.send({}));
  EXPECT_FALSE(sender.send({}));
  ::munmap(page, sizeof(SipsRing));
}

TEST_F(SipsTest, TwoThreadsPassEveryMessageOnce) {
  constexpr std::uint64_t count = 20000;
  const std::uint64_t deadline = now_ns() + 60 * ns_per_s;
  std::thread sending([&] {
    for (std::uint64_t i = 0; i < count && now_ns() < deadline;) {
      std::uint64_t words[sips_payload_max / 8];
      for (auto& word : words) word = i;
      const std::size_t length = 8 + i % (sips_payload_max - 7);
      if (sender_.send(std::as_bytes(std::span(words)).first(length))) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  std::uint64_t next = 0;
  bool sound = true;
  while (next < count && sound && now_ns() < deadline) {
    const auto got = receiver_.receive(message_);
    if (got == SipsReceived::none) {
      std::this_thread::yield();
      continue;
    }
    std::uint64_t first;
    std::memcpy(&first, message_.payload.data(), 8);
    sound = got == SipsReceived::message && first == next &&
            message_.length == 8 + next % (sips_payload_max - 7);
    ++next;
  }
  sending.join();
  EXPECT_TRUE(sound) << "at message " << next;
  EXPECT_EQ(next, count);
}

}  // namespace
}  // namespace hive::machine

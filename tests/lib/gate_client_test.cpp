// The calling end of a gate against servers that are threads here: good ones, slow ones, dead ones,
// and ones that write nonsense.
#include "lib/gate_client.h"

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/futex.h"
#include "base/safe_copy.h"
#include "lib/causes.h"
#include "lib/deadline.h"
#include "proto/causes.h"

namespace hive::lib {
namespace {

using proto::GateOp;

constexpr CellId self = 0;
constexpr CellId server = 1;

// Memory that can be made to fail.
template <class T>
class Mapped {
 public:
  Mapped() : memory_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    object_ = new (memory_) T{};
  }
  ~Mapped() { ::munmap(memory_, sizeof(T)); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  T* operator->() const { return object_; }
  T* get() const { return object_; }
  void fail() { ::mprotect(memory_, sizeof(T), PROT_NONE); }

 private:
  void* memory_;
  T* object_;
};

struct PlainRequest {
  std::uint16_t op;
  std::uint16_t reserved;
  std::uint32_t sleeping;
  std::uint64_t deadline_ns;
  std::array<std::uint64_t, 6> args;
  std::array<char, 64> name;
};
static_assert(sizeof(PlainRequest) == sizeof(proto::GateRequest));

class GateClientTest : public ::testing::Test {
 protected:
  GateClientTest() {
    install_safe_copy_handler();
    own_header->live_set.store(0b11);
    own_header->epoch.store(7);
    own_header->epoch_word.store(7);
    doorbell = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client = std::make_unique<GateClient>(surroundings());
  }
  ~GateClientTest() override {
    stop.store(true);
    for (std::thread& thread : threads) thread.join();
    ::close(doorbell);
  }

  GateSurroundings surroundings() {
    GateSurroundings with;
    with.self = self;
    with.server = server;
    with.own_header = own_header.get();
    with.server_header = server_header.get();
    with.replies = replies.get();
    with.requests = requests.get();
    with.doorbell = doorbell;
    with.closing = &closing;
    with.spin = &spin;
    return with;
  }

  // Answers one request of a slot, as a cell does.
  void answer(std::size_t slot, std::uint32_t sequence, const std::array<std::uint64_t, 4>& values) {
    proto::GateReply& reply = replies->slots[slot];
    reply.failed = 0;
    reply.values = values;
    finish(slot, sequence);
  }
  void answer_failed(std::size_t slot, std::uint32_t sequence, std::uint8_t code,
                     std::uint16_t cause, std::uint16_t failed = 1) {
    proto::GateReply& reply = replies->slots[slot];
    reply.failed = failed;
    reply.code = code;
    reply.cause = cause;
    reply.cell = server;
    reply.values = {4096, 8192};
    finish(slot, sequence);
  }
  void finish(std::size_t slot, std::uint32_t sequence) {
    replies->slots[slot].sequence.store(sequence);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (requests->slots[slot].sleeping.load() != 0) futex_wake(&replies->slots[slot].sequence, 1);
  }

  using Handler = std::function<void(std::size_t slot, std::uint32_t sequence, const PlainRequest&)>;
  // A thread that hands every new request to `handler`, until the test ends.
  void serve(Handler handler) {
    threads.emplace_back([this, handler = std::move(handler)] {
      std::array<std::uint32_t, proto::gate_slots> taken{};
      while (!stop.load()) {
        for (std::size_t slot = 0; slot < requests->slots_used.load(); ++slot) {
          const std::uint32_t posted = requests->posted[slot].load(std::memory_order_acquire);
          if (posted == taken[slot]) continue;
          taken[slot] = posted;
          PlainRequest request;
          ASSERT_TRUE(safe_copy(&request, &requests->slots[slot], sizeof request));
          handler(slot, posted, request);
        }
        std::this_thread::yield();
      }
    });
  }
  void serve_echo() {
    serve([this](std::size_t slot, std::uint32_t sequence, const PlainRequest& request) {
      answer(slot, sequence, {request.args[0], request.args[1], request.op, request.name[0] ? 1U : 0U});
    });
  }
  template <class Condition>
  static void wait_until(Condition condition) {
    const std::uint64_t limit = now_ns() + 20 * ns_per_s;
    while (!condition() && now_ns() < limit) std::this_thread::sleep_for(std::chrono::microseconds(200));
    ASSERT_TRUE(condition());
  }

  Mapped<machine::NodeHeader> own_header;
  Mapped<machine::NodeHeader> server_header;
  Mapped<proto::GateReplies> replies;
  std::unique_ptr<proto::GateRequests> requests = std::make_unique<proto::GateRequests>();
  std::atomic<std::uint32_t> closing{0};
  SpinPolicy spin{2};
  int doorbell = -1;
  std::unique_ptr<GateClient> client;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
};

TEST_F(GateClientTest, CallBringsTheReplyAndFreesItsSlot) {
  serve_echo();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto values = client->call({.op = GateOp::null, .args = {i, i * 2}, .name = "x"});
    ASSERT_TRUE(values) << values.error().message();
    EXPECT_EQ((*values)[0], i);
    EXPECT_EQ((*values)[1], i * 2);
    EXPECT_EQ((*values)[3], 1U);
  }
  EXPECT_EQ(client->slots_in_use(), 0);
  EXPECT_EQ(requests->slots_used.load(), 1U);
}

TEST_F(GateClientTest, ManyThreadsEachGetTheirOwnReplies) {
  serve_echo();
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (std::uint64_t t = 0; t < 40; ++t) {
    callers.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 100; ++i) {
        const auto values = client->call({.args = {t, i}});
        if (!values || (*values)[0] != t || (*values)[1] != i) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(client->slots_in_use(), 0);
}

TEST_F(GateClientTest, DoorbellRingsOnlyForACellThatSleeps) {
  serve_echo();
  ASSERT_TRUE(client->call({}));
  std::uint64_t rung = 0;
  EXPECT_LT(::read(doorbell, &rung, sizeof rung), 0);
  server_header->gate_asleep.store(1);
  ASSERT_TRUE(client->call({}));
  EXPECT_EQ(::read(doorbell, &rung, sizeof rung), static_cast<ssize_t>(sizeof rung));
}

TEST_F(GateClientTest, ErrorsOfTheCellArriveWithCodeCauseAndRange) {
  const std::uint16_t cause = proto::cause_index("the range lies outside the segment");
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    answer_failed(slot, sequence, static_cast<std::uint8_t>(Code::lost), cause);
  });
  const auto values = client->call({});
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::lost);
  EXPECT_EQ(values.error().cell, server);
  EXPECT_EQ(values.error().epoch, 7U);
  EXPECT_EQ(values.error().lost_range.offset, 4096U);
  EXPECT_EQ(values.error().lost_range.length, 8192U);
  EXPECT_STREQ(values.error().cause, "the range lies outside the segment");
}

TEST_F(GateClientTest, SenselessRepliesAreCorruptAndNeverBelieved) {
  int round = 0;
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    switch (round++) {
      case 0: return answer_failed(slot, sequence, 200, 0);     // no such code
      case 1: return answer_failed(slot, sequence, 0, 0, 77);   // neither failed nor not
      default: return answer(slot, sequence + 1000, {});        // a reply to something never asked
    }
  });
  for (int i = 0; i < 3; ++i) {
    const auto values = client->call({});
    ASSERT_FALSE(values);
    EXPECT_EQ(values.error().code, Code::corrupt);
  }
  EXPECT_EQ(client->slots_retired(), 1);  // the last one's, whose true reply may still come
}

TEST_F(GateClientTest, UnknownCauseNumbersAreNoCause) {
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    answer_failed(slot, sequence, static_cast<std::uint8_t>(Code::busy), 60000);
  });
  const auto values = client->call({});
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::busy);
  EXPECT_STREQ(values.error().cause, proto::causes[0]);
}

TEST_F(GateClientTest, SleepersAreWokenByTheReply) {
  SpinPolicy never{1};
  auto with = surroundings();
  with.spin = &never;
  GateClient sleeper(with);
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    wait_until([&] { return requests->slots[slot].sleeping.load() != 0; });
    answer(slot, sequence, {42});
  });
  for (int i = 0; i < 20; ++i) {
    const auto values = sleeper.call({});
    ASSERT_TRUE(values);
    EXPECT_EQ((*values)[0], 42U);
  }
}

TEST_F(GateClientTest, SpuriousWakesAndAForgottenWakeAreSurvived) {
  SpinPolicy never{1};
  auto with = surroundings();
  with.spin = &never;
  GateClient sleeper(with);
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    wait_until([&] { return requests->slots[slot].sleeping.load() != 0; });
    for (int i = 0; i < 50; ++i) {
      futex_wake(&replies->slots[slot].sequence, 1);
      own_header->epoch_word.fetch_add(1);
      futex_wake(&own_header->epoch_word, 1);
      std::this_thread::yield();
    }
    replies->slots[slot].values = {9};
    replies->slots[slot].sequence.store(sequence);  // and nobody is woken
  });
  const auto values = sleeper.call({});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ((*values)[0], 9U);
}

TEST_F(GateClientTest, NoReplyIsTimedOutAndTheSlotIsKeptUntilTheLateReply) {
  const auto asked = now_ns();
  const auto values = client->call({.deadline_ns = asked + 10 * ns_per_ms});
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::timed_out);
  EXPECT_EQ(values.error().cell, server);
  EXPECT_GE(now_ns() - asked, proto::gate_reply_grace_ns);
  EXPECT_EQ(client->slots_retired(), 1);

  // The next call goes by another slot, so the late reply to the first is not taken for its own.
  std::thread late([&] {
    wait_until([&] { return requests->posted[1].load() == 1; });
    answer(0, 1, {111});
    answer(1, 1, {222});
  });
  const auto next = client->call({});
  late.join();
  ASSERT_TRUE(next);
  EXPECT_EQ((*next)[0], 222U);

  serve_echo();
  ASSERT_TRUE(client->call({}));
  EXPECT_EQ(client->slots_retired(), 0);
  EXPECT_EQ(client->slots_in_use(), 0);
}

TEST_F(GateClientTest, WaitsEndWhenTheServingCellLeavesTheLiveSet) {
  std::thread death([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    own_header->live_set.store(0b01);
    own_header->epoch.store(8);
    own_header->epoch_word.store(8);
    futex_wake(&own_header->epoch_word, 1 << 20);
  });
  const auto asked = now_ns();
  const auto values = client->call({.op = GateOp::barrier_arrive, .deadline_ns = deadline_in(wait_ns_max)});
  death.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::cell_down);
  EXPECT_EQ(values.error().cell, server);
  EXPECT_EQ(values.error().epoch, 8U);
  EXPECT_LT(now_ns() - asked, 15 * ns_per_s);

  // And later calls do not begin.
  const auto next = client->call({});
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, Code::cell_down);
}

TEST_F(GateClientTest, WaitsEndWhenALifelineIsMarkedThoughNobodyAgreedYet) {
  std::thread death([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    server_header->lifelines[self].word.fetch_or(FUTEX_OWNER_DIED);
  });
  const auto values = client->call({.deadline_ns = deadline_in(wait_ns_max)});
  death.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::cell_down);
}

TEST_F(GateClientTest, MemoryOfTheServerThatFailsIsCellDown) {
  std::thread death([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    replies.fail();
  });
  const auto values = client->call({.deadline_ns = deadline_in(wait_ns_max)});
  death.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::cell_down);
}

TEST_F(GateClientTest, MemoryOfTheOwnCellThatFailsEndsTheTaskWithAMessage) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        own_header.fail();
        (void)client->call({});
      },
      ::testing::KilledBySignal(SIGBUS), "memory of cell 0, to which this task belongs, has failed");
}

TEST_F(GateClientTest, DetachingEndsWaits) {
  std::thread detach([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    closing.store(1);
    futex_wake(&closing, 1);
  });
  const auto values = client->call({.deadline_ns = deadline_in(wait_ns_max)});
  detach.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::refused);
}

TEST_F(GateClientTest, WaitingCallsLeaveSlotsForPageFaults) {
  // Barriers are never answered here, everything else is.
  serve([this](std::size_t slot, std::uint32_t sequence, const PlainRequest& request) {
    if (request.op != static_cast<std::uint16_t>(GateOp::barrier_arrive)) answer(slot, sequence, {1});
  });
  const int waiting = std::popcount(waiting_slots);
  std::vector<std::thread> waiters;
  for (int i = 0; i < waiting; ++i) {
    waiters.emplace_back([&] {
      const auto values = client->call({.op = GateOp::barrier_arrive, .deadline_ns = deadline_in(wait_ns_max)});
      EXPECT_FALSE(values);
    });
  }
  wait_until([&] { return client->slots_in_use() == waiting; });
  EXPECT_TRUE(client->call({.op = GateOp::fault}));
  // One more that waits finds no slot and says so at its deadline.
  const auto full = client->call({.op = GateOp::queue_take, .deadline_ns = now_ns() + 20 * ns_per_ms});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::exhausted);
  closing.store(1);
  futex_wake(&closing, 1 << 20);
  for (std::thread& waiter : waiters) waiter.join();
}

TEST_F(GateClientTest, AFreedSlotGoesToACallThatWaitsForOne) {
  std::atomic<bool> go{false};
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    if (slot == 0) wait_until([&] { return go.load(); });
    answer(slot, sequence, {1});
  });
  std::vector<std::thread> callers;
  std::atomic<int> done{0};
  for (int i = 0; i < 40; ++i) {
    callers.emplace_back([&] {
      if (client->call({})) ++done;
    });
  }
  wait_until([&] { return client->slots_in_use() == static_cast<int>(proto::gate_slots); });
  go.store(true);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(done.load(), 40);
}

}  // namespace
}  // namespace hive::lib

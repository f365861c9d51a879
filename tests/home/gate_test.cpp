#include "gate_fixture.h"

namespace hive::cell::test {
namespace {

using proto::GateOp;

// Waits for a condition, with a bound that a broken test runs into.
template <class Condition>
bool eventually(Condition condition) {
  const std::uint64_t give_up = now_ns() + 20 * ns_per_s;
  while (now_ns() < give_up) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

TEST_F(GateTest, ACallIsAnsweredOnEverySlot) {
  const auto t = task();
  for (std::uint64_t i = 0; i < 500; ++i) {
    const auto answer = t.gate->call(GateOp::null, {i}, {}, static_cast<std::uint32_t>(i % 32));
    ASSERT_TRUE(answer) << answer.error().message();
    ASSERT_EQ(answer->v[0], i);
  }
}

TEST_F(GateTest, ASleepingServerIsWokenByTheDoorbell) {
  const auto t = task();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(eventually([&] { return asleep.load() != 0; }));
    ASSERT_TRUE(t.gate->call(GateOp::null));
  }
  EXPECT_GE(server->stats().sleeps, 20u);
}

TEST_F(GateTest, SegmentsAndWindowsGoThroughTheGate) {
  const auto t = task();
  const auto made = t.gate->call(GateOp::segment_create, {10 * page, 0}, "scene");
  ASSERT_TRUE(made) << made.error().message();
  const std::uint64_t segment = made->v[0];
  EXPECT_EQ(made->v[2], 10u);
  const auto first = static_cast<std::uint32_t>(made->v[1]);

  const auto u = task(2, 8);
  const auto opened = u.gate->call(GateOp::segment_open, {}, "scene");
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->v, made->v);
  EXPECT_TRUE(u.gate->call(GateOp::fault, {address(first), 0, 1}));
  EXPECT_TRUE(u.client.space->load(first));
  EXPECT_EQ(code_of(u.gate->call(GateOp::fault, {address(first), 1, 1})), Code::refused);

  const auto window = t.gate->call(GateOp::window_open, {segment, 2, 3, 0});
  ASSERT_TRUE(window);
  EXPECT_TRUE(t.client.space->store(first + 2, 9));
  const auto busy = u.gate->call(GateOp::window_open, {segment, 4, 1, 1});
  EXPECT_EQ(code_of(busy), Code::busy);
  EXPECT_EQ(busy.error().cell, self);
  EXPECT_STREQ(busy.error().cause, proto::cause::window_held);
  EXPECT_TRUE(t.gate->call(GateOp::window_commit, {window->v[0]}));
  EXPECT_EQ(u.client.space->load(first + 2), 9u);

  const auto again = u.gate->call(GateOp::window_open, {segment, 2, 1, 1});
  ASSERT_TRUE(again);
  EXPECT_TRUE(u.gate->call(GateOp::window_abort, {again->v[0]}));
  const auto lost = t.gate->call(GateOp::segment_give, {segment, 0, 10});
  ASSERT_EQ(code_of(lost), Code::lost);
  EXPECT_EQ(lost.error().lost_range.offset, 2 * page);
  EXPECT_EQ(lost.error().lost_range.length, page);
  EXPECT_TRUE(t.gate->call(GateOp::segment_reset, {segment, 0, 10}));
  EXPECT_TRUE(t.gate->call(GateOp::segment_destroy, {segment}));
  EXPECT_TRUE(t.gate->call(GateOp::segment_close, {segment}));
  EXPECT_TRUE(u.gate->call(GateOp::segment_close, {segment}));
  EXPECT_EQ(code_of(u.gate->call(GateOp::segment_open, {}, "scene")), Code::not_found);
  EXPECT_TRUE(eventually([&] { return !home->needs_clean_up(); })) << "the server cleans up";
}

TEST_F(GateTest, NamesAreFoundAndReservedInTheWholeMachine) {
  names.elsewhere["there"] = 3;
  const auto t = task();
  ASSERT_TRUE(t.gate->call(GateOp::segment_create, {page, 0}, "here"));
  EXPECT_EQ(t.gate->call(GateOp::segment_find, {}, "here")->v[0], 1u);
  EXPECT_EQ(t.gate->call(GateOp::segment_find, {}, "there")->v[0], 3u);
  EXPECT_EQ(code_of(t.gate->call(GateOp::segment_find, {}, "nowhere")), Code::not_found);
  EXPECT_EQ(code_of(t.gate->call(GateOp::segment_find, {}, "a/b")), Code::bad_argument);
  EXPECT_EQ(code_of(t.gate->call(GateOp::segment_create, {page, 0}, "there")), Code::exists);
  EXPECT_EQ(code_of(t.gate->call(GateOp::segment_create, {page, 0}, "here")), Code::exists);
  EXPECT_EQ(code_of(t.gate->call(GateOp::segment_create, {page, 6}, "flags")), Code::bad_argument);
  EXPECT_EQ(code_of(t.gate->call(GateOp::segment_create, {0, 0}, "zero")), Code::bad_argument);
}

TEST_F(GateTest, AWaitIsParkedAndHoldsNobodyUp) {
  const auto t = task();
  const auto u = task(2, 8);
  const std::uint64_t segment = t.gate->call(GateOp::segment_create, {page, 0}, "s")->v[0];
  ASSERT_TRUE(u.gate->call(GateOp::segment_open, {}, "s"));
  const auto kind = static_cast<std::uint64_t>(proto::SyncKind::barrier);
  const std::uint64_t barrier = t.gate->call(GateOp::sync_open, {segment, kind, 33}, "b")->v[0];
  ASSERT_TRUE(u.gate->call(GateOp::sync_open, {segment, kind, 33}, "b"));
  for (std::uint32_t slot = 0; slot < 32; ++slot) {
    t.gate->post(slot, GateOp::barrier_arrive, {barrier}, {}, now_ns() + 20 * ns_per_s);
  }
  ASSERT_TRUE(u.gate->call(GateOp::null));
  EXPECT_FALSE(t.gate->is_answered(0));
  EXPECT_TRUE(u.gate->call(GateOp::barrier_arrive, {barrier}));
  for (std::uint32_t slot = 0; slot < 32; ++slot) EXPECT_TRUE(t.gate->wait(slot)) << slot;
  // How many workers there are depends on how long the host kept one; 32 waits are more than all.
  static_assert(gate_workers_max < 32);
}

TEST_F(GateTest, QueuesAndCountersGoThroughTheGate) {
  const auto t = task();
  const auto u = task(2, 8);
  const std::uint64_t segment = t.gate->call(GateOp::segment_create, {page, 0}, "s")->v[0];
  ASSERT_TRUE(u.gate->call(GateOp::segment_open, {}, "s"));
  const auto open = [&](const GateTask& by, proto::SyncKind kind, std::uint64_t parameter,
                        const char* name) {
    return by.gate->call(GateOp::sync_open, {segment, static_cast<std::uint64_t>(kind), parameter},
                         name)->v[0];
  };
  const std::uint64_t counter = open(t, proto::SyncKind::counter, 0, "n");
  EXPECT_EQ(t.gate->call(GateOp::counter_add, {counter, 3})->v[0], 0u);
  EXPECT_EQ(t.gate->call(GateOp::counter_add, {counter, 0})->v[0], 3u);
  const std::uint64_t queue = open(t, proto::SyncKind::queue, 2, "q");
  ASSERT_EQ(open(u, proto::SyncKind::queue, 2, "q"), queue);
  EXPECT_EQ(t.gate->call(GateOp::queue_take, {queue})->v[0], 0u);
  EXPECT_EQ(t.gate->call(GateOp::queue_take, {queue})->v[0], 1u);
  u.gate->post(0, GateOp::queue_take, {queue}, {}, now_ns() + 20 * ns_per_s);
  EXPECT_TRUE(t.gate->call(GateOp::queue_done, {queue, 1}));
  end(t);
  EXPECT_EQ(u.gate->wait(0)->v[0], 0u);
  EXPECT_TRUE(u.gate->call(GateOp::queue_done, {queue, 0}));
  const auto progress = u.gate->call(GateOp::queue_progress, {queue});
  EXPECT_EQ(progress->v, (std::array<std::uint64_t, 4>{2, 0, 1, 0}));
  EXPECT_EQ(u.gate->call(GateOp::queue_take, {queue})->v[0], ~std::uint64_t{0});
  EXPECT_EQ(code_of(u.gate->call(GateOp::sync_open, {segment, 9, 0}, "x")), Code::bad_argument);
  EXPECT_EQ(code_of(u.gate->call(GateOp::counter_add, {counter | std::uint64_t{1} << 32, 1})),
            Code::not_found);
}

TEST_F(GateTest, AWaitEndsAtItsDeadline) {
  const auto t = task();
  const std::uint64_t segment = t.gate->call(GateOp::segment_create, {page, 0}, "s")->v[0];
  const auto kind = static_cast<std::uint64_t>(proto::SyncKind::barrier);
  const std::uint64_t barrier = t.gate->call(GateOp::sync_open, {segment, kind, 2}, "b")->v[0];
  t.gate->post(0, GateOp::barrier_arrive, {barrier}, {}, now_ns() + 20 * ns_per_ms);
  EXPECT_EQ(code_of(t.gate->wait(0)), Code::timed_out);
  EXPECT_EQ(code_of(t.gate->call(GateOp::barrier_arrive, {barrier})), Code::lost);
}

TEST_F(GateTest, GarbageIsAnsweredAndCounted) {
  const auto t = task();
  EXPECT_EQ(code_of(t.gate->call(static_cast<GateOp>(999))), Code::bad_argument);
  EXPECT_EQ(code_of(t.gate->call(GateOp::none)), Code::bad_argument);
  EXPECT_EQ(server->stats().unknown, 2u);
  EXPECT_EQ(server->garbage_of(t.client.id), 2u);
  // A name without an end.
  t.requests->slots[0].op = GateOp::segment_open;
  t.requests->slots[0].name.fill('x');
  t.requests->posted[0].fetch_add(1);
  t.gate->ring();
  EXPECT_EQ(code_of(t.gate->wait(0)), Code::bad_argument);
  // A sequence that does not follow is answered, not run.
  t.requests->slots[0].op = GateOp::null;
  t.requests->posted[0].fetch_add(5);
  t.gate->ring();
  EXPECT_EQ(code_of(t.gate->wait(0)), Code::bad_argument);
  // Slots beyond the table.
  t.requests->slots_used.store(0xffffffff);
  EXPECT_TRUE(t.gate->call(GateOp::null));
  EXPECT_EQ(server->garbage_of(t.client.id), 4u);
  EXPECT_EQ(server->stats().garbage, 4u);
  end(t);
  EXPECT_EQ(server->stats().garbage, 4u) << "not forgotten with the client";
}

TEST_F(GateTest, ARemovedClientIsNotServedAndItsParkedCallsDoNoHarm) {
  auto t = task();
  const std::uint64_t segment = t.gate->call(GateOp::segment_create, {page, 0}, "s")->v[0];
  const auto kind = static_cast<std::uint64_t>(proto::SyncKind::barrier);
  const std::uint64_t barrier = t.gate->call(GateOp::sync_open, {segment, kind, 2}, "b")->v[0];
  t.gate->post(3, GateOp::barrier_arrive, {barrier}, {}, now_ns() + 20 * ns_per_s);
  ASSERT_TRUE(eventually([&] { return server->stats().served == 3; }));
  end(t);
  EXPECT_EQ(server->stats().gates, 0u);
  t.requests->posted[0].fetch_add(1);
  t.gate->ring();
  const auto u = task();
  EXPECT_TRUE(u.gate->call(GateOp::null));
  EXPECT_FALSE(home->has_segment("s"));
}

TEST_F(GateTest, ACallThatIsKeptDoesNotStopOtherClients) {
  const auto stuck = task();
  const auto t = task(2, 8);
  const std::uint64_t segment = stuck.gate->call(GateOp::segment_create, {page, 0}, "s")->v[0];
  std::atomic<bool> let_go{false};
  stuck.client.space->on_call([&](SpaceCall, PageRange) {
    while (!let_go.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  stuck.gate->post(0, GateOp::segment_give, {segment, 0, 1});
  stuck.gate->post(1, GateOp::null, {5});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(t.gate->call(GateOp::null));
  EXPECT_FALSE(stuck.gate->is_answered(0));
  EXPECT_FALSE(stuck.gate->is_answered(1)) << "a client keeps one worker at most";
  EXPECT_GE(server->stats().takeovers, 1u);
  EXPECT_FALSE(server->is_stuck(now_ns()));
  let_go.store(true);
  EXPECT_TRUE(stuck.gate->wait(0));
  EXPECT_EQ(stuck.gate->wait(1)->v[0], 5u);
}

TEST_F(GateTest, WhenAllWorkersAreKeptTheFirstThatIsDoneGoesOn) {
  std::vector<GateTask> stuck;
  std::atomic<bool> let_go{false};
  for (std::uint64_t i = 0; i < gate_workers_max; ++i) {
    stuck.push_back(task(0, 100 + i));
    const std::string name(1, static_cast<char>('a' + i));
    const auto made = stuck.back().gate->call(GateOp::segment_create, {page, 0}, name);
    ASSERT_TRUE(made);
    stuck.back().client.space->on_call([&](SpaceCall, PageRange) {
      while (!let_go.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    stuck.back().gate->post(0, GateOp::segment_give, {made->v[0], 0, 1});
  }
  const auto t = task(2, 8);
  t.gate->post(0, GateOp::null, {1});
  EXPECT_TRUE(eventually([&] { return server->is_stuck(now_ns()); }));
  EXPECT_EQ(server->stats().workers, gate_workers_max);
  EXPECT_FALSE(t.gate->is_answered(0));
  let_go.store(true);
  EXPECT_TRUE(t.gate->wait(0));
  for (const auto& s : stuck) EXPECT_TRUE(s.gate->wait(0));
  EXPECT_TRUE(eventually([&] { return !server->is_stuck(now_ns()); }));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(t.gate->call(GateOp::null));
}

TEST_F(GateTest, ManyTasksAtOnceGetEachTheirOwnAnswers) {
  constexpr int tasks = 6;
  constexpr std::uint64_t calls = 3000;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < tasks; ++i) {
    threads.emplace_back([&, i] {
      const auto t = task(i % 4, static_cast<std::uint64_t>(i));
      for (std::uint64_t n = 0; n < calls; ++n) {
        const std::uint64_t value = n * tasks + static_cast<std::uint64_t>(i);
        const auto answer = t.gate->call(GateOp::null, {value});
        if (!answer || answer->v[0] != value) ++wrong;
      }
      end(t, Leave::detached);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(server->stats().served, tasks * calls) << "something ran twice";
}

}  // namespace
}  // namespace hive::cell::test

// Requests without sense, and with a little of it, thrown at the gate server from several tasks
// that also die. Nothing may crash, hang, or hurt a task that behaves.

#include <random>

#include "gate_fixture.h"
#include "test_seed.h"

namespace hive::cell::test {
namespace {

using proto::GateOp;

// Numbers that are likely to hit something, and numbers that are likely to overflow something.
std::uint64_t number(std::mt19937_64& random) {
  constexpr std::array<std::uint64_t, 14> liked = {
      0,   1,   2,    3,          5,          15,          16,
      255, 256, 4096, 0x7fffffff, 0xffffffff, 0x100000000, ~std::uint64_t{0}};
  switch (random() % 4) {
    case 0: return random();
    case 1: return random() % 40;
    case 2: return ~std::uint64_t{0} - random() % 40;
    default: return liked[random() % liked.size()];
  }
}

class GateFuzz : public GateTest {
 protected:
  void spoil(proto::GateRequest& request, std::mt19937_64& random) {
    const auto any_op = static_cast<std::uint16_t>(random() % 24);
    request.op = static_cast<GateOp>(random() % 50 == 0 ? random() : any_op);
    request.sleeping.store(static_cast<std::uint32_t>(random() % 2));
    request.deadline_ns = random() % 2 == 0 ? number(random) : now_ns() + random() % ns_per_ms;
    for (std::uint64_t& arg : request.args) arg = number(random);
    if (random() % 4 == 0) {
      request.args[0] = address(static_cast<std::uint32_t>(random() % pages)) + random() % page;
    }
    if (random() % 8 == 0) {
      for (char& c : request.name) c = static_cast<char>(random());
    } else {
      request.name = {};
      request.name[0] = static_cast<char>('a' + random() % 4);
    }
  }
  void torment(std::uint64_t seed, int rounds) {
    std::mt19937_64 random(seed);
    auto t = task(static_cast<CellId>(random() % 4), random());
    for (int round = 0; round < rounds; ++round) {
      const auto slot = static_cast<std::uint32_t>(random() % proto::gate_slots);
      spoil(t.requests->slots[slot], random);
      if (random() % 20 == 0) t.requests->slots_used.store(static_cast<std::uint32_t>(random()));
      if (t.requests->slots_used.load() <= slot) t.requests->slots_used.store(slot + 1);
      const bool jump = random() % 40 == 0;
      t.requests->posted[slot].fetch_add(jump ? static_cast<std::uint32_t>(random()) : 1);
      t.gate->ring();
      if (random() % 200 == 0) {
        end(t);
        // The memory of the requests outlives the gate: a worker may still be in it.
        graves.push_back(std::move(t.requests));
        t = task(static_cast<CellId>(random() % 4), random());
      }
    }
    end(t);
    graves.push_back(std::move(t.requests));
  }
  std::vector<std::unique_ptr<proto::GateRequests>> graves;
};

TEST_F(GateFuzz, GarbageHurtsNobodyElse) {
  const auto seed = static_cast<unsigned>(hive::test::test_seed());
  SCOPED_TRACE("HIVE_TEST_SEED=" + std::to_string(seed));
  std::printf("seed %u\n", seed);
  const auto good = task(3, 1);
  const auto made = good.gate->call(GateOp::segment_create, {4 * page, 0}, "good");
  ASSERT_TRUE(made);
  const std::uint64_t segment = made->v[0];
  std::atomic<bool> over{false};
  std::thread tormentor([&] {
    torment(seed, 60000);
    over.store(true);
  });
  std::uint64_t stamp = 0;
  while (!over.load()) {
    const auto window = good.gate->call(GateOp::window_open, {segment, 0, 4, 0});
    ASSERT_TRUE(window) << window.error().message();
    ASSERT_TRUE(good.client.space->store(0, ++stamp));
    const auto done = good.gate->call(GateOp::window_commit, {window->v[0]});
    ASSERT_TRUE(done) << done.error().message();
    ASSERT_EQ(good.client.space->load(0), stamp);
  }
  tormentor.join();
  EXPECT_EQ(home->root()->clients, 1u);
  EXPECT_LE(home->root()->segment_count, 5u) << "all but kept ones go with their tasks";
}

}  // namespace
}  // namespace hive::cell::test

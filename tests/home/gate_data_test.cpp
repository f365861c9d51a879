// Memory for the data of answers.
#include "gate_fixture.h"

namespace hive::cell::test {
namespace {

class GateDataTest : public HomeTest {
 protected:
  std::shared_ptr<Gate> gate() {
    return *Gate::create(memory.heap(), self, 1, RequestPages::borrow(&requests));
  }
  proto::GateRequests requests;
};

TEST_F(GateDataTest, ASlotKeepsItsMemoryAndGivesItBackWithTheGate) {
  const std::size_t before = memory.heap().bytes_used();
  {
    const auto one = gate();
    const auto small = one->answer_data(3, 100);
    ASSERT_EQ(small.size(), 100U);
    EXPECT_EQ(one->answer_data(3, 200).data(), small.data());
    const auto other = one->answer_data(4, 100);
    EXPECT_NE(other.data(), small.data());
    const auto large = one->answer_data(3, proto::gate_answer_bytes_max);
    EXPECT_EQ(large.size(), proto::gate_answer_bytes_max);
    EXPECT_EQ(one->answer_data(3, 10).data(), large.data());
    EXPECT_EQ(one->answer_data(3, 1 << 30).size(), proto::gate_answer_bytes_max);
    EXPECT_GT(memory.heap().bytes_used(), before);
  }
  EXPECT_EQ(memory.heap().bytes_used(), before);
}

TEST_F(GateDataTest, AFullHeapGivesWhatThereIs) {
  std::vector<std::shared_ptr<Gate>> gates;
  const auto one = gate();
  const auto small = one->answer_data(0, 100);
  ASSERT_FALSE(small.empty());
  bool is_full = false;
  while (!is_full && gates.size() < 1000) {
    auto made = Gate::create(memory.heap(), self, 1, RequestPages::borrow(&requests));
    if (!made) break;
    for (std::uint32_t slot = 0; slot < proto::gate_slots; ++slot) {
      is_full = is_full || (*made)->answer_data(slot, proto::gate_answer_bytes_max).size() <
                               proto::gate_answer_bytes_max;
    }
    gates.push_back(std::move(*made));
  }
  const auto less = one->answer_data(0, proto::gate_answer_bytes_max);
  EXPECT_EQ(less.data(), small.data());
  EXPECT_GE(less.size(), small.size());
  EXPECT_LT(less.size(), proto::gate_answer_bytes_max);
}

}  // namespace
}  // namespace hive::cell::test

// Data of answers, which lie where the other cell says.
#include <cstring>

#include "gate_world.h"
#include "machine/layout.h"

namespace hive::lib {
namespace {

using Kernel = std::array<char, 8192>;

class GateDataTest : public GateClientTest {
 protected:
  GateDataTest() {
    layout.stride = 1 << 20;
    layout.base = reinterpret_cast<std::uint64_t>(kernel.get()) - server * layout.stride;
    layout.kernel_bytes = sizeof(Kernel);
    layout.cells = 2;
    GateSurroundings with = surroundings();
    with.layout = &layout;
    reader = std::make_unique<GateClient>(with);
  }
  // What a call says whose answer has `bytes` bytes at `offset` in the kernel memory of the cell.
  Result<GateValues> ask(std::uint64_t bytes, std::uint64_t offset, std::span<std::byte> to) {
    said = {0, 0, bytes, layout.kernel_begin(server) + offset};
    return reader->call({.answer = to});
  }
  void serve_data() {
    serve([this](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
      answer(slot, sequence, said);
    });
  }

  Mapped<Kernel> kernel;
  machine::Layout layout;
  std::unique_ptr<GateClient> reader;
  std::array<std::uint64_t, 4> said{};
};

TEST_F(GateDataTest, TheyAreCopiedBeforeTheSlotIsFree) {
  serve_data();
  std::memcpy(kernel->data() + 100, "answer", 6);
  std::string out(10, '?');
  ASSERT_TRUE(ask(6, 100, std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, "answer????");
  ASSERT_TRUE(ask(0, 1 << 30, std::as_writable_bytes(std::span(out)))) << "nothing is anywhere";
  EXPECT_EQ(reader->slots_in_use(), 0);
}

TEST_F(GateDataTest, WhatIsNotInTheCellsKernelMemoryIsNotTouched) {
  serve_data();
  std::array<std::byte, 64> out{};
  EXPECT_TRUE(ask(64, sizeof(Kernel) - 64, out));
  for (const std::uint64_t offset :
       {std::uint64_t{sizeof(Kernel) - 63}, std::uint64_t{sizeof(Kernel)}, ~std::uint64_t{0} - 70,
        std::uint64_t{1} << 40}) {
    const auto asked = ask(64, offset, out);
    ASSERT_FALSE(asked) << offset;
    EXPECT_EQ(asked.error().code, Code::corrupt);
  }
  EXPECT_EQ(ask(65, 0, out).error().code, Code::corrupt) << "more than was asked for";
  EXPECT_EQ(ask(~std::uint64_t{0}, 0, out).error().code, Code::corrupt);
}

TEST_F(GateDataTest, MemoryThatFailsIsACellThatIsDown) {
  serve_data();
  std::array<std::byte, 64> out{};
  kernel.fail();
  EXPECT_EQ(ask(64, 0, out).error().code, Code::cell_down);
}

}  // namespace
}  // namespace hive::lib

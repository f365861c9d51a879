// A page that is pinned for I/O stays open to that I/O after it is closed: the one way round the
// firewall that closing does not stop, and why a frame that others could write is replaced by a
// hole punch and never reused as it is.
#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/machine/firewall_world.h"

namespace hive::test {
namespace {

constexpr std::uint32_t page = 5;

// The least of io_uring that reads four bytes from a pipe into a registered buffer.
class Ring {
 public:
  bool set_up(void* buffer) {
    io_uring_params parameters{};
    fd_ = static_cast<int>(::syscall(SYS_io_uring_setup, 4, &parameters));
    if (fd_ < 0) return false;
    parameters_ = parameters;
    submissions_ = map(parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned),
                       IORING_OFF_SQ_RING);
    completions_ = map(parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe),
                       IORING_OFF_CQ_RING);
    entries_ = reinterpret_cast<io_uring_sqe*>(
        map(parameters.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    iovec whole{buffer, page_bytes};
    return ::syscall(SYS_io_uring_register, fd_, IORING_REGISTER_BUFFERS, &whole, 1) == 0;
  }
  // The result of the read, as io_uring tells it.
  int read_fixed(int from, void* buffer) {
    auto* tail = word(submissions_, parameters_.sq_off.tail);
    const unsigned slot = *tail & (parameters_.sq_entries - 1);
    word(submissions_, parameters_.sq_off.array)[slot] = slot;
    io_uring_sqe& entry = entries_[slot];
    entry = {};
    entry.opcode = IORING_OP_READ_FIXED;
    entry.fd = from;
    entry.addr = reinterpret_cast<std::uintptr_t>(buffer);
    entry.len = 4;
    entry.off = ~std::uint64_t{0};
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (::syscall(SYS_io_uring_enter, fd_, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0)
      return -errno;
    auto* head = word(completions_, parameters_.cq_off.head);
    const auto* done = reinterpret_cast<io_uring_cqe*>(completions_ + parameters_.cq_off.cqes) +
                       (*head & (parameters_.cq_entries - 1));
    const int result = done->res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
  }

 private:
  char* map(std::size_t bytes, off_t what) const {
    return static_cast<char*>(
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, what));
  }
  static unsigned* word(char* ring, std::uint32_t offset) {
    return reinterpret_cast<unsigned*>(ring + offset);
  }

  int fd_ = -1;
  io_uring_params parameters_{};
  char* submissions_ = nullptr;
  char* completions_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
};
Ring ring;

void* buffer() { return reinterpret_cast<void*>(page_address(page)); }

std::int64_t pin(Exchange&) { return ring.set_up(buffer()) ? 0 : 1; }
std::int64_t store_by_pinned_io(Exchange&) {
  int ends[2];
  if (::pipe(ends) != 0 || ::write(ends[1], "EVIL", 4) != 4) return -1;
  const int result = ring.read_fixed(ends[0], buffer());
  ::close(ends[0]);
  ::close(ends[1]);
  return result;
}

class PinnedTest : public testing::TestWithParam<FirewallMode> {};

TEST_P(PinnedTest, PinnedPagesStayOpenToIoUntilThePunchReplacesThem) {
  if (!host_has(GetParam())) GTEST_SKIP() << "this host has no such firewall mode";
  World world(GetParam());
  world.map_task();
  world.begin_stores({page, 1});
  ASSERT_EQ(world.open({page, 1}), 0);
  if (world.task.run(&pin) != 0) GTEST_SKIP() << "this host has no io_uring for us";
  ASSERT_EQ(world.close({page, 1}), 0);
  EXPECT_FALSE(world.store(page, 7));
  EXPECT_EQ(world.task.run(&store_by_pinned_io), 4);
  EXPECT_EQ(world.content(page), 'E') << "closing alone has become enough: tell the design";
  world.put(page, 1);

  ASSERT_EQ(world.take_back({page, 1}), 0);
  ASSERT_EQ(world.refill({page, 1}), 0);
  world.put(page, 2);
  world.task.run(&store_by_pinned_io);  // goes to a page that nobody else sees
  EXPECT_EQ(world.content(page), 2);
  ASSERT_EQ(world.give({page, 1}), 1);
  world.task.run(&store_by_pinned_io);
  EXPECT_EQ(world.content(page), 2);
}

TEST_P(PinnedTest, AClosedPageCannotBePinned) {
  if (!host_has(GetParam())) GTEST_SKIP() << "this host has no such firewall mode";
  World world(GetParam());
  world.map_task();
  world.begin_stores({page, 1});
  ASSERT_EQ(world.give({page, 1}), 1);
  EXPECT_NE(world.task.run(&pin), 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, PinnedTest,
                         testing::Values(FirewallMode::mmu, FirewallMode::mmu_windowed),
                         [](const auto& p) { return mode_test_name(p.param); });

}  // namespace
}  // namespace hive::test

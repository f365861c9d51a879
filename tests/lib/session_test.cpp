// Attaching and detaching, against fake cells and against servers that answer nonsense.
#include <hive/hive.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/time.h"
#include "fake_machine.h"
#include "machine/linux/fd_channel.h"
#include "machine/node_header.h"
#include "proto/attach.h"
#include "proto/runtime_dir.h"

namespace hive::test {
namespace {

TEST(Session, AttachMakesATaskOfTheCellAskedFor) {
  const FakeMachine machine(2);
  auto any = hive::attach();
  ASSERT_TRUE(any) << any.error().message();
  EXPECT_EQ(any->cell(), 0);
  EXPECT_EQ(any->task(), 1U);
  EXPECT_EQ(any->span_index(), 0);
  EXPECT_EQ(any->span_count(), 1);
  { Session gone = std::move(*any); }
  auto second = hive::attach({.cell = 1});
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->cell(), 1);
  EXPECT_EQ(second->task(), 1'000'001U);
}

TEST(Session, EnvironmentNamesCellAndSpan) {
  const FakeMachine machine(2);
  ::setenv("HIVE_CELL", "1", 1);
  ::setenv("HIVE_TASK_COOKIE", "77", 1);
  auto session = hive::attach();
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_EQ(session->cell(), 1);
  EXPECT_EQ(session->task(), 1'000'001U);
  EXPECT_EQ(session->span_index(), 2);
  EXPECT_EQ(session->span_count(), 3);
  EXPECT_EQ(session->span_id(), "run-77");
}

TEST(Session, AProcessHasOneSessionAtATime) {
  const FakeMachine machine(1);
  {
    auto session = hive::attach();
    ASSERT_TRUE(session);
    const auto second = hive::attach();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::busy);
  }
  EXPECT_TRUE(hive::attach());
}

TEST(Session, RefusalsKeepTheWordsOfTheCell) {
  const FakeMachine machine(1);
  ::setenv("HIVE_CELL", "0", 1);
  ::setenv("HIVE_TASK_COOKIE", "13", 1);
  const auto session = hive::attach();
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::exhausted);
  EXPECT_EQ(session.error().cell, 0);
  EXPECT_STREQ(session.error().cause, "the fake cell takes no thirteenth");
}

TEST(Session, AttachTellsApartWhatIsNotThereFromWhatIsDown) {
  FakeMachine machine(2);
  EXPECT_EQ(hive::attach({.machine = "nosuch"}).error().code, Code::not_found);
  EXPECT_EQ(hive::attach({.cell = 5}).error().code, Code::not_found);
  machine.kill(0);
  const auto down = hive::attach({.cell = 0});
  ASSERT_FALSE(down);
  EXPECT_EQ(down.error().code, Code::cell_down);
  EXPECT_EQ(down.error().cell, 0);
  const auto other = hive::attach();  // any cell: the lowest that answers
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_EQ(other->cell(), 1);
}

TEST(Session, EpochAndLiveSetFollowTheOwnCell) {
  FakeMachine machine(3);
  auto session = hive::attach();
  ASSERT_TRUE(session);
  const std::uint64_t before = session->epoch();
  for (const CellView& cell : session->cells()) EXPECT_TRUE(cell.up);
  machine.tell_down(0, 2);
  EXPECT_EQ(session->epoch(), before + 1);
  const auto cells = session->cells();
  ASSERT_EQ(cells.size(), 3U);
  EXPECT_TRUE(cells[0].up);
  EXPECT_TRUE(cells[1].up);
  EXPECT_FALSE(cells[2].up);
  EXPECT_EQ(cells[2].id, 2);
}

TEST(Session, AThousandSessionsLeaveNothingBehind) {
  FakeMachine machine(2);
  int descriptors = 0;
  int mappings = 0;
  int filters = 0;
  for (int round = 0; round < 1000; ++round) {
    auto session = hive::attach();
    ASSERT_TRUE(session) << "round " << round << ": " << session.error().message();
    if (round % 10 == 0) {  // a second cell, and pages
      auto segment = session->create("leak", 64 * 1024, {.home = 1});
      ASSERT_TRUE(segment) << segment.error().message();
      ASSERT_TRUE(segment->touch(0, segment->size()));
    }
    session = hive::attach();  // busy; and the error's assignment ends the session
    if (round == 20) {
      descriptors = count_descriptors();
      mappings = count_mappings();
      filters = count_filters();
    }
  }
  EXPECT_EQ(count_descriptors(), descriptors);
  EXPECT_LE(count_mappings(), mappings + 4);  // the allocator's own
  EXPECT_EQ(count_filters(), filters);
  EXPECT_TRUE(wait_until([&] { return machine.ask(0, "clients") == "0"; }));
  EXPECT_TRUE(wait_until([&] { return machine.ask(1, "clients") == "0"; }));
}

// Its calls to another cell look at the live set of their own, also while both are unmapped.
TEST(Session, DetachingWhileOthersCallIsAnErrorToThem) {
  const FakeMachine machine(2);
  for (int round = 0; round < 60; ++round) {
    auto session = hive::attach({.cell = 0});
    ASSERT_TRUE(session) << session.error().message();
    auto segment = session->create("s" + std::to_string(round), page_size, {.home = 1});
    ASSERT_TRUE(segment) << segment.error().message();
    std::atomic<int> rounds{0};
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&segment, &rounds] {
        std::uint64_t value = 0;
        while (segment->read(0, std::as_writable_bytes(std::span(&value, 1)))) ++rounds;
      });
    }
    while (rounds < 200 * (round % 5)) std::this_thread::yield();
    { Session gone = std::move(*session); }
  }
}

TEST(Session, DetachingEndsTheWaitsOfOtherThreads) {
  const FakeMachine machine(1);
  std::optional<Session> session(std::move(*hive::attach()));
  auto segment = session->create("s", 4096);
  ASSERT_TRUE(segment);
  auto barrier = Barrier::open(*segment, "b", 2);
  ASSERT_TRUE(barrier);
  std::atomic<bool> waiting{false};
  std::thread waiter([&] {
    waiting.store(true);
    const auto done = barrier->arrive_and_wait();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::refused);
  });
  wait_until([&] { return waiting.load(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // most likely asleep by now
  session.reset();
  waiter.join();
  EXPECT_EQ(segment->read_as<int>(0).error().code, Code::refused);
  EXPECT_EQ(segment->write_all().error().code, Code::refused);
  EXPECT_EQ(segment->touch(0, 1).error().code, Code::refused);
  EXPECT_TRUE(hive::attach());
}

// A socket of a cell with something behind it that answers as a test wants.
class BadCell {
 public:
  using Answer = std::function<void(int socket)>;
  explicit BadCell(Answer answer) {
    root_ = "/tmp/hive-lib-test-XXXXXX";
    EXPECT_NE(::mkdtemp(root_.data()), nullptr);
    dir_ = root_ + "/hive";
    ::mkdir(dir_.c_str(), 0700);
    ::setenv("HIVE_RUNTIME_DIR", root_.c_str(), 1);
    for (const char* name : {"HIVE_MACHINE", "HIVE_CELL", "HIVE_TASK_COOKIE"}) ::unsetenv(name);
    listener_ = std::move(*machine::channel_listen(proto::cell_socket(dir_, 0)));
    thread_ = std::thread([this, answer = std::move(answer)] {
      while (true) {
        const UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!socket) return;
        (void)machine::channel_receive(socket.get(), now_ns() + 10 * ns_per_s);
        answer(socket.get());
      }
    });
  }
  ~BadCell() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    ::unlink(proto::cell_socket(dir_, 0).c_str());
    ::rmdir(dir_.c_str());
    ::rmdir(root_.c_str());
  }

 private:
  std::string root_;
  std::string dir_;
  UniqueFd listener_;
  std::thread thread_;
};

proto::AttachWelcome good_welcome() {
  proto::AttachWelcome welcome;
  welcome.accepted = 1;
  welcome.layout = machine::make_layout(1, std::uint64_t{1} << 20);
  welcome.task = 1;
  welcome.node = 0;
  welcome.firewall_mode = static_cast<std::uint32_t>(machine::FirewallMode::cooperative);
  welcome.replies = welcome.layout.kernel_begin(0) + 8192;
  return welcome;
}

UniqueFd memory_of(std::uint64_t bytes) {
  UniqueFd memory(::memfd_create("bad", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(memory.get(), static_cast<off_t>(bytes)), 0);
  return memory;
}

Error error_of_attaching(const BadCell::Answer& answer) {
  const int before = count_descriptors();
  std::optional<BadCell> cell(answer);
  auto session = hive::attach({.cell = 0});
  EXPECT_FALSE(session);
  cell.reset();
  EXPECT_EQ(count_descriptors(), before);
  return session ? Error{} : session.error();
}

Code code_of_attaching(const BadCell::Answer& answer) { return error_of_attaching(answer).code; }

// A welcome with the right descriptors, changed in one place, and the beginning of kernel memory.
template <class Change>
Error error_of_welcome(Change change, const std::array<std::uint32_t, 2>& header = {}) {
  return error_of_attaching([&](int socket) {
    proto::AttachWelcome welcome = good_welcome();
    const UniqueFd kernel = memory_of(welcome.layout.kernel_bytes);
    const UniqueFd user = memory_of(welcome.layout.user_bytes);
    EXPECT_EQ(::pwrite(kernel.get(), header.data(), sizeof header, 0),
              static_cast<ssize_t>(sizeof header));
    change(welcome);
    const std::array<int, 3> fds = {kernel.get(), user.get(), kernel.get()};
    (void)machine::channel_send(socket, machine::bytes_of(welcome), fds, now_ns() + ns_per_s);
    (void)machine::channel_receive(socket, now_ns() + 10 * ns_per_s);
    (void)machine::channel_send(socket, machine::bytes_of(proto::AttachReady{}), {},
                                now_ns() + ns_per_s);
  });
}

template <class Change>
Code code_of_welcome(Change change) {
  return error_of_welcome(change).code;
}

TEST(Handshake, AnswersThatMakeNoSenseAreErrorsAndLeaveNothing) {
  EXPECT_EQ(code_of_attaching([](int) {}), Code::cell_down);  // hangs up
  EXPECT_EQ(code_of_attaching([](int s) {
              (void)machine::channel_send(s, machine::bytes_of("x"), {}, now_ns() + ns_per_s);
            }),
            Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.magic = 1; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.version = 99; }), Code::version);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.node = 1; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.layout.stride = 1; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.layout.base = 0x1000; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.firewall_mode = 9; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.task = 0; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.span_index = 7; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.replies = w.layout.kernel_end(0) - 64; }),
            Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.replies = w.layout.user_begin(0); }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.replies = 8; }), Code::corrupt);
  EXPECT_EQ(code_of_welcome([](auto& w) { w.accepted = 0, w.code = 99; }), Code::corrupt);
  // Everything is as it should be but for the memory itself, which is empty.
  EXPECT_EQ(code_of_welcome([](auto&) {}), Code::corrupt);
}

// Neither is an accident, so both say what to do about it.
TEST(Handshake, AnotherVersionOfTheProtocolOrTheLayoutIsRefusedWithWords) {
  const auto protocol = error_of_welcome([](auto& w) { w.version = proto::protocol_version + 1; });
  EXPECT_EQ(protocol.code, Code::version);
  EXPECT_NE(protocol.message().find("another protocol"), std::string::npos) << protocol.message();

  const auto layout = error_of_welcome(
      [](auto&) {}, {machine::node_magic, machine::node_layout_version + 1});
  EXPECT_EQ(layout.code, Code::version);
  EXPECT_EQ(layout.cell, 0);
  EXPECT_NE(layout.message().find("lays out its memory"), std::string::npos) << layout.message();
}

TEST(Handshake, AWelcomeOfAnotherVersionMayHaveAnyLength) {
  const auto short_one = error_of_attaching([](int socket) {
    const std::array<std::uint32_t, 2> welcome = {proto::attach_magic,
                                                  proto::protocol_version + 1};
    (void)machine::channel_send(socket, machine::bytes_of(welcome), {}, now_ns() + ns_per_s);
  });
  EXPECT_EQ(short_one.code, Code::version);
}

TEST(Handshake, ASocketThatNeverAnswersEndsInTime) {
  std::atomic<bool> stop{false};
  {
    const std::uint64_t begin = now_ns();
    const BadCell cell([&](int) { wait_until([&] { return stop.load(); }); });
    const auto session = hive::attach({.cell = 0});
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, Code::timed_out);
    EXPECT_GE(now_ns() - begin, 4 * ns_per_s);
    stop.store(true);
  }
}

}  // namespace
}  // namespace hive::test

#include "machine/linux/fd_channel.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/time.h"
#include "tests/machine/actor.h"

namespace hive::machine {
namespace {

std::uint64_t soon() { return now_ns() + 20 * ns_per_s; }

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/hive-channel-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(FdChannel, AMessageArrivesWholeWithItsDescriptors) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const int fds[] = {writer.get()};
  ASSERT_TRUE(channel_send(pair->first.get(), bytes_of("hello"), fds, soon()));
  auto message = channel_receive(pair->second.get(), soon());
  ASSERT_TRUE(message);
  EXPECT_FALSE(message->end);
  ASSERT_EQ(message->bytes.size(), 5U);
  EXPECT_EQ(std::memcmp(message->bytes.data(), "hello", 5), 0);
  ASSERT_EQ(message->fds.size(), 1U);
  EXPECT_EQ(::fcntl(message->fds[0].get(), F_GETFD), FD_CLOEXEC);
  writer.reset();
  EXPECT_EQ(::write(message->fds[0].get(), "x", 1), 1);
}

TEST(FdChannel, TheLongestMessageFitsAndALongerOneIsRefused) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  const std::vector<std::byte> longest(channel_bytes_max, std::byte{7});
  ASSERT_TRUE(channel_send(pair->first.get(), longest, {}, soon()));
  auto message = channel_receive(pair->second.get(), soon());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bytes, longest);
  const std::vector<std::byte> longer(channel_bytes_max + 1);
  EXPECT_EQ(channel_send(pair->first.get(), longer, {}, soon()).error().code, Code::bad_argument);
  EXPECT_EQ(channel_send(pair->first.get(), {}, {}, soon()).error().code, Code::bad_argument);
  const std::vector<int> many(channel_fds_max + 1, 0);
  EXPECT_EQ(channel_send(pair->first.get(), bytes_of("x"), many, soon()).error().code,
            Code::bad_argument);
}

TEST(FdChannel, AMessageLongerThanOursIsDroppedAndTheNextArrives) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  const std::vector<char> longer(channel_bytes_max + 1000);
  ASSERT_GT(::send(pair->first.get(), longer.data(), longer.size(), 0), 0);
  ASSERT_TRUE(channel_send(pair->first.get(), bytes_of("next"), {}, soon()));
  EXPECT_EQ(channel_receive(pair->second.get(), soon()).error().code, Code::corrupt);
  auto message = channel_receive(pair->second.get(), soon());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bytes.size(), 4U);
}

TEST(FdChannel, WaitingEndsAtTheDeadline) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  EXPECT_EQ(channel_receive(pair->first.get(), 0).error().code, Code::timed_out);
  const std::uint64_t deadline = now_ns() + 20 * ns_per_ms;
  EXPECT_EQ(channel_receive(pair->first.get(), deadline).error().code, Code::timed_out);
  EXPECT_GE(now_ns(), deadline);
}

TEST(FdChannel, AFullChannelTimesOut) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  const std::vector<std::byte> bytes(channel_bytes_max);
  Result<void> sent{};
  for (int i = 0; i < 1000 && sent; ++i) sent = channel_send(pair->first.get(), bytes, {}, 0);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::timed_out);
}

TEST(FdChannel, TheEndOfThePeerIsSeenByBothCalls) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  pair->second.reset();
  auto message = channel_receive(pair->first.get(), soon());
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->end);
  auto sent = channel_send(pair->first.get(), bytes_of("x"), {}, soon());
  EXPECT_EQ(sent.error().code, Code::host);
  EXPECT_EQ(sent.error().sys_errno, EPIPE);
}

TEST(FdChannel, WithoutDescriptorsLeftTheMessageIsAnErrorAndNothingLeaks) {
  test::Actor actor;  // has limits of its own
  const auto verdict = actor.run([](test::Exchange&) -> std::int64_t {
    auto pair = channel_pair();
    const int fds[] = {0, 1, 2};
    if (!channel_send(pair->first.get(), bytes_of("x"), fds, soon())) return 1;
    if (!channel_send(pair->first.get(), bytes_of("y"), {}, soon())) return 2;
    const UniqueFd next_free(::dup(0));
    const auto limit = static_cast<rlim_t>(next_free.get()) + 2;  // this one and one more
    const rlimit few = {limit, limit};
    ::setrlimit(RLIMIT_NOFILE, &few);
    auto message = channel_receive(pair->second.get(), soon());
    if (message || message.error().code != Code::exhausted) return 3;
    const UniqueFd still_free(::dup(0));
    if (!still_free) return 4;
    message = channel_receive(pair->second.get(), soon());
    return message && message->bytes.size() == 1 ? 0 : 5;
  });
  EXPECT_EQ(verdict, 0);
}

TEST(FdChannel, ASocketInTheFileSystem) {
  const Folder folder;
  const std::string path = folder.path() + "/socket";
  EXPECT_EQ(channel_connect(path).error().code, Code::not_found);
  auto listening = channel_listen(path);
  ASSERT_TRUE(listening) << listening.error().message();
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  auto client = channel_connect(path);
  ASSERT_TRUE(client);
  const UniqueFd server(::accept4(listening->get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(server);
  auto peer = channel_peer(server.get());
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(peer->uid, ::getuid());

  listening->reset();
  EXPECT_EQ(channel_connect(path).error().code, Code::not_found) << "a file that nobody serves";
  auto again = channel_listen(path);
  ASSERT_TRUE(again) << "an old file is replaced";
  EXPECT_TRUE(channel_connect(path));
}

TEST(FdChannel, PathsLongerThanASocketAddress) {
  const Folder folder;
  const std::string deep = folder.path() + "/" + std::string(120, 'd');
  ASSERT_TRUE(std::filesystem::create_directory(deep));
  auto listening = channel_listen(deep + "/socket");
  ASSERT_TRUE(listening) << listening.error().message();
  EXPECT_TRUE(channel_connect(deep + "/socket"));
  EXPECT_EQ(channel_connect(deep + "/other").error().code, Code::not_found);
  EXPECT_EQ(channel_connect("").error().code, Code::bad_argument);
  EXPECT_FALSE(channel_listen("/no/such/folder/socket"));
}

}  // namespace
}  // namespace hive::machine

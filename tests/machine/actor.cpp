#include "tests/machine/actor.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "machine/linux/fd_channel.h"

namespace hive::test {
namespace {

constexpr std::uint64_t patience_ns = 60 * ns_per_s;

struct Order {
  Routine routine;
  std::array<std::int64_t, 4> numbers;
};

std::vector<int> numbers_of(const std::vector<UniqueFd>& fds) {
  std::vector<int> numbers;
  for (const auto& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace

Actor::Actor() {
  auto pair = machine::channel_pair();
  HIVE_CHECK(pair.has_value());
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  HIVE_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    pair->first.reset();
    serve(pair->second.get());
  }
  channel_ = std::move(pair->first);
}

Actor::~Actor() {
  if (pid_ > 0) kill();
}

void Actor::serve(int channel) {
  install_safe_copy_handler();
  for (;;) {
    auto message = machine::channel_receive(channel, ~std::uint64_t{0} >> 2);
    if (!message || message->end) ::_exit(0);
    Order order{};
    std::memcpy(&order, message->bytes.data(), sizeof order);
    Exchange exchange;
    exchange.numbers = order.numbers;
    exchange.in = std::move(message->fds);
    const std::int64_t value = order.routine(exchange);
    auto sent = machine::channel_send(channel, machine::bytes_of(value), numbers_of(exchange.out),
                                      now_ns() + patience_ns);
    if (!sent) ::_exit(0);
  }
}

void Actor::begin(Routine routine, std::array<std::int64_t, 4> numbers,
                  const std::vector<int>& fds) {
  const Order order{routine, numbers};
  [[maybe_unused]] auto sent =
      machine::channel_send(channel_.get(), machine::bytes_of(order), fds, now_ns() + patience_ns);
}

Actor::Reply Actor::finish() {
  Reply reply;
  auto message = machine::channel_receive(channel_.get(), now_ns() + patience_ns);
  reply.ended = !message || message->end;
  if (reply.ended) return reply;
  std::memcpy(&reply.value, message->bytes.data(), sizeof reply.value);
  reply.fds = std::move(message->fds);
  return reply;
}

Actor::Reply Actor::call(Routine routine, std::array<std::int64_t, 4> numbers,
                         const std::vector<int>& fds) {
  begin(routine, numbers, fds);
  return finish();
}

void Actor::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

int Actor::wait() {
  int status = 0;
  while (pid_ > 0 && ::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

}  // namespace hive::test

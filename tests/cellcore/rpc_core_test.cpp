// The RPC protocol as state: what it does with each message, right and wrong, without a machine.
#include "cell/rpc/rpc_core.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "proto/causes.h"

namespace hive::cell {
namespace {

using What = RpcArrival::What;

constexpr std::uint16_t op_add = 7;
constexpr std::uint16_t op_slow = 8;
constexpr std::uint16_t op_unknown = 9;
constexpr std::uint64_t far = 1'000'000;

std::span<const std::byte> bytes_of(const std::uint64_t& value) {
  return std::as_bytes(std::span(&value, 1));
}

class RpcProtocol : public ::testing::Test {
 protected:
  RpcProtocol() {
    for (RpcCore* core : {&a, &b}) {
      core->set_level(op_add, RpcLevel::interrupt);
      core->set_level(op_slow, RpcLevel::queued);
    }
    a.connect(1, 200);
    b.connect(0, 100);
  }

  RpcTicket call(std::uint16_t opcode, std::uint64_t value, std::uint64_t deadline = far) {
    auto ticket = a.start_call(1, opcode, bytes_of(value), deadline, request);
    EXPECT_TRUE(ticket.has_value());
    return *ticket;
  }
  RpcMessage reply_to(const RpcArrival& arrival, std::uint64_t value) {
    RpcReply reply;
    reply.set(value);
    RpcMessage message;
    b.make_reply(arrival.origin, {}, reply, message);
    return message;
  }
  RpcMessage reply_to(const RpcArrival& arrival, const Error& error) {
    RpcMessage message;
    b.make_reply(arrival.origin, fail(error), RpcReply(), message);
    return message;
  }
  static std::uint64_t count(RpcCore& core, CellId peer, RpcReject reason) {
    return core.counters(peer).rejected[static_cast<std::size_t>(reason)].load();
  }
  void expect_rejected(RpcCore& core, CellId from, const RpcMessage& message, RpcReject reason) {
    const std::uint64_t before = count(core, from, reason);
    const RpcArrival arrival = core.on_message(from, message.bytes());
    EXPECT_EQ(arrival.what, What::rejected);
    EXPECT_EQ(arrival.reason, reason);
    EXPECT_EQ(count(core, from, reason), before + 1);
  }
  RpcCore a{0, 3, 100};
  RpcCore b{1, 3, 200};
  RpcMessage request;
};

TEST_F(RpcProtocol, ACallIsServedAndAnswered) {
  const RpcTicket ticket = call(op_add, 41);
  EXPECT_FALSE(a.ended(ticket));
  const RpcArrival at_b = b.on_message(0, request.bytes());
  ASSERT_EQ(at_b.what, What::interrupt);
  EXPECT_EQ(at_b.origin.from, 0);
  EXPECT_EQ(at_b.origin.opcode, op_add);
  std::uint64_t value = 0;
  ASSERT_EQ(at_b.body.size(), sizeof value);
  std::memcpy(&value, at_b.body.data(), sizeof value);
  const RpcMessage reply = reply_to(at_b, value + 1);
  const RpcArrival at_a = a.on_message(1, reply.bytes());
  EXPECT_EQ(at_a.what, What::completed);
  ASSERT_TRUE(a.ended(ticket));
  auto result = a.take(ticket);
  ASSERT_TRUE(result.has_value());
  ASSERT_TRUE(result->get(value));
  EXPECT_EQ(value, 42U);
}

TEST_F(RpcProtocol, ANullMessageFitsTheLineOfTheSipsHeader) {
  ASSERT_TRUE(a.start_call(1, op_add, {}, far, request).has_value());
  EXPECT_LE(request.bytes().size(), 48U);
  const RpcArrival arrival = b.on_message(0, request.bytes());
  RpcMessage reply;
  b.make_reply(arrival.origin, {}, RpcReply(), reply);
  EXPECT_LE(reply.bytes().size(), 48U);
}

TEST_F(RpcProtocol, TheReceiversTableSaysHowARequestIsServed) {
  call(op_slow, 1);
  EXPECT_EQ(b.on_message(0, request.bytes()).what, What::queued);
  call(op_unknown, 1);
  EXPECT_EQ(b.on_message(0, request.bytes()).what, What::unknown_opcode);
}

TEST_F(RpcProtocol, ARequestThatComesTwiceRunsOnce) {
  call(op_add, 1);
  const RpcMessage first = request;
  call(op_add, 2);
  EXPECT_EQ(b.on_message(0, first.bytes()).what, What::interrupt);
  expect_rejected(b, 0, first, RpcReject::repeated);
  EXPECT_EQ(b.on_message(0, request.bytes()).what, What::interrupt);
  expect_rejected(b, 0, first, RpcReject::repeated);
  expect_rejected(b, 0, request, RpcReject::repeated);
}

TEST_F(RpcProtocol, ThePlantedBugLetsItRunTwice) {
  RpcCore sloppy(1, 3, 200, {.check_repeats = false});
  sloppy.set_level(op_add, RpcLevel::interrupt);
  sloppy.connect(0, 100);
  call(op_add, 1);
  EXPECT_EQ(sloppy.on_message(0, request.bytes()).what, What::interrupt);
  EXPECT_EQ(sloppy.on_message(0, request.bytes()).what, What::interrupt);
}

TEST_F(RpcProtocol, AReplyThatComesTwiceOrLateIsDropped) {
  const RpcTicket first = call(op_add, 1);
  const RpcMessage reply = reply_to(b.on_message(0, request.bytes()), 2);
  EXPECT_EQ(a.on_message(1, reply.bytes()).what, What::completed);
  expect_rejected(a, 1, reply, RpcReject::no_such_call);
  EXPECT_TRUE(a.take(first).has_value());
  expect_rejected(a, 1, reply, RpcReject::no_such_call);
  // Another call in the same slot is not ended by it either.
  const RpcTicket second = call(op_add, 3);
  EXPECT_EQ(second.slot, first.slot);
  expect_rejected(a, 1, reply, RpcReject::no_such_call);
  EXPECT_FALSE(a.ended(second));
}

TEST_F(RpcProtocol, ADeadlineEndsACallAndTheAnswerComesTooLate) {
  const RpcTicket ticket = call(op_add, 1, 500);
  EXPECT_EQ(a.on_tick(499), 0);
  EXPECT_FALSE(a.ended(ticket));
  EXPECT_EQ(a.on_tick(500), 1);
  EXPECT_EQ(a.on_tick(501), 0);
  ASSERT_TRUE(a.ended(ticket));
  const RpcMessage reply = reply_to(b.on_message(0, request.bytes()), 2);
  expect_rejected(a, 1, reply, RpcReject::no_such_call);
  auto result = a.take(ticket);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Code::timed_out);
  EXPECT_EQ(result.error().cell, 1);
}

TEST_F(RpcProtocol, ExpiringACallThatWasAnsweredChangesNothing) {
  const RpcTicket ticket = call(op_add, 1);
  const RpcMessage reply = reply_to(b.on_message(0, request.bytes()), 2);
  a.on_message(1, reply.bytes());
  EXPECT_FALSE(a.expire(ticket));
  EXPECT_TRUE(a.take(ticket).has_value());
  const RpcTicket other = call(op_add, 1);
  EXPECT_TRUE(a.expire(other));
  EXPECT_EQ(a.take(other).error().code, Code::timed_out);
  EXPECT_EQ(a.counters(1).timed_out.load(), 1U);
}

TEST_F(RpcProtocol, TheFailureOfTheCellEndsItsCalls) {
  const RpcTicket first = call(op_add, 1);
  const RpcTicket second = call(op_add, 2);
  EXPECT_EQ(a.state_word(first).load(), first.state);
  a.mark_down(1);
  EXPECT_EQ(a.fail_calls(1), 2);
  EXPECT_EQ(a.fail_calls(1), 0);
  EXPECT_NE(a.state_word(first).load(), first.state);
  EXPECT_EQ(a.take(first).error().code, Code::cell_down);
  EXPECT_EQ(a.take(second).error().code, Code::cell_down);
  EXPECT_EQ(a.start_call(1, op_add, {}, far, request).error().code, Code::cell_down);
  EXPECT_EQ(a.start_one_way(1, op_add, {}, request).error().code, Code::cell_down);
}

TEST_F(RpcProtocol, AnErrorTravelsWithItsCause) {
  const RpcTicket ticket = call(op_add, 1);
  Error error = hive::error(Code::lost, proto::causes[5], 2, 17);
  error.lost_range = {4096, 8192};
  const RpcMessage reply = reply_to(b.on_message(0, request.bytes()), error);
  EXPECT_LE(reply.bytes().size(), 48U);
  a.on_message(1, reply.bytes());
  const Error got = a.take(ticket).error();
  EXPECT_EQ(got.code, Code::lost);
  EXPECT_EQ(got.cell, 2);
  EXPECT_EQ(got.sys_errno, 17);
  EXPECT_EQ(got.lost_range.offset, 4096U);
  EXPECT_EQ(got.lost_range.length, 8192U);
  EXPECT_STREQ(got.cause, proto::causes[5]);
}

TEST_F(RpcProtocol, AnErrorThatMakesNoSenseIsTakenOverAsFarAsItDoes) {
  const RpcTicket ticket = call(op_add, 1);
  RpcMessage reply = reply_to(b.on_message(0, request.bytes()), error(Code::busy, "?", 2));
  RpcErrorBody body;
  body.cause = 60000;
  body.cell = 30000;
  std::memcpy(reply.body.data(), &body, sizeof body);
  EXPECT_EQ(a.on_message(1, reply.bytes()).what, What::completed);
  const Error got = a.take(ticket).error();
  EXPECT_EQ(got.code, Code::busy);
  EXPECT_EQ(got.cell, 1);
  EXPECT_STREQ(got.cause, proto::causes[0]);
}

TEST_F(RpcProtocol, TheNumberOfCallsToOneCellIsBounded) {
  std::vector<RpcTicket> tickets;
  for (int i = 0; i < calls_per_peer_max; ++i) tickets.push_back(call(op_add, 1));
  EXPECT_EQ(a.start_call(1, op_add, {}, far, request).error().code, Code::exhausted);
  EXPECT_TRUE(a.expire(tickets[5]));
  EXPECT_EQ(a.start_call(1, op_add, {}, far, request).error().code, Code::exhausted);
  EXPECT_FALSE(a.take(tickets[5]).has_value());
  EXPECT_EQ(call(op_add, 1).slot, tickets[5].slot);
}

TEST_F(RpcProtocol, WrongArgumentsAreErrorsOfTheCaller) {
  const std::array<std::byte, rpc_body_max + 1> long_body{};
  EXPECT_EQ(a.start_call(0, op_add, {}, far, request).error().code, Code::bad_argument);
  EXPECT_EQ(a.start_call(-1, op_add, {}, far, request).error().code, Code::bad_argument);
  EXPECT_EQ(a.start_call(3, op_add, {}, far, request).error().code, Code::bad_argument);
  EXPECT_EQ(a.start_call(1, 0, {}, far, request).error().code, Code::bad_argument);
  EXPECT_EQ(a.start_call(1, rpc_opcodes_max, {}, far, request).error().code, Code::bad_argument);
  EXPECT_EQ(a.start_call(1, op_add, long_body, far, request).error().code, Code::bad_argument);
  EXPECT_EQ(a.start_call(2, op_add, {}, far, request).error().code, Code::cell_down);
}

TEST_F(RpcProtocol, ACallThatCouldNotBeSentLeavesNoGap) {
  const RpcTicket unsent = call(op_add, 1);
  a.cancel_call(unsent);
  ASSERT_TRUE(a.start_one_way(1, op_add, {}, request).has_value());
  a.cancel_one_way(1);
  call(op_add, 2);
  EXPECT_EQ(request.header.id, 1U);
}

TEST_F(RpcProtocol, OneWayMessagesRunOnceAndWantNoAnswer) {
  ASSERT_TRUE(a.start_one_way(1, op_add, {}, request).has_value());
  const RpcArrival arrival = b.on_message(0, request.bytes());
  EXPECT_EQ(arrival.what, What::interrupt);
  EXPECT_FALSE(b.wants_reply(arrival.origin));
  expect_rejected(b, 0, request, RpcReject::repeated);
}

TEST_F(RpcProtocol, MalformedMessagesAreRejectedAndCounted) {
  call(op_add, 1);
  const RpcMessage good = request;
  const auto broken = [&](auto change) {
    RpcMessage bad = good;
    change(bad);
    const auto all = std::span(reinterpret_cast<const std::byte*>(&bad), good.bytes().size());
    const RpcArrival arrival = b.on_message(0, all);
    EXPECT_EQ(arrival.what, What::rejected);
    EXPECT_EQ(arrival.reason, RpcReject::malformed);
  };
  broken([](RpcMessage& m) { m.header.kind = 0; });
  broken([](RpcMessage& m) { m.header.kind = 4; });
  broken([](RpcMessage& m) { m.header.length += 1; });
  broken([](RpcMessage& m) { m.header.length -= 1; });
  broken([](RpcMessage& m) { m.header.length = 255; });
  broken([](RpcMessage& m) { m.header.opcode = 0; });
  broken([](RpcMessage& m) { m.header.opcode = rpc_opcodes_max; });
  broken([](RpcMessage& m) { m.header.slot = calls_per_peer_max; });
  broken([](RpcMessage& m) { m.header.slot = rpc_no_slot; });
  broken([](RpcMessage& m) { m.header.status = 1; });
  broken([](RpcMessage& m) { m.header.reserved = 1; });
  broken([](RpcMessage& m) { m.header.kind = static_cast<std::uint8_t>(RpcKind::one_way); });
  broken([](RpcMessage& m) {
    m.header.kind = static_cast<std::uint8_t>(RpcKind::reply);
    m.header.status = rpc_status_max + 1;
  });
  for (std::size_t size = 0; size < sizeof(RpcHeader); ++size) {
    EXPECT_EQ(b.on_message(0, good.bytes().first(size)).reason, RpcReject::malformed);
  }
  EXPECT_EQ(count(b, 0, RpcReject::malformed), 13 + sizeof(RpcHeader));
  EXPECT_EQ(b.counters(0).rejected_total(), 13 + sizeof(RpcHeader));
  EXPECT_EQ(b.on_message(0, good.bytes()).what, What::interrupt);  // and no harm was done
}

TEST_F(RpcProtocol, AnInventedIdDoesNotPutTheOthersIntoThePast) {
  call(op_add, 1);
  for (const std::uint64_t ahead : {~std::uint64_t{0} - 1, std::uint64_t{60'000}}) {
    RpcMessage invented = request;
    invented.header.id += ahead;
    expect_rejected(b, 0, invented, RpcReject::implausible);
  }
  EXPECT_EQ(b.on_message(0, request.bytes()).what, What::interrupt);
}

TEST_F(RpcProtocol, RequestsThatWereLostInARowDoNotEndTheTraffic) {
  for (const int lost : {1, 60, 500}) {
    for (int i = 0; i < lost; ++i) (void)a.start_one_way(1, op_add, {}, request);
    bool came_through = false;
    for (int i = 0; !came_through && i < lost; ++i) {
      ASSERT_TRUE(a.start_one_way(1, op_add, {}, request));
      came_through = b.on_message(0, request.bytes()).what == What::interrupt;
    }
    EXPECT_TRUE(came_through) << lost;
  }
}

TEST_F(RpcProtocol, MessagesOfAnotherLifeAreStale) {
  const RpcTicket ticket = call(op_add, 1);
  RpcMessage message = request;
  message.header.from_incarnation = 99;
  expect_rejected(b, 0, message, RpcReject::stale);
  message = request;
  message.header.to_incarnation = 199;
  expect_rejected(b, 0, message, RpcReject::stale);

  const RpcArrival arrival = b.on_message(0, request.bytes());
  const RpcMessage reply = reply_to(arrival, 1);
  a.mark_down(1);
  expect_rejected(a, 1, reply, RpcReject::peer_down);
  EXPECT_EQ(a.fail_calls(1), 1);
  EXPECT_FALSE(a.take(ticket).has_value());
  a.connect(1, 201);  // it was booted again
  expect_rejected(a, 1, reply, RpcReject::stale);
  call(op_add, 5);
  EXPECT_EQ(request.header.id, 1U);
  EXPECT_EQ(request.header.to_incarnation, 201U);
}

TEST_F(RpcProtocol, ACallerThatWasBootedAgainGetsNoAnswerOfItsEarlierLife) {
  call(op_add, 1);
  const RpcArrival arrival = b.on_message(0, request.bytes());
  EXPECT_TRUE(b.wants_reply(arrival.origin));
  b.mark_down(0);
  EXPECT_FALSE(b.wants_reply(arrival.origin));
  b.connect(0, 101);
  EXPECT_FALSE(b.wants_reply(arrival.origin));
  RpcCore reborn(0, 3, 101);
  reborn.connect(1, 200);
  ASSERT_TRUE(reborn.start_call(1, op_add, {}, far, request).has_value());
  EXPECT_EQ(b.on_message(0, request.bytes()).what, What::interrupt);  // ids count anew
}

}  // namespace
}  // namespace hive::cell

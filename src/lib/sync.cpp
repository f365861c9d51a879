#include <hive/sync.h>

#include <algorithm>

#include "lib/causes.h"
#include "lib/deadline.h"
#include "lib/name_copy.h"
#include "lib/segment_impl.h"
#include "lib/thread_sanitizer.h"

namespace hive {
namespace {

using lib::GateValues;
using lib::SegmentImpl;
using proto::GateOp;
using proto::SyncKind;

constexpr std::size_t object_name_max = 31;

Result<std::uint32_t> open_object(SegmentImpl& segment, SyncKind kind, std::string_view given,
                                  std::uint64_t parameter) {
  const lib::NameCopy copy(given);
  const std::string_view name = copy.view();
  const auto fits = [](char c) { return c >= 0x20 && c <= 0x7e && c != '/'; };
  if (name.empty() || name.size() > object_name_max || !std::ranges::all_of(name, fits)) {
    return fail(Code::bad_argument,
                "the name of an object has 1 to 31 printable characters and no '/'");
  }
  auto opened = segment.call({.op = GateOp::sync_open,
                              .args = {segment.id(), static_cast<std::uint64_t>(kind), parameter},
                              .name = name});
  if (!opened) return fail(opened.error());
  if ((*opened)[0] > UINT32_MAX) return fail(Code::corrupt, lib::cause_bad_reply, segment.home());
  return static_cast<std::uint32_t>((*opened)[0]);
}

Result<GateValues> call_waiting(SegmentImpl& segment, GateOp op, std::uint32_t object,
                                std::chrono::nanoseconds timeout) {
  return segment.call({.op = op, .args = {object}, .deadline_ns = lib::deadline_in(timeout)});
}

}  // namespace

Result<Counter> Counter::open(const Segment& segment, std::string_view name) {
  auto id = open_object(*segment.impl(), SyncKind::counter, name, 0);
  if (!id) return fail(id.error());
  return Counter(segment.impl(), *id);
}

Result<std::uint64_t> Counter::add(std::uint64_t delta) {
  auto before = segment_->call({.op = GateOp::counter_add, .args = {id_, delta}});
  if (!before) return fail(before.error());
  return (*before)[0];
}

Result<std::uint64_t> Counter::get() const {
  auto value = segment_->call({.op = GateOp::counter_add, .args = {id_, 0}});
  if (!value) return fail(value.error());
  return (*value)[0];
}

Result<Barrier> Barrier::open(const Segment& segment, std::string_view name,
                              std::uint32_t parties) {
  if (parties == 0) return fail(Code::bad_argument, "a barrier has at least one party");
  auto id = open_object(*segment.impl(), SyncKind::barrier, name, parties);
  if (!id) return fail(id.error());
  return Barrier(segment.impl(), *id);
}

Result<void> Barrier::arrive_and_wait(std::chrono::nanoseconds timeout) {
  lib::order_before_acquire(segment_.get());
  auto all = call_waiting(*segment_, GateOp::barrier_arrive, id_, timeout);
  if (!all) return fail(all.error());
  lib::order_after_release(segment_.get());
  return {};
}

Result<void> Barrier::reset(std::uint32_t parties) {
  if (parties == 0) return fail(Code::bad_argument, "a barrier has at least one party");
  auto done = segment_->call({.op = GateOp::barrier_reset, .args = {id_, parties}});
  if (!done) return fail(done.error());
  return {};
}

Result<WorkQueue> WorkQueue::open(const Segment& segment, std::string_view name,
                                  std::uint64_t count) {
  auto id = open_object(*segment.impl(), SyncKind::queue, name, count);
  if (!id) return fail(id.error());
  return WorkQueue(segment.impl(), *id);
}

Result<std::uint64_t> WorkQueue::take(std::chrono::nanoseconds timeout) {
  auto item = call_waiting(*segment_, GateOp::queue_take, id_, timeout);
  if (!item) return fail(item.error());
  return (*item)[0];
}

Result<void> WorkQueue::done(std::uint64_t item) {
  auto retired = segment_->call({.op = GateOp::queue_done, .args = {id_, item}});
  if (!retired) return fail(retired.error());
  return {};
}

Result<std::uint64_t> WorkQueue::done_then_take(std::uint64_t item,
                                                std::chrono::nanoseconds timeout) {
  auto next = segment_->call({.op = GateOp::queue_next,
                              .args = {id_, item},
                              .deadline_ns = lib::deadline_in(timeout)});
  if (!next) return fail(next.error());
  return (*next)[0];
}

Result<WorkQueue::Progress> WorkQueue::progress() const {
  auto counts = segment_->call({.op = GateOp::queue_progress, .args = {id_}});
  if (!counts) return fail(counts.error());
  Progress progress;
  progress.done = (*counts)[0];
  progress.leased = (*counts)[1];
  progress.handed_out_again = (*counts)[2];
  return progress;
}

}  // namespace hive

#include "cell/gate/dispatcher.h"

#include <bit>
#include <limits>
#include <string>
#include <vector>

#include "proto/causes.h"
#include "proto/pages.h"

namespace hive::cell {

namespace cause = proto::cause;
using proto::GateOp;

namespace {

using Answer = Result<GateValues>;

Answer senseless() { return fail(Code::bad_argument, cause::senseless_request); }

Answer answer_of(const Result<void>& done) {
  if (!done) return fail(done.error());
  return GateValues{};
}
template <class Number>
Answer answer_of(const Result<Number>& number) {
  if (!number) return fail(number.error());
  return GateValues{static_cast<std::uint64_t>(*number)};
}
Answer answer_of(const Result<SegmentView>& segment) {
  if (!segment) return fail(segment.error());
  return GateValues{segment->id, segment->pages.first, segment->pages.count, segment->losses};
}
Answer answer_of(const Result<LockView>& lock) {
  if (!lock) return fail(lock.error());
  return GateValues{lock->object, lock->page, lock->token, lock->state};
}
Answer answer_of(const Result<QueueProgress>& progress) {
  if (!progress) return fail(progress.error());
  return GateValues{progress->done, progress->leased, progress->handed_out_again};
}

// Numbers of windows and objects have 32 bits; a larger one is nobody's, and so is 0.
std::uint32_t narrow(std::uint64_t number) {
  constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
  return number > largest ? 0 : static_cast<std::uint32_t>(number);
}

bool has_name(GateOp op) {
  return op == GateOp::segment_create || op == GateOp::segment_open ||
         op == GateOp::segment_find || op == GateOp::sync_open || op == GateOp::lock_open;
}

}  // namespace

void Dispatcher::run(const std::shared_ptr<Gate>& gate, const TakenRequest& taken) {
  Call answer = taken.sound ? call(gate, taken) : senseless();
  if (answer) gate->answer(taken.slot, taken.sequence, *answer);
}

Dispatcher::Call Dispatcher::call(const std::shared_ptr<Gate>& gate, const TakenRequest& taken) {
  const RequestCopy& request = taken.request;
  if (request.op == 0 || request.op >= static_cast<std::uint16_t>(GateOp::count_)) {
    counts_[0].fetch_add(1, std::memory_order_relaxed);
    gate->count_garbage();
    return fail(Code::bad_argument, cause::unknown_operation);
  }
  counts_[request.op].fetch_add(1, std::memory_order_relaxed);
  const auto op = static_cast<GateOp>(request.op);
  if (has_name(op) && !request.name_text()) {
    gate->count_garbage();
    return senseless();
  }
  if ((op >= GateOp::file_lookup && op <= GateOp::file_space) || op == GateOp::file_map ||
      op == GateOp::file_fault) {
    return call_files(gate, taken);
  }
  switch (op) {
    case GateOp::null: return GateValues{request.args[0]};
    case GateOp::fault:
    case GateOp::window_open:
    case GateOp::window_commit:
    case GateOp::window_abort:
    case GateOp::segment_reset:
    case GateOp::segment_give: return call_pages(gate->client(), request);
    case GateOp::segment_store: return store(*gate, taken);
    case GateOp::page_give: return give_cached(*gate, taken);
    case GateOp::view_map:
    case GateOp::view_unmap:
    case GateOp::view_fault:
    case GateOp::view_give: return call_views(*gate, taken);
    case GateOp::segment_create:
    case GateOp::segment_open:
    case GateOp::segment_find:
    case GateOp::segment_close:
    case GateOp::segment_destroy: return call_segments(gate, taken);
    default: return call_sync(gate, taken);
  }
}

Dispatcher::Call Dispatcher::call_files(const std::shared_ptr<Gate>& gate,
                                        const TakenRequest& taken) {
  if (files_ == nullptr) return fail(Code::bad_argument, cause::unknown_operation);
  files_->run(gate, taken);
  return std::nullopt;
}

Dispatcher::Call Dispatcher::call_pages(ClientId client, const RequestCopy& request) {
  const auto& args = request.args;
  switch (static_cast<GateOp>(request.op)) {
    case GateOp::fault: return answer_of(home_.fault(client, args[0], args[1] != 0, args[2]));
    case GateOp::window_open: {
      if (args[3] > 1) return senseless();
      const auto mode = args[3] == 0 ? WindowMode::exclusive : WindowMode::shared;
      return answer_of(home_.open_window(client, args[0], args[1], args[2], mode));
    }
    case GateOp::window_commit: return answer_of(home_.commit_window(client, narrow(args[0])));
    case GateOp::window_abort: return answer_of(home_.abort_window(client, narrow(args[0])));
    case GateOp::segment_reset: return answer_of(home_.reset(client, args[0], args[1], args[2]));
    case GateOp::segment_give: return answer_of(home_.give(client, args[0], args[1], args[2]));
    default: return senseless();
  }
}

Dispatcher::Call Dispatcher::call_views(Gate& gate, const TakenRequest& taken) {
  const auto& args = taken.request.args;
  const ClientId client = gate.client();
  switch (static_cast<GateOp>(taken.request.op)) {
    case GateOp::view_map:
      return answer_of(home_.map_view(client, args[0], args[1], args[2] != 0));
    case GateOp::view_unmap: return answer_of(home_.unmap_view(client, args[0]));
    case GateOp::view_give: return answer_of(home_.give_view(client, args[0], args[1]));
    default: break;
  }
  const std::uint64_t copied = args[3];
  if (copied >> proto::view_block_pages != 0) return senseless();
  std::vector<std::byte> content(std::popcount(copied) * machine::page_bytes);
  if (!content.empty() && !gate.copy_data(taken.slot, content)) return senseless();
  const ViewTouch touch{args[1], static_cast<std::uint32_t>(copied), content};
  const auto block = home_.fault_view(client, args[0], touch);
  if (!block) return fail(block.error());
  return gate.view_answer(taken.slot, *block);
}

Dispatcher::Call Dispatcher::store(const Gate& gate, const TakenRequest& taken) {
  const auto& args = taken.request.args;
  std::array<std::byte, proto::gate_store_bytes_max> data;
  if (args[2] > data.size()) return senseless();
  const std::span bytes(data.data(), static_cast<std::size_t>(args[2]));
  if (!gate.copy_data(taken.slot, bytes)) return senseless();
  return answer_of(home_.store(gate.client(), args[0], args[1], bytes));
}

Dispatcher::Call Dispatcher::give_cached(const Gate& gate, const TakenRequest& taken) {
  std::array<proto::WantedPage, proto::wanted_pages_max> wanted;
  const std::uint64_t count = taken.request.args[0];
  if (count == 0 || count > wanted.size()) return senseless();
  const std::span pages(wanted.data(), static_cast<std::size_t>(count));
  if (!gate.copy_data(taken.slot, std::as_writable_bytes(pages))) return senseless();
  std::vector<HeldFrame> held;
  for (const proto::WantedPage& page : pages) {
    held.push_back({page.frame, page.page, page.file, page.sequence});
  }
  return answer_of(home_.give_cached(gate.client(), held));
}

Dispatcher::Call Dispatcher::call_segments(const std::shared_ptr<Gate>& gate,
                                           const TakenRequest& taken) {
  const RequestCopy& request = taken.request;
  const ClientId client = gate->client();
  const std::string_view name = request.name_text().value_or("");
  switch (static_cast<GateOp>(request.op)) {
    case GateOp::segment_create: return create(gate, taken, name);
    case GateOp::segment_open: return answer_of(home_.open_segment(client, name));
    case GateOp::segment_find: return find(gate, taken, name);
    case GateOp::segment_close: return answer_of(home_.close_segment(client, request.args[0]));
    case GateOp::segment_destroy: return answer_of(home_.destroy_segment(client, request.args[0]));
    default: return senseless();
  }
}

Dispatcher::Call Dispatcher::create(const std::shared_ptr<Gate>& gate, const TakenRequest& taken,
                                    std::string_view name) {
  const std::uint64_t bytes = taken.request.args[0];
  const std::uint64_t flags = taken.request.args[1];
  constexpr std::uint64_t known = proto::segment_flag_keep | proto::segment_flag_rollback;
  if ((flags & ~known) != 0) return senseless();
  if (auto sound = home_.check_create(name, bytes); !sound) return fail(sound.error());
  names_.reserve(name, [this, gate, slot = taken.slot, sequence = taken.sequence,
                        text = std::string(name), bytes, flags](const Result<void>& reserved) {
    if (!reserved) {
      gate->answer(slot, sequence, fail(reserved.error()));
      return;
    }
    later_([this, gate, slot, sequence, text, bytes, flags] {
      const bool keep = (flags & proto::segment_flag_keep) != 0;
      const bool rollback = (flags & proto::segment_flag_rollback) != 0;
      const auto made = home_.create_segment(gate->client(), text, bytes, keep, rollback);
      names_.release(text);
      gate->answer(slot, sequence, answer_of(made));
    });
  });
  return std::nullopt;
}

Dispatcher::Call Dispatcher::find(const std::shared_ptr<Gate>& gate, const TakenRequest& taken,
                                  std::string_view name) {
  if (!is_valid_name(name, segment_name_max)) return fail(Code::bad_argument, cause::bad_name);
  names_.find(name, [gate, slot = taken.slot, sequence = taken.sequence](const auto& cell) {
    gate->answer(slot, sequence, answer_of(cell));
  });
  return std::nullopt;
}

Dispatcher::Call Dispatcher::call_sync(const std::shared_ptr<Gate>& gate,
                                       const TakenRequest& taken) {
  const RequestCopy& request = taken.request;
  const ClientId client = gate->client();
  const std::uint32_t object = narrow(request.args[0]);
  const std::uint64_t value = request.args[1];
  const auto later = [&] {
    return [gate, slot = taken.slot, sequence = taken.sequence](const Result<std::uint64_t>& r) {
      gate->answer(slot, sequence, answer_of(r));
    };
  };
  switch (static_cast<GateOp>(request.op)) {
    case GateOp::sync_open: return open_object(client, request);
    case GateOp::counter_add: return answer_of(home_.counter_add(client, object, value));
    case GateOp::barrier_arrive:
      home_.barrier_arrive(client, object, request.deadline_ns, later());
      return std::nullopt;
    case GateOp::barrier_reset: return answer_of(home_.barrier_reset(client, object, value));
    case GateOp::queue_take:
      home_.queue_take(client, object, request.deadline_ns, later());
      return std::nullopt;
    case GateOp::queue_next:
      home_.queue_next(client, object, value, request.deadline_ns, later());
      return std::nullopt;
    case GateOp::queue_done: return answer_of(home_.queue_done(client, object, value));
    case GateOp::queue_progress: return answer_of(home_.queue_progress(client, object));
    case GateOp::lock_open: return open_lock(client, request);
    case GateOp::lock_reset: return answer_of(home_.reset_lock(client, object));
    default: return senseless();
  }
}

Dispatcher::Answer Dispatcher::open_lock(ClientId client, const RequestCopy& request) {
  const std::uint64_t kind = request.args[1];
  if (kind != static_cast<std::uint64_t>(proto::LockKind::mutex) &&
      kind != static_cast<std::uint64_t>(proto::LockKind::condition)) {
    return senseless();
  }
  return answer_of(home_.open_lock(client, request.args[0], static_cast<proto::LockKind>(kind),
                                   request.name_text().value_or("")));
}

Dispatcher::Answer Dispatcher::open_object(ClientId client, const RequestCopy& request) {
  const std::uint64_t kind = request.args[1];
  if (kind < static_cast<std::uint64_t>(proto::SyncKind::counter) ||
      kind > static_cast<std::uint64_t>(proto::SyncKind::queue)) {
    return senseless();
  }
  return answer_of(home_.open_object(client, request.args[0], static_cast<proto::SyncKind>(kind),
                                     request.name_text().value_or(""), request.args[2]));
}

}  // namespace hive::cell

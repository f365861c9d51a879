// One client's gate: which of its requests were taken, and how the answers get back.
//
// A worker claims the gate before it takes requests from it, so one client keeps at most one
// worker busy, its calls on page tables never overlap, and a request is taken once: its sequence
// number is noted before it runs. Answers may come from any thread, long after the claim was
// released; the shared pointer that the answerer holds keeps the memory of the replies.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include <hive/error.h>
#include "cell/gate/request_pages.h"
#include "cell/heap/tagged_heap.h"
#include "cell/home/types.h"

namespace hive::cell {

// The replies as they lie in the kernel's heap; a task is told the address of `replies`.
struct TaggedReplies {
  static constexpr std::uint32_t type = type_name("GATE");
  TypeTag tag;
  proto::GateReplies replies;
};

// Data of an answer, in the kernel's heap; the bytes follow.
struct alignas(64) TaggedAnswerData {
  static constexpr std::uint32_t type = type_name("ANSW");
  TypeTag tag;
};

using GateValues = std::array<std::uint64_t, 4>;

// A request that was taken.
struct TakenRequest {
  std::uint32_t slot = 0;
  std::uint32_t sequence = 0;
  bool sound = false;  // false: garbage; to be answered so, not to be run
  RequestCopy request;
};

class Gate {
 public:
  // Errors: exhausted (the heap is full). `heap` must outlive the gate.
  static Result<std::shared_ptr<Gate>> create(TaggedHeap& heap, CellId self, ClientId client,
                                              RequestPages requests);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate();

  ClientId client() const { return client_; }
  std::uint64_t replies_address() const;

  // Whether a worker could take something. False while another worker has the gate.
  bool has_mail() const noexcept;
  bool claim() noexcept { return !claimed_.exchange(true, std::memory_order_acquire); }
  void release() noexcept { claimed_.store(false, std::memory_order_release); }
  // The next request of a slot at or after `slot`; false when there is none. With the claim.
  bool take(std::uint32_t from_slot, TakenRequest& out) noexcept;

  // The data that came with a request that was taken and is not answered yet.
  bool copy_data(std::uint32_t slot, std::span<std::byte> out) const noexcept {
    return requests_.copy_data(slot, out);
  }

  // See RequestPages::data.
  std::span<const std::byte> data(std::uint32_t slot, std::size_t bytes) const noexcept {
    return requests_.data(slot, bytes);
  }

  // See RequestPages::used.
  std::uint32_t used(std::uint32_t entry) const noexcept { return requests_.used(entry); }

  // Memory for the data of the answer to a request that was taken and is not answered yet: at most
  // gate_answer_bytes_max bytes, and less than asked for, perhaps none, when the heap is full. It
  // is the slot's from then on. Whoever is to answer calls it, and puts its address into the
  // answer.
  std::span<std::byte> answer_data(std::uint32_t slot, std::size_t bytes) noexcept;

  // What a view_fault is answered with, for answer(). Errors: exhausted (the heap is full).
  Result<GateValues> view_answer(std::uint32_t slot, const ViewBlock& block) noexcept;

  // Answers a request that was taken; a second answer to it is ignored. Any thread.
  void answer(std::uint32_t slot, std::uint32_t sequence,
              const Result<GateValues>& result) noexcept;

  // The client goes: nothing is taken any more.
  void retire() noexcept { retired_.store(true, std::memory_order_release); }
  bool is_retired() const noexcept { return retired_.load(std::memory_order_acquire); }

  void count_garbage() noexcept { garbage_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t garbage() const noexcept { return garbage_.load(std::memory_order_relaxed); }

 private:
  Gate(TaggedHeap& heap, CellId self, ClientId client, RequestPages requests,
       TaggedReplies* replies)
      : heap_(heap),
        self_(self),
        client_(client),
        requests_(std::move(requests)),
        replies_(replies) {}
  std::uint32_t slots_used() const noexcept;
  bool is_new(std::uint32_t slot, std::uint32_t& posted) const noexcept;
  void fill(proto::GateReply& reply, const Result<GateValues>& result) const noexcept;

  TaggedHeap& heap_;
  const CellId self_;
  const ClientId client_;
  const RequestPages requests_;
  TaggedReplies* const replies_;
  std::atomic<bool> claimed_{false};
  std::atomic<bool> retired_{false};
  std::atomic<std::uint64_t> garbage_{0};
  // Of each slot's answers; the answerer's.
  struct AnswerData {
    TaggedAnswerData* block = nullptr;
    std::size_t bytes = 0;  // with the head
  };
  std::array<AnswerData, proto::gate_slots> answer_data_{};
  // Written with the claim; read by anybody who looks for mail.
  std::array<std::atomic<std::uint32_t>, proto::gate_slots> taken_{};
  // The sequence that is being worked on + under_way, or 0. Whoever clears it, answers.
  static constexpr std::uint64_t under_way = std::uint64_t{1} << 32;
  std::array<std::atomic<std::uint64_t>, proto::gate_slots> working_{};
};

}  // namespace hive::cell

// A gate client with everything that it looks at in this process, and servers that are threads.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/futex.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "lib/gate_client.h"
#include "proto/gate.h"

namespace hive::lib {

inline constexpr CellId self = 0;
inline constexpr CellId server = 1;

// Memory that can be made to fail.
template <class T>
class Mapped {
 public:
  Mapped()
      : memory_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0)) {
    object_ = new (memory_) T{};
  }
  ~Mapped() { ::munmap(memory_, sizeof(T)); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  T* operator->() const { return object_; }
  T* get() const { return object_; }
  void fail() { ::mprotect(memory_, sizeof(T), PROT_NONE); }

 private:
  void* memory_;
  T* object_;
};

struct PlainRequest {
  std::uint16_t op;
  std::uint16_t reserved;
  std::uint32_t sleeping;
  std::uint64_t deadline_ns;
  std::array<std::uint64_t, 6> args;
  std::array<char, 64> name;
};
static_assert(sizeof(PlainRequest) == sizeof(proto::GateRequest));

class GateClientTest : public ::testing::Test {
 protected:
  GateClientTest() {
    install_safe_copy_handler();
    own_header->live_set.store(0b11);
    own_header->epoch.store(7);
    own_header->epoch_word.store(7);
    doorbell = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client = std::make_unique<GateClient>(surroundings());
  }
  ~GateClientTest() override {
    stop.store(true);
    for (std::thread& thread : threads) thread.join();
    ::close(doorbell);
  }

  GateSurroundings surroundings() {
    GateSurroundings with;
    with.self = self;
    with.server = server;
    with.own_header = own_header.get();
    with.server_header = server_header.get();
    with.replies = replies.get();
    with.requests = requests.get();
    with.doorbell = doorbell;
    with.closing = &closing;
    with.spin = &spin;
    return with;
  }

  // Answers one request of a slot, as a cell does.
  void answer(std::size_t slot, std::uint32_t sequence,
              const std::array<std::uint64_t, 4>& values) {
    proto::GateReply& reply = replies->slots[slot];
    reply.failed = 0;
    reply.values = values;
    finish(slot, sequence);
  }
  void answer_failed(std::size_t slot, std::uint32_t sequence, std::uint8_t code,
                     std::uint16_t cause, std::uint16_t failed = 1) {
    proto::GateReply& reply = replies->slots[slot];
    reply.failed = failed;
    reply.code = code;
    reply.cause = cause;
    reply.cell = server;
    reply.values = {4096, 8192};
    finish(slot, sequence);
  }
  void finish(std::size_t slot, std::uint32_t sequence) {
    replies->slots[slot].sequence.store(sequence);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (requests->slots[slot].sleeping.load() != 0) futex_wake(&replies->slots[slot].sequence, 1);
  }

  using Handler =
      std::function<void(std::size_t slot, std::uint32_t sequence, const PlainRequest&)>;
  // A thread that hands every new request to `handler`, until the test ends.
  void serve(Handler handler) {
    threads.emplace_back([this, handler = std::move(handler)] {
      std::array<std::uint32_t, proto::gate_slots> taken{};
      while (!stop.load()) {
        for (std::size_t slot = 0; slot < requests->slots_used.load(); ++slot) {
          const std::uint32_t posted = requests->posted[slot].load(std::memory_order_acquire);
          if (posted == taken[slot]) continue;
          taken[slot] = posted;
          PlainRequest request;
          ASSERT_TRUE(safe_copy(&request, &requests->slots[slot], sizeof request));
          handler(slot, posted, request);
        }
        std::this_thread::yield();
      }
    });
  }
  void serve_echo() {
    serve([this](std::size_t slot, std::uint32_t sequence, const PlainRequest& request) {
      answer(slot, sequence,
             {request.args[0], request.args[1], request.op, request.name[0] ? 1U : 0U});
    });
  }
  template <class Condition>
  static void wait_until(Condition condition) {
    const std::uint64_t limit = now_ns() + 20 * ns_per_s;
    while (!condition() && now_ns() < limit)
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    ASSERT_TRUE(condition());
  }

  Mapped<machine::NodeHeader> own_header;
  Mapped<machine::NodeHeader> server_header;
  Mapped<proto::GateReplies> replies;
  std::unique_ptr<proto::GateRequests> requests = std::make_unique<proto::GateRequests>();
  std::atomic<std::uint32_t> closing{0};
  SpinPolicy spin;
  int doorbell = -1;
  std::unique_ptr<GateClient> client;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
};

}  // namespace hive::lib

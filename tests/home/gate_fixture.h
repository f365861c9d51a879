// A gate server over a home with fake page tables, and tasks that are threads of the test.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/safe_copy.h"
#include "cell/gate/gate_server.h"
#include "cell/home/local_names.h"
#include "gate_caller.h"
#include "home_fixture.h"

namespace hive::cell::test {

// Names of a machine whose other cells are told to the test. Answers on its own thread, later.
class FakeNames final : public NameService {
 public:
  explicit FakeNames(CellId self) : self_(self) {}
  ~FakeNames() override { join(); }

  void find(std::string_view name, Found done) override {
    answer([this, text = std::string(name), done] {
      const std::scoped_lock lock(mutex_);
      if (home != nullptr && home->has_segment(text)) return done(self_);
      const auto at = elsewhere.find(text);
      if (at == elsewhere.end()) return done(fail(Code::not_found, proto::cause::no_such_name));
      done(at->second);
    });
  }
  void reserve(std::string_view name, Reserved done) override {
    answer([this, text = std::string(name), done] {
      const std::scoped_lock lock(mutex_);
      if (elsewhere.contains(text)) return done(fail(Code::exists, proto::cause::name_taken));
      ++reserved[text];
      done({});
    });
  }
  void release(std::string_view name) override {
    const std::scoped_lock lock(mutex_);
    --reserved[std::string(name)];
  }
  void join() {
    std::vector<std::thread> threads;
    {
      const std::scoped_lock lock(mutex_);
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
  }
  int still_reserved() {
    const std::scoped_lock lock(mutex_);
    int sum = 0;
    for (const auto& [name, count] : reserved) sum += count;
    return sum;
  }

  Home* home = nullptr;
  std::map<std::string, CellId> elsewhere;  // set before use
  std::map<std::string, int> reserved;      // guarded by mutex_

 private:
  template <class Work>
  void answer(Work work) {
    const std::scoped_lock lock(mutex_);
    threads_.emplace_back(work);
  }
  const CellId self_;
  std::mutex mutex_;
  std::vector<std::thread> threads_;  // guarded by mutex_
};

// A task: its client, its request memory, and its end of the gate.
struct GateTask {
  TestClient client;
  std::unique_ptr<proto::GateRequests> requests;
  std::unique_ptr<GateCaller> gate;
};

class GateTest : public HomeTest {
 protected:
  GateTest() : names(self) {
    install_safe_copy_handler();
    names.home = home.get();
    GateServer::Parts parts;
    parts.self = self;
    parts.heap = &memory.heap();
    parts.home = home.get();
    parts.names = &names;
    parts.asleep = &asleep;
    server = *GateServer::create(parts);
    server->start();
    // What the kernel's tick does.
    ticker = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        server->watch(now_ns());
        home->on_tick(now_ns());
        std::this_thread::sleep_for(std::chrono::milliseconds(ticks_ms));
      }
    });
  }
  void TearDown() override {
    ticker.request_stop();
    ticker.join();
    names.join();
    server->stop();
    EXPECT_EQ(names.still_reserved(), 0);
    HomeTest::TearDown();
  }
  GateTask task(CellId cell = 0, std::uint64_t number = 7) {
    GateTask made;
    made.client = attach(cell, number);
    made.requests = std::make_unique<proto::GateRequests>();
    const auto replies =
        server->add(made.client.id, RequestPages::borrow(made.requests.get()));
    EXPECT_TRUE(replies);
    made.gate = std::make_unique<GateCaller>(
        made.requests.get(), reinterpret_cast<const proto::GateReplies*>(*replies), &asleep,
        server->doorbell());
    return made;
  }
  void end(const GateTask& gone, Leave why = Leave::died) {
    gone.client.space->die();
    server->remove(gone.client.id);
    home->remove_client(gone.client.id, why);
  }

  static constexpr int ticks_ms = 5;
  std::atomic<std::uint32_t> asleep{0};
  FakeNames names;
  std::unique_ptr<GateServer> server;
  std::jthread ticker;
};

}  // namespace hive::cell::test

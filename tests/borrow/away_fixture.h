// Tasks' memory on a small node, over fake page tables, with lenders next door.
#pragma once

#include <memory>
#include <thread>

#include "base/safe_copy.h"
#include "cell/home/away_pages.h"
#include "home_fixture.h"
#include "with_lenders.h"

namespace hive::cell::test {

class AwayTest : public HomeTest, protected WithLenders {
 protected:
  static void SetUpTestSuite() { install_safe_copy_handler(); }

  void start_cells(int lenders, std::uint64_t recall_ns = recall_max_ns) {
    start_borrowing(layout, {.self = self, .own = home.get(), .node_frames = pages,
                             .slots = pages, .idle_ns = 3600 * ns_per_s});
    away = std::make_unique<AwayPages>(*home, *borrowed);
    start_lenders(lenders, recall_ns);
  }
  void TearDown() override {
    HomeTest::TearDown();
    expect_lenders_sound();
    away.reset();
    borrowed->stop();
  }
  // The lender has only so many frames to spare.
  void leave_to_spare(CellId cell, std::uint32_t frames) {
    Home& lender = doors->home(cell);
    ClientInfo info;
    info.cell = cell;
    const auto id = *lender.add_client(info, std::make_shared<KernelSpace>(doors->node(cell)));
    const std::uint64_t bytes = (pages - pages / 8 - frames) * page;
    EXPECT_TRUE(lender.create_segment(id, "hog", bytes, true));
  }

  // A task with one view, which it touches as libhive does. Not thread-safe.
  class Memory {
   public:
    Memory(AwayTest& test, std::uint64_t count, std::uint64_t task = 7)
        : test_(test), client_(test.attach(self, task)) {
      map(count);
    }
    void map(std::uint64_t count) {
      count_ = count;
      view_ = *test_.home->map_view(client_.id, at(0), count * page);
    }
    void unmap() {
      client_.space->hide_all();
      EXPECT_TRUE(test_.home->unmap_view(client_.id, view_));
    }
    void die() { test_.kill(client_); }
    std::uint64_t count() const { return count_; }
    const TestClient& client() const { return client_; }
    std::uint64_t at(std::uint64_t p) const { return test_.layout.views_begin() + p * page; }

    Result<std::uint64_t> load(std::uint64_t p) {
      while (true) {
        if (const auto value = client_.space->load_at(at(p))) return *value;
        if (auto done = touch(p); !done) return fail(done.error());
      }
    }
    Result<void> store(std::uint64_t p, std::uint64_t value) {
      while (!client_.space->store_at(at(p), value)) {
        if (auto done = touch(p); !done) return done;
      }
      return {};
    }
    bool is_there(std::uint64_t p) const { return client_.space->load_at(at(p)).has_value(); }

    // One fault; while the home is busy it is tried again, as libhive does.
    Result<void> touch(std::uint64_t p) {
      while (true) {
        auto done = touch_once(p);
        if (done || done.error().code != Code::busy) return done;
        std::this_thread::yield();
      }
    }
    // The two halves of a fault. The first says whether there is a second one.
    Result<bool> begin_touch(std::uint64_t p) {
      const auto block = test_.home->fault_view(client_.id, view_, {.page = p});
      if (!block) return fail(block.error());
      if (block->show == 0) return false;
      for (std::uint32_t i = 0; i < proto::view_block_pages; ++i) {
        if ((block->show >> i & 1) == 0) continue;
        const auto frame = static_cast<std::uint32_t>(
            (block->frames[i] - test_.layout.user_begin(self)) / page);
        client_.space->show(at(p / proto::view_block_pages * proto::view_block_pages + i), frame);
      }
      return true;
    }
    Result<void> end_touch(std::uint64_t p) {
      return test_.home->give_view(client_.id, view_, p);
    }

   private:
    Result<void> touch_once(std::uint64_t p) {
      const auto begun = begin_touch(p);
      if (!begun) return fail(begun.error());
      if (!*begun) return {};
      return end_touch(p);
    }

    AwayTest& test_;
    const TestClient client_;
    ViewId view_ = 0;
    std::uint64_t count_ = 0;
  };

  std::unique_ptr<AwayPages> away;
};

}  // namespace hive::cell::test

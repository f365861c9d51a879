// Windows, torn and rolled back, and small stores by the home.

#include <memory>
#include <thread>

#include "guard.h"

namespace hive::chaos {
namespace {

// A range of a segment that is always stored as a whole, in one window.
struct Area {
  std::uint64_t page;
  std::uint64_t pages;
  std::size_t tally;  // its place in Tally::committed and resets
};

std::span<std::uint64_t> words_of(const WriteWindow& window) {
  return {window.at<std::uint64_t>(0), static_cast<std::size_t>(window.length() / 8)};
}

class WindowWork : public Work {
 public:
  WindowWork(Place& place, Segment& segment, std::size_t first_tally, bool rolls_back)
      : place_(place), segment_(segment), first_tally_(first_tally), rolls_back_(rolls_back) {
    if (!rolls_back) menders_.emplace(place, 5);
  }

  bool step() override {
    const Area area = pick();
    const std::uint64_t offset = area.page * page_size;
    const std::uint64_t bytes = area.pages * page_size;
    Word& committed = place_.tally.committed[area.tally];
    Word& resets = place_.tally.resets[area.tally];
    const std::uint64_t resets_before = resets.load();
    const std::uint64_t at_least = committed.load();

    auto window = segment_.write(offset, bytes);
    if (!window) {
      if (rolls_back_) {
        (void)may_be(window.error(), {Code::busy}, "a window that is rolled back");
        return false;
      }
      if (!may_be(window.error(), {Code::busy, Code::lost}, "a window")) return false;
      if (window.error().code == Code::busy) return false;
      mend(offset, bytes, area);
      return true;
    }
    // Nobody else has it open: what is here is what somebody committed, or a reset left.
    const auto found = version_of(words_of(*window));
    if (!found) {
      violation("a torn record without an error: %s, page %llu", kind(),
                static_cast<unsigned long long>(area.page));
    } else if (*found < at_least && resets.load() == resets_before) {
      violation("a commit is gone: %s, page %llu, version %llu, was %llu", kind(),
                static_cast<unsigned long long>(area.page),
                static_cast<unsigned long long>(*found),
                static_cast<unsigned long long>(at_least));
    }
    return store(std::move(*window), committed);
  }

 private:
  // Eight areas of one page, then five of three.
  Area pick() {
    const std::uint64_t i = place_.random.below(13);
    if (i < 8) return {i, 1, first_tally_ + i};
    return {8 + (i - 8) * 3, 3, first_tally_ + i};
  }

  const char* kind() const { return rolls_back_ ? "rolled back" : "torn"; }

  bool store(WriteWindow window, Word& committed) {
    const std::uint64_t version = place_.tally.next_version.fetch_add(1) + 1;
    auto words = words_of(window);
    if (place_.random.one_in(4)) {  // caught in the middle more often
      fill(words.first(words.size() / 2), version);
      std::this_thread::yield();
    }
    fill(words, version);
    if (place_.random.one_in(32)) {  // closed without commit
      { const WriteWindow dropped = std::move(window); }
      return false;
    }
    if (auto done = window.commit(); !done) {
      (void)may_be(done.error(), {}, "a commit");
      return false;
    }
    // Versions of an area go up, because they are given out while it is open.
    std::uint64_t so_far = committed.load();
    while (so_far < version && !committed.compare_exchange_weak(so_far, version)) {
    }
    return false;
  }

  // Whoever comes now sees the loss, too, and never zeros: nobody resets it but us.
  void mend(std::uint64_t offset, std::uint64_t bytes, const Area& area) {
    const auto taken = menders_->take([] {});
    if (taken == Guard::Taken::no) return;
    auto window = segment_.write(offset, bytes);  // perhaps somebody has reset it
    if (window) {
      (void)window->commit();
    } else if (window.error().code == Code::lost) {
      std::vector<std::uint64_t> copy(bytes / 8);
      auto read = segment_.read(offset, std::as_writable_bytes(std::span(copy)));
      // A reset of a mender who died may still be under way.
      if (read && taken == Guard::Taken::yes) {
        violation("page %llu was lost and is read without an error",
                  static_cast<unsigned long long>(area.page));
      }
      if (!read) (void)may_be(read.error(), {Code::lost}, "a read of what is lost");
      place_.tally.resets[area.tally].fetch_add(1);
      place_.tally.committed[area.tally].store(0);
      if (auto done = segment_.reset(offset, bytes); !done) {
        (void)may_be(done.error(), {Code::busy}, "a reset");
      }
    }
    menders_->give();
  }

  Place& place_;
  Segment& segment_;
  const std::size_t first_tally_;
  const bool rolls_back_;
  std::optional<Guard> menders_;
};

// Records that only put() stores: whole or not at all.
class PutWork : public Work {
 public:
  explicit PutWork(Place& place) : place_(place) {}

  bool step() override {
    const std::uint64_t page = put_page + place_.random.below(4);
    const std::uint64_t offset = page * page_size + record_offset;
    Record record{};
    if (place_.random.one_in(2)) {
      fill(record.words, place_.tally.next_version.fetch_add(1) + 1);
      if (auto done = place_.torn.put_as(offset, record); !done) {
        (void)may_be(done.error(), {}, "a put");
      }
      return false;
    }
    // A reader may meet a store; but it is the home that stores, and nobody kills that.
    for (int tries = 0; tries < 10'000; ++tries) {
      auto read = place_.torn.read_as<Record>(offset);
      if (!read) return !may_be(read.error(), {}, "a read of what was put");
      if (version_of(read->words)) return false;
      std::this_thread::yield();
    }
    violation("what was put stays half stored: page %llu", static_cast<unsigned long long>(page));
    return false;
  }

 private:
  static constexpr std::uint64_t record_offset = 72;  // aligned to nothing but words
  struct Record {
    std::uint64_t words[40];
  };
  Place& place_;
};

// Several have the same page open at once, and each stores to a word of its own. If one of them
// dies, all of them lose it.
class SharedWork : public Work {
 public:
  explicit SharedWork(Place& place) : place_(place) {}

  bool step() override {
    const std::uint64_t page = shared_page + place_.random.below(2);
    auto window = place_.torn.write(page * page_size, page_size, WindowMode::shared);
    if (!window) {
      if (!may_be(window.error(), {Code::busy, Code::lost}, "a shared window")) return false;
      if (window.error().code == Code::busy) return false;
      if (auto done = place_.torn.reset(page * page_size, page_size); !done) {
        (void)may_be(done.error(), {Code::busy}, "a reset");
      }
      return true;
    }
    // A store to a page that was torn under us would be a bus error: let the home do it.
    auto stored = hive::guarded([&] {
      auto* words = window->at<volatile std::uint64_t>(0);
      for (int i = 0; i < 64; ++i) words[place_.slot] = static_cast<std::uint64_t>(i);
    });
    if (!stored && !may_be(stored.error(), {Code::lost, Code::refused}, "a shared store")) {
      return false;
    }
    auto done = window->commit();
    if (!done) (void)may_be(done.error(), {Code::lost}, "a commit of a shared window");
    return !stored || !done;
  }

 private:
  Place& place_;
};

}  // namespace

std::unique_ptr<Work> window_work(Place& place) {
  return std::make_unique<WindowWork>(place, place.torn, 0, false);
}
std::unique_ptr<Work> rollback_work(Place& place) {
  return std::make_unique<WindowWork>(place, place.restored, 16, true);
}
std::unique_ptr<Work> put_work(Place& place) { return std::make_unique<PutWork>(place); }
std::unique_ptr<Work> shared_work(Place& place) { return std::make_unique<SharedWork>(place); }

}  // namespace hive::chaos

// A worker: random operations on its own area and on what it shares, each logged before and after.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "campaign/load/component.h"
#include "campaign/load/home.h"

namespace hive::campaign {

class Worker final : public Component {
 public:
  explicit Worker(Setting& setting);

  Result<void> prepare() override;
  void step() override;
  void audit(std::uint64_t fault) override;
  void go(const std::vector<std::uint64_t>& incarnations) override;

 private:
  Home* random_home(const std::vector<int>& cells);
  void note_error(const char* operation, Home& home, const Error& error, int writer = -1);

  // worker_pages.cpp
  void write_window(Home& home);
  bool fill(const WriteWindow& window, const PageName& first, int pages, std::uint64_t round);
  void check_page(Home& home, int kind, int writer, int page);
  void check_random_page();
  void scan_the_dead();
  void scan_page(const Home& home, int kind, int writer, int page);
  void watch_live_set(const std::stop_token& stop);
  void audit_pages(std::uint64_t fault, Home& home);
  void reset_area(Home& home, int writer);

  // worker_sync.cpp
  void add_one(Home& home);
  void lock_and_change(Home& home);
  void mend(Home& home);
  bool change_pair(Home& home);
  void take_item(Home& home);
  void publish();
  void follow(Home& home);
  void start_streams();
  void audit_sync(std::uint64_t fault, Home& home);

  std::mutex homes_mutex_;  // held where segments are opened, and by the watcher
  std::vector<Home> homes_;
  std::vector<Segment> old_;  // of incarnations that died: they must stay errors
  std::vector<std::uint64_t> old_incarnations_;
  std::optional<Versioned<StreamRecord>::Writer> value_;
  std::optional<RingWriter<StreamRecord>> ring_;
  std::uint64_t round_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t epoch_ = 0;       // guarded by homes_mutex_
  std::uint64_t seen_epoch_ = 0;  // the watcher's own
  bool fresh_ = true;             // the first `go` has not come yet
  std::jthread watcher_;
};

}  // namespace hive::campaign

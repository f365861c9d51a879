// Usage: chaos-victim make TALLY HOME      makes the segments of a run, prints "made", keeps them
//                                          until the tally says stop
//        chaos-victim work TALLY HOME SLOT SEED [calm]
//                                          works until it is killed, or the tally says stop; calm:
//                                          with pauses
// Exit status: 0 in good order, 1 not.

#include "victim.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include <unistd.h>

namespace hive::chaos {

namespace {

std::uint64_t word_of(std::uint64_t version, std::size_t i) {
  return (version + i) * 0x9e3779b97f4a7c15 ^ (version << 17);
}

}  // namespace

void fill(std::span<std::uint64_t> words, std::uint64_t version) {
  words[0] = version;
  for (std::size_t i = 1; i < words.size(); ++i) words[i] = word_of(version, i);
}

std::optional<std::uint64_t> version_of(std::span<const std::uint64_t> words) {
  const std::uint64_t version = words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] != (version == 0 ? 0 : word_of(version, i))) return std::nullopt;
  }
  return version;
}

bool may_be(const Error& error, std::initializer_list<Code> codes, const char* what) {
  if (std::find(codes.begin(), codes.end(), error.code) != codes.end()) return true;
  if (am_doomed() || is_doomed(error.cell)) return false;
  violation("%s: %s", what, error.message().c_str());
  return false;
}

namespace {

// Opens, makes and closes segments: names and memory that come and go.
class OpenWork : public Work {
 public:
  explicit OpenWork(Place& place, Session& session) : place_(place), session_(session) {}
  bool step() override {
    if (!place_.random.one_in(8)) return false;
    const std::string name = "chaos-passing-" + std::to_string(place_.random.below(4));
    auto segment = session_.create(name, 3 * page_size);
    if (!segment && segment.error().code == Code::exists) segment = session_.open(name);
    // Whoever made it may have gone in between.
    if (!segment) return !may_be(segment.error(), {Code::not_found}, "a passing segment");
    auto window = segment->write(0, 3 * page_size);
    if (!window) {
      return may_be(window.error(), {Code::busy, Code::lost}, "a window of a passing segment");
    }
    fill({window->at<std::uint64_t>(0), 64}, 1);
    if (place_.random.one_in(4)) return false;  // closed while the window is open
    if (auto done = window->commit(); !done) (void)may_be(done.error(), {}, "a commit");
    return false;
  }

 private:
  Place& place_;
  Session& session_;
};

struct Kind {
  std::unique_ptr<Work> (*make)(Place&);
};
// kills_test.py has their names, in this order.
constexpr std::array kinds = {
    Kind{window_work}, Kind{rollback_work}, Kind{put_work},
    Kind{mutex_work},  Kind{guarded_work},  Kind{turn_work},
    Kind{shared_work}, Kind{ring_work},     Kind{versioned_work},
};

int complain(const char* what, const Error& error) {
  if (!am_doomed()) violation("%s: %s", what, error.message().c_str());
  return 1;
}

int make(Tally& tally, int home) {
  auto session = attach();
  if (!session) return complain("attach", session.error());
  const auto create = [&](const char* name, std::uint64_t pages, int cell, OnLoss on_loss) {
    return session->create(name, pages * page_size, {.home = cell, .on_loss = on_loss});
  };
  const auto torn = create("chaos-torn", torn_pages, home, OnLoss::tear);
  if (!torn) return complain("create", torn.error());
  const auto restored = create("chaos-restored", restored_pages, 1 - home, OnLoss::rollback);
  if (!restored) return complain("create", restored.error());
  const auto streams = create("chaos-streams", streams_pages, home, OnLoss::tear);
  if (!streams) return complain("create", streams.error());
  const auto far = create("chaos-far", 1, 2, OnLoss::tear);
  if (!far) return complain("create", far.error());
  std::puts("made");
  std::fflush(stdout);
  while (tally.stop.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return 0;
}

int work(Tally& tally, int slot, std::uint64_t seed, bool calm) {
  Random random(seed);
  auto session = attach();
  if (!session) return complain("attach", session.error());
  auto torn = session->open("chaos-torn");
  if (!torn) return complain("open", torn.error());
  auto restored = session->open("chaos-restored");
  if (!restored) return complain("open", restored.error());
  auto streams = session->open("chaos-streams");
  if (!streams) return complain("open", streams.error());
  // So that every victim is attached to every cell, whatever it does later; the last one's home
  // may be gone already.
  auto far = session->open("chaos-far");
  if (!far && tally.doomed.load() == 0) return complain("open", far.error());
  Place place{tally, random, slot, std::move(*torn), std::move(*restored), std::move(*streams)};

  std::vector<std::unique_ptr<Work>> works;
  for (const Kind& kind : kinds) works.push_back(kind.make(place));
  works.push_back(std::make_unique<OpenWork>(place, *session));

  const auto number = static_cast<std::size_t>(slot);
  tally.ready[number].store(static_cast<std::uint64_t>(::getpid()));
  while (tally.stop.load() == 0) {
    const std::size_t kind = random.below(works.size());
    if (works[kind]->step()) tally.lost[kind].fetch_add(1);
    tally.kinds[kind].fetch_add(1);
    tally.operations[number].fetch_add(1);
    if (calm) std::this_thread::sleep_for(std::chrono::microseconds(random.below(4000)));
  }
  return 0;
}

int run(int argc, char** argv) {
  if (argc < 4) return 2;
  Tally& tally = map_tally(argv[2]);
  if (std::strcmp(argv[1], "make") == 0) return make(tally, std::atoi(argv[3]));
  if (std::strcmp(argv[1], "work") != 0 || argc < 6) return 2;
  return work(tally, std::atoi(argv[4]), std::strtoull(argv[5], nullptr, 0), argc > 6);
}

}  // namespace
}  // namespace hive::chaos

int main(int argc, char** argv) { return hive::chaos::run(argc, argv); }

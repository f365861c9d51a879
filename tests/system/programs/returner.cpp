// Sees a cell die and come back: what it had there stays an error until it is opened anew.
// Usage: returner CELL     (not its own)
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <poll.h>

#include <hive/hive.h>

namespace {

using namespace std::chrono_literals;

int failures = 0;

void check(bool good, const char* what) {
  if (!good) ++failures;
  std::printf("%s: %s\n", good ? "ok" : "WRONG", what);
  std::fflush(stdout);
}

template <class T>
bool is_down(const hive::Result<T>& result) {
  if (!result) std::printf("  %s\n", result.error().message().c_str());
  return !result && result.error().code == hive::Code::cell_down;
}

void await(hive::Session& session, hive::News::Kind kind, int cell) {
  pollfd waits = {session.news_descriptor(), POLLIN, 0};
  while (::poll(&waits, 1, 60'000) > 0) {
    while (auto news = session.next_news()) {
      if (news->kind == kind && news->cell == cell) return;
    }
  }
  check(false, "the news did not come");
}

bool is_up(const hive::Session& session, int cell) {
  return session.cells()[static_cast<std::size_t>(cell)].up;
}

// A store at the speed of memory asks nobody: it is told once the memory has been given back.
bool ends(hive::Versioned<std::uint64_t>::Writer& writer) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (writer.publish(1) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  return is_down(writer.publish(1));
}

// All that the task has from before, and what becomes of each use of it.
void check_old(hive::Segment& old, hive::Versioned<std::uint64_t>::Writer& writer,
               hive::Mutex& mutex) {
  std::uint64_t word = 0;
  check(is_down(old.read(0, std::as_writable_bytes(std::span(&word, 1)))), "read is cell_down");
  check(is_down(old.put(0, std::as_bytes(std::span(&word, 1)))), "put is cell_down");
  check(is_down(old.write(0, 8)), "a window is cell_down");
  check(is_down(hive::view<std::uint64_t>(old, 0)), "a view is cell_down");
  check(ends(writer), "a writer is cell_down");
  check(is_down(mutex.lock(1s)), "a mutex is cell_down");
  const volatile std::uint64_t* plain = old.at<std::uint64_t>(0);
  check(!hive::guarded([&] { word = *plain; }), "a plain load is an error");
}

int run(hive::Session& session, int cell) {
  auto old = session.create("old", 4 * hive::page_size, {.home = cell});
  if (!old) return 1;
  auto writer = hive::Versioned<std::uint64_t>::Writer::create(*old, hive::page_size);
  auto mutex = hive::Mutex::open(*old, "mutex");
  auto barrier = hive::Barrier::open(*old, "never", 2);
  if (!writer || !mutex || !barrier) return 1;
  std::thread waiter(
      [&] { check(is_down(barrier->arrive_and_wait(60s)), "a wait ends with cell_down"); });
  std::printf("ready\n");
  std::fflush(stdout);

  await(session, hive::News::Kind::cell_failed, cell);
  waiter.join();
  check_old(*old, *writer, *mutex);
  await(session, hive::News::Kind::cell_back, cell);
  check(is_up(session, cell), "the cell is in the live set");
  check_old(*old, *writer, *mutex);
  auto found = session.open("old");
  check(!found && found.error().code == hive::Code::not_found, "the name is gone");

  // At the same addresses as the old one, as it happens.
  auto fresh = session.create("old", 4 * hive::page_size, {.home = cell});
  check(fresh.has_value(), "a segment can be made there");
  if (!fresh) {
    std::printf("  %s\n", fresh.error().message().c_str());
    return 1;
  }
  auto window = fresh->write_all();
  check(window.has_value(), "a window can be opened there");
  if (window) *window->at<std::uint64_t>(0) = 42;
  std::uint64_t word = 0;
  check(is_down(writer->publish(word)), "the old writer does not store into the new segment");
  check(window && window->commit().has_value(), "and committed");
  auto value = fresh->read_as<std::uint64_t>(0);
  check(value && *value == 42, "and read");
  check(is_down(old->read(0, std::as_writable_bytes(std::span(&word, 1)))),
        "the old segment stays an error");
  check(is_down(mutex->lock(1s)), "and its mutex");
  auto again = hive::Mutex::open(*fresh, "mutex");
  check(again && again->lock(1s).has_value(), "a new mutex can be locked");
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto session = hive::attach();
  if (!session) return 1;
  return run(*session, std::atoi(argv[1]));
}

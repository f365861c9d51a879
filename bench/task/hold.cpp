// hive-bench-hold: a task that has something at other cells, for the scripts of bench/evaluation.
//   hive-bench-hold open HOME PAGES ...   has windows on so many pages of these cells
//   hive-bench-hold fill HOME PAGES ...   has stored to them, and closed the windows again
//   hive-bench-hold use HOME ...          goes on loading from a segment of each of these cells
// Prints "ready" once it has it, and ends with its standard input. A `use` that loses a page that
// it loads from is ended, as every program is.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>
#include <unistd.h>

#include <hive/hive.h>

namespace {

constexpr int pause_ms = 1;

[[noreturn]] void stop(const hive::Error& error) {
  std::fprintf(stderr, "hive-bench-hold: %s\n", error.message().c_str());
  std::exit(1);
}

hive::Segment make(hive::Session& session, int home, std::uint64_t pages) {
  hive::SegmentOptions options;
  options.home = home;
  const std::string name = "hold-" + std::to_string(session.task()) + "-" + std::to_string(home);
  auto made = session.create(name, pages * hive::page_size, options);
  if (!made) stop(made.error());
  return std::move(*made);
}

hive::WriteWindow store(hive::Segment& segment) {
  auto window = segment.write_all();
  if (!window) stop(window.error());
  std::memset(window->data(), 1, window->length());
  return std::move(*window);
}

bool input_has_ended(int wait_ms) {
  pollfd poll{STDIN_FILENO, POLLIN, 0};
  char byte = 0;
  return ::poll(&poll, 1, wait_ms) == 1 && ::read(STDIN_FILENO, &byte, 1) <= 0;
}

void say_ready() {
  std::puts("ready");
  std::fflush(stdout);
}

int hold_pages(hive::Session& session, const std::vector<int>& numbers, bool is_open) {
  std::vector<hive::Segment> segments;
  std::vector<hive::WriteWindow> windows;
  for (std::size_t i = 0; i + 1 < numbers.size(); i += 2) {
    segments.push_back(make(session, numbers[i], static_cast<std::uint64_t>(numbers[i + 1])));
    windows.push_back(store(segments.back()));
  }
  for (auto& window : windows) {
    if (is_open) break;
    if (auto done = window.commit(); !done) stop(done.error());
  }
  say_ready();
  while (!input_has_ended(-1)) {
  }
  return 0;
}

int use(hive::Session& session, const std::vector<int>& homes) {
  std::vector<hive::Segment> segments;
  for (const int home : homes) segments.push_back(make(session, home, 1));
  const auto load = [&] {
    for (const hive::Segment& segment : segments) {
      (void)*const_cast<const volatile std::byte*>(segment.data());
    }
  };
  load();
  say_ready();
  while (!input_has_ended(pause_ms)) load();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[1] : "";
  std::vector<int> numbers;
  for (int i = 2; i < argc; ++i) numbers.push_back(std::atoi(argv[i]));
  const bool is_use = what == "use";
  if (!is_use && (numbers.size() % 2 != 0 || (what != "open" && what != "fill"))) {
    std::fputs("usage: hive-bench-hold open|fill HOME PAGES ... | use HOME ...\n", stderr);
    return 2;
  }
  auto session = hive::attach();
  if (!session) stop(session.error());
  return is_use ? use(*session, numbers) : hold_pages(*session, numbers, what == "open");
}

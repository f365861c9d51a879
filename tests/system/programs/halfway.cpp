// A program that is in the middle of a change, and one that looks at what it has changed.
// Usage: halfway NAME HOME     makes a segment there that holds ones, stores a two to its first
//                              byte, in a window that it never commits, and waits to be killed
//        halfway NAME          tells what the first byte is, for each line that comes in and each
//                              cell that fails
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <poll.h>
#include <unistd.h>

#include <hive/hive.h>

namespace {

void say(const char* text) {
  std::printf("%s\n", text);
  std::fflush(stdout);
}

int change(hive::Session& session, const char* name, int home) {
  auto segment = session.create(name, 4 * hive::page_size, {.home = home, .keep = true});
  if (!segment) return 1;
  auto whole = segment->write_all();
  if (!whole) return 1;
  std::memset(whole->at<char>(0), 1, segment->size());
  if (!whole->commit()) return 1;
  auto window = segment->write_all();
  if (!window) return 1;
  *window->at<char>(0) = 2;
  say("half done");
  for (;;) ::pause();
}

void tell(const hive::Segment& segment, const char* when) {
  const auto byte = segment.read_as<char>(0);
  if (byte) {
    std::printf("%s: read %d\n", when, *byte);
  } else {
    std::printf("%s: %s\n", when, hive::code_name(byte.error().code));
  }
  std::fflush(stdout);
}

int look(hive::Session& session, const char* name) {
  auto segment = session.open(name);
  if (!segment || !segment->touch(0, segment->size())) return 1;
  say("ready");
  pollfd waits[] = {{session.news_descriptor(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  while (::poll(waits, 2, -1) > 0) {
    while (auto news = session.next_news()) {
      if (news->kind != hive::News::Kind::cell_failed) continue;
      std::array<char, 32> when{};
      std::snprintf(when.data(), when.size(), "cell %d failed", news->cell);
      tell(*segment, when.data());
    }
    char line = 0;
    if (waits[1].revents == 0) continue;
    if (::read(STDIN_FILENO, &line, 1) != 1) return 0;
    tell(*segment, "asked");
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  auto session = hive::attach();
  if (!session) return 1;
  return argc == 3 ? change(*session, argv[1], std::atoi(argv[2])) : look(*session, argv[1]);
}

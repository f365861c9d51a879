// hello: a task leaves a greeting in shared memory; another, on another cell, reads it, is told
// when the first one's cell fails, and goes on.
//
//   hive run --cell 1 -- example-hello write      in one shell
//   hive run --cell 0 -- example-hello            in another
//   hive fault kill-cell 1                        in a third
#include <array>
#include <cstdio>
#include <string>

#include <hive/hive.h>
#include <poll.h>

int main(int argc, char**) {
  using Text = std::array<char, 64>;
  auto session = hive::attach();
  if (!session) return std::puts(session.error().message().c_str()), 1;

  if (argc > 1) {  // the writer: its cell is the home of what it creates
    auto segment = session->create("hello", sizeof(Text));
    if (!segment) return std::puts(segment.error().message().c_str()), 1;
    (void)segment->put_as(0, Text{"hello from another cell"});
    std::puts("written");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return 0;
  }

  auto segment = session->open("hello", std::chrono::seconds(30));
  if (!segment) return std::puts(segment.error().message().c_str()), 1;
  if (auto text = segment->read_as<Text>(0)) std::printf("read: %s\n", text->data());
  std::fflush(stdout);

  pollfd news{session->news_descriptor(), POLLIN, 0};
  for (bool failed = false; !failed;) {
    ::poll(&news, 1, -1);
    while (auto event = session->next_news()) {
      if (event->kind != hive::News::Kind::cell_failed) continue;
      std::printf("cell %d failed (%s)", event->cell, event->cause.c_str());
      for (const std::string& lost : event->segments)
        std::printf(", and with it '%s'", lost.c_str());
      std::puts("");
      failed = true;
    }
  }
  if (auto text = segment->read_as<Text>(0); !text) {
    std::printf("reading it now: %s\n", text.error().message().c_str());
  }
  auto own = session->create("hello-again", sizeof(Text));
  std::puts(own ? "going on" : own.error().message().c_str());
  return own ? 0 : 1;
}

// Names that come and go, and one that stays: `namer churn` makes and gives up segments until its
// input ends; `namer find ROUNDS` opens a segment that is there all the time, and says how often
// that failed.
// Usage: namer keep | churn | find ROUNDS      keep makes it, says "kept", stays until input ends
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <hive/hive.h>

namespace {

bool input_has_ended() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return ::poll(&input, 1, 0) > 0;
}

int find(hive::Session& session, int rounds) {
  int failures = 0;
  for (int i = 0; i < rounds; ++i) {
    if (auto opened = session.open("stays"); !opened) {
      if (failures++ == 0) std::fprintf(stderr, "%s\n", opened.error().message().c_str());
    }
  }
  std::printf("failures %d\n", failures);
  return failures == 0 ? 0 : 1;
}

void churn(hive::Session& session) {
  std::puts("churning");
  std::fflush(stdout);
  for (int i = 0; !input_has_ended(); ++i) {
    // Several at a time, so that the list has a middle.
    const std::string name = "passing-" + std::to_string(i % 3);
    auto first = session.create(name + "a", hive::page_size);
    auto second = session.create(name + "b", hive::page_size);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  auto session = hive::attach();
  if (!session) return 1;
  if (std::strcmp(argv[1], "find") == 0 && argc == 3) return find(*session, std::atoi(argv[2]));
  if (std::strcmp(argv[1], "churn") == 0) {
    churn(*session);
    return 0;
  }
  auto segment = session->create("stays", hive::page_size);
  if (!segment) return 1;
  std::puts("kept");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

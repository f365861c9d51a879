#include "tally.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace hive::chaos {
namespace {

Tally* tally = nullptr;
int report_fd = -1;

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "chaos: %s: %s\n", what, std::strerror(errno));
  std::exit(2);
}

}  // namespace

Tally& map_tally(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof(Tally)) != 0) give_up("the tally");
  void* at = ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) give_up("the tally");
  ::close(fd);
  report_fd =
      ::open((path + ".violations").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (report_fd < 0) give_up("the list of violations");
  tally = static_cast<Tally*>(at);
  return *tally;
}

bool is_doomed(int cell) {
  return cell >= 0 && tally->doomed.load() == 1 + static_cast<std::uint64_t>(cell);
}

bool am_doomed() {
  const char* cell = std::getenv("HIVE_CELL");
  return cell != nullptr && is_doomed(std::atoi(cell));
}

void violation(const char* format, ...) {
  char line[512];
  int length = std::snprintf(line, sizeof line, "pid %d: ", ::getpid());
  va_list arguments;
  va_start(arguments, format);
  const auto room = sizeof line - static_cast<std::size_t>(length) - 1;
  const int more = std::vsnprintf(line + length, room, format, arguments);
  va_end(arguments);
  length += more < static_cast<int>(room) ? more : static_cast<int>(room) - 1;
  line[length++] = '\n';
  (void)!::write(report_fd, line, static_cast<std::size_t>(length));
  tally->violations.fetch_add(1);
}

}  // namespace hive::chaos

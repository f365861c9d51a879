// Shares a segment with itself, and has a handler for SIGSEGV and SIGBUS of its own that must not
// come between Hive and its pages, which needs libhive's sigaction() to be the program's.
#include <csignal>
#include <cstdio>

#include <hive/hive.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

volatile std::sig_atomic_t own_faults = 0;
void* own_page = nullptr;

void on_fault(int, siginfo_t* info, void*) {
  if (info->si_addr != own_page) ::_exit(9);  // a page of Hive's: Hive did not get it
  own_faults = own_faults + 1;
  ::mprotect(own_page, hive::page_size, PROT_READ | PROT_WRITE);
}

int report(const hive::Error& error) {
  std::fprintf(stderr, "consumer: %s: %s\n", hive::code_name(error.code), error.message().c_str());
  return 1;
}

bool take_own_fault() {
  own_page = ::mmap(nullptr, hive::page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (own_page == MAP_FAILED) return false;
  *static_cast<volatile int*>(own_page) = 1;
  return own_faults == 1;
}

}  // namespace

int main() {
  auto session = hive::attach();
  if (!session) return report(session.error());
  struct sigaction action {};
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGBUS, &action, nullptr);

  auto segment = session->create("consumer-" + std::to_string(::getpid()), 1 << 20);
  if (!segment) return report(segment.error());
  auto window = segment->write(0, sizeof(int));
  if (!window) return report(window.error());
  *window->at<int>(0) = 42;
  if (auto done = window->commit(); !done) return report(done.error());
  auto counter = hive::Counter::open(*segment, "calls");
  if (!counter) return report(counter.error());
  if (auto added = counter->add(1); !added) return report(added.error());

  const auto value = segment->read_as<int>(0);
  if (!value) return report(value.error());
  const int untouched = *segment->at<int>(512 * 1024);  // a fault that is Hive's
  if (!take_own_fault()) return 8;
  std::printf("cell %d: %d %d\n", session->cell(), *value, untouched);
  return 0;
}

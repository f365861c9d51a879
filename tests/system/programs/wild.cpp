// Stores to addresses where it has no business, one after the other, and says what became of each.
// Usage: wild SEGMENT|- ADDRESS...    the segment is opened and read first
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <hive/hive.h>

namespace {

sigjmp_buf after_fault;

void on_fault(int, siginfo_t*, void*) { siglongjmp(after_fault, 1); }

// A frame of its own, so that the jump spoils no variable of the caller.
bool try_store(std::uint64_t address) {
  if (sigsetjmp(after_fault, 1) != 0) return false;
  *reinterpret_cast<volatile std::uint8_t*>(address) = 0xab;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  // Installed before attaching: libhive passes on what it can not mend.
  struct sigaction action {};
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGBUS, &action, nullptr);

  auto session = hive::attach();
  if (!session) {
    std::fprintf(stderr, "wild: %s\n", session.error().message().c_str());
    return 1;
  }
  if (std::strcmp(argv[1], "-") != 0) {
    auto* segment = new auto(session->open(argv[1]));
    if (!*segment || !(*segment)->touch(0, (*segment)->size())) return 1;
  }
  int stored = 0;
  for (int i = 2; i < argc; ++i) {
    const bool went_through = try_store(std::strtoull(argv[i], nullptr, 0));
    std::printf("%s %s\n", argv[i], went_through ? "STORED" : "blocked");
    stored += went_through ? 1 : 0;
  }
  return stored == 0 ? 0 : 1;
}

#include "cell/boot/panic_record.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/safe_copy.h"
#include "machine/linux/lifeline.h"

namespace hive::cell {
namespace {

constexpr std::size_t record_bytes = 4096;

char* record = nullptr;                                // the mapped page
bool survives_reads = true;                            // not with Sabotage::careful
machine::Layout layout;                                // to name the cell of a faulting address
std::atomic<machine::NodeHeader*> header{nullptr};
std::atomic_flag written = ATOMIC_FLAG_INIT;           // the first death is the one that counts

// Formatting without a library: this runs in a signal handler of a process that is corrupt.
class Line {
 public:
  Line& text(const char* s) {
    while (*s != 0 && at_ < sizeof buffer_ - 1) buffer_[at_++] = *s++;
    return *this;
  }
  Line& number(std::uint64_t value, unsigned base) {
    char digits[24];
    int n = 0;
    do digits[n++] = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    while (n > 0 && at_ < sizeof buffer_ - 1) buffer_[at_++] = digits[--n];
    return *this;
  }
  Line& hex(std::uint64_t value) { return text("0x").number(value, 16); }
  const char* c_str() {
    buffer_[at_] = 0;
    return buffer_;
  }

 private:
  char buffer_[512];
  std::size_t at_ = 0;
};

// The record comes first: once the lifelines are marked, the others switch this node off.
void write_record(const char* text) {
  if (!written.test_and_set() && record != nullptr) {
    std::size_t i = 0;
    for (; text[i] != 0 && i < record_bytes - 1; ++i) record[i] = text[i];
    record[i] = 0;
  }
  if (machine::NodeHeader* own = header.load()) machine::mark_lifelines(own);
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, "hive-cell: panic: ", 18);
  n = ::write(STDERR_FILENO, text, std::strlen(text));
  n = ::write(STDERR_FILENO, "\n", 1);
}

void on_panic(const char* why, const char* file, int line) {
  Line text;
  text.text(why)
      .text(" (")
      .text(file)
      .text(":")
      .number(static_cast<std::uint64_t>(line), 10)
      .text(")");
  write_record(text.c_str());
}

void describe_fault(Line& text, int signal, const siginfo_t* info, const ucontext_t* context) {
  const auto& registers = context->uc_mcontext.gregs;
  const auto address = reinterpret_cast<std::uint64_t>(info->si_addr);
  const bool is_store = (registers[REG_ERR] & 2) != 0;
  const CellId node = layout.node_of(address);
  text.text(signal == SIGBUS ? "bus error: " : "segmentation fault: ");
  text.text(is_store ? "store to " : "load from ").hex(address);
  if (node >= 0) {
    text.text(layout.in_kernel(node, address) ? ", kernel memory" : ", user memory");
    text.text(" of cell ").number(static_cast<std::uint64_t>(node), 10);
  }
  text.text(", instruction ").hex(static_cast<std::uint64_t>(registers[REG_RIP]));
}

void on_fatal_signal(int signal, siginfo_t* info, void* ucontext) {
  const int saved_errno = errno;
  const bool is_fault = signal == SIGBUS || signal == SIGSEGV;
  if (is_fault && survives_reads && safe_copy_fixup(ucontext)) {
    errno = saved_errno;
    return;
  }
  Line text;
  if (is_fault) {
    describe_fault(text, signal, info, static_cast<ucontext_t*>(ucontext));
  } else {
    text.text("signal ").number(static_cast<std::uint64_t>(signal), 10);
  }
  write_record(text.c_str());
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

Result<void> install_panic_record(const Config& config) {
  layout = config.layout;
  survives_reads = !config.sabotage.careful;
  const std::string path = config.panic_path(config.self);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file || ::ftruncate(file.get(), record_bytes) != 0) {
    return fail(Code::host, "the panic record can not be created", config.self, errno);
  }
  void* page = ::mmap(nullptr, record_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (page == MAP_FAILED) {
    return fail(Code::host, "the panic record can not be mapped", config.self, errno);
  }
  record = static_cast<char*>(page);
  std::memset(record, 0, record_bytes);  // present from now on
  set_panic_handler(&on_panic);
  struct sigaction action {};
  action.sa_sigaction = &on_fatal_signal;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
    if (::sigaction(signal, &action, nullptr) != 0) {
      return fail(Code::host, "a fault handler can not be installed", config.self, errno);
    }
  }
  return {};
}

void tell_panic_header(machine::NodeHeader* own) { header.store(own); }

std::string read_panic_record(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(record_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(std::min(text.find('\0'), static_cast<std::size_t>(file.gcount())));
  return text;
}

}  // namespace hive::cell

#include "machine/linux/memory_call.h"

#include <atomic>
#include <cerrno>
#include <cstring>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// System V passes the seventh argument on the stack, Linux takes six in registers. The routine is
// copied to the gate's page, so nothing in it may depend on where it lies.
asm(R"(
    .pushsection .text.hive_memory_call, "ax", @progbits
    .p2align 6
    .type hive_memory_call, @function
hive_memory_call:                   # rdi number, rsi rdx rcx r8 r9 and 8(rsp) its arguments
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    syscall
hive_memory_call_return:
    ret
hive_memory_call_end:
    .popsection
)");

extern "C" {
long hive_memory_call(long, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                      std::uint64_t, std::uint64_t) noexcept;
extern const char hive_memory_call_return[];
extern const char hive_memory_call_end[];
}

namespace hive::machine {
namespace {

using Gate = long (*)(long, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                      std::uint64_t, std::uint64_t) noexcept;

std::atomic<Gate> gate{&hive_memory_call};

const char* routine() { return reinterpret_cast<const char*>(&hive_memory_call); }

}  // namespace

std::uint64_t memory_gate_return() noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(gate.load());
  return begin + static_cast<std::uint64_t>(hive_memory_call_return - routine());
}

Result<void> open_memory_gate() {
  if (gate.load() != &hive_memory_call) return {};
  const long got = ::syscall(SYS_mmap, memory_gate_address, page_bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got < 0 || static_cast<std::uint64_t>(got) != memory_gate_address) {
    const int cause = got < 0 ? errno : EEXIST;
    // Two threads at once: the other one has it, and we wait for nothing.
    if (cause == EEXIST && gate.load() != &hive_memory_call) return {};
    return fail(Code::exhausted, "the address of the memory call gate is taken", -1, cause);
  }
  auto* page = reinterpret_cast<char*>(memory_gate_address);
  std::memcpy(page, routine(), static_cast<std::size_t>(hive_memory_call_end - routine()));
  if (::syscall(SYS_mprotect, memory_gate_address, page_bytes, PROT_READ | PROT_EXEC) != 0) {
    // A policy of the host against code in fresh memory: the routine where it was linked will do,
    // only programs that a filtered one executes cannot attach then.
    ::syscall(SYS_munmap, memory_gate_address, page_bytes);
    return {};
  }
  gate.store(reinterpret_cast<Gate>(memory_gate_address));
  return {};
}

long memory_call(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d,
                 std::uint64_t e, std::uint64_t f) noexcept {
  return gate.load(std::memory_order_acquire)(number, a, b, c, d, e, f);
}

}  // namespace hive::machine

#include "base/safe_copy.h"

#include <csignal>
#include <ucontext.h>

#if !defined(__x86_64__)
#error "safe_copy is written for x86-64; another machine needs its own routines"
#endif

// All routines lie between hive_safe_begin and hive_safe_end and never touch the stack, so that
// the one error exit can be resumed from any instruction of them: it returns 0 to the caller.
asm(R"(
    .pushsection .text.hive_safe, "ax", @progbits
    .p2align 6
hive_safe_begin:

    .type hive_safe_copy, @function
hive_safe_copy:                     # rdi destination, rsi source, rdx n
    cmpq $256, %rdx
    ja 5f
1:  cmpq $16, %rdx
    jb 2f
    movups (%rsi), %xmm0
    movups %xmm0, (%rdi)
    addq $16, %rsi
    addq $16, %rdi
    subq $16, %rdx
    jmp 1b
2:  cmpq $8, %rdx
    jb 3f
    movq (%rsi), %rax
    movq %rax, (%rdi)
    addq $8, %rsi
    addq $8, %rdi
    subq $8, %rdx
3:  cmpq $4, %rdx
    jb 6f
    movl (%rsi), %eax
    movl %eax, (%rdi)
    addq $4, %rsi
    addq $4, %rdi
    subq $4, %rdx
6:  testq %rdx, %rdx
    jz 4f
    movb (%rsi), %al
    movb %al, (%rdi)
    incq %rsi
    incq %rdi
    decq %rdx
    jmp 6b
4:  movl $1, %eax
    ret
5:  movq %rdx, %rcx
    rep movsb
    movl $1, %eax
    ret

    .type hive_safe_load32, @function
hive_safe_load32:                   # rdi source, rsi where the value goes
    movl (%rdi), %eax
    movl %eax, (%rsi)
    movl $1, %eax
    ret

    .type hive_safe_load64, @function
hive_safe_load64:
    movq (%rdi), %rax
    movq %rax, (%rsi)
    movl $1, %eax
    ret

    .type hive_safe_store8, @function
hive_safe_store8:                   # rdi destination, sil value
    movb %sil, (%rdi)
    movl $1, %eax
    ret

    .type hive_safe_compare_exchange32, @function
hive_safe_compare_exchange32:       # rdi word, rsi expected and found, edx desired
    movl (%rsi), %eax
    lock cmpxchgl %edx, (%rdi)
    movl %eax, (%rsi)
    movl $1, %eax
    ret

hive_safe_exit:
    xorl %eax, %eax
    ret
hive_safe_end:
    .popsection
)");

extern "C" {
int hive_safe_copy(void*, const void*, std::size_t) noexcept;
int hive_safe_load32(const void*, std::uint32_t*) noexcept;
int hive_safe_load64(const void*, std::uint64_t*) noexcept;
int hive_safe_store8(void*, std::uint8_t) noexcept;
int hive_safe_compare_exchange32(void*, std::uint32_t*, std::uint32_t) noexcept;
extern const char hive_safe_begin[];
extern const char hive_safe_exit[];
extern const char hive_safe_end[];
}

namespace hive {

bool safe_copy(void* destination, const void* source, std::size_t n) noexcept {
  return hive_safe_copy(destination, source, n) != 0;
}
bool safe_load32(const void* source, std::uint32_t& value) noexcept {
  return hive_safe_load32(source, &value) != 0;
}
bool safe_load64(const void* source, std::uint64_t& value) noexcept {
  return hive_safe_load64(source, &value) != 0;
}
bool safe_store8(void* destination, std::uint8_t value) noexcept {
  return hive_safe_store8(destination, value) != 0;
}

bool safe_compare_exchange32(void* word, std::uint32_t& expected,
                             std::uint32_t desired) noexcept {
  return hive_safe_compare_exchange32(word, &expected, desired) != 0;
}

bool safe_copy_fixup(void* ucontext) noexcept {
  auto& registers = static_cast<ucontext_t*>(ucontext)->uc_mcontext.gregs;
  const auto at = static_cast<std::uintptr_t>(registers[REG_RIP]);
  if (at < reinterpret_cast<std::uintptr_t>(hive_safe_begin) ||
      at >= reinterpret_cast<std::uintptr_t>(hive_safe_end)) {
    return false;
  }
  registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(hive_safe_exit));
  return true;
}

namespace {
void fixup_or_die(int signal, siginfo_t*, void* ucontext) {
  if (!safe_copy_fixup(ucontext)) std::signal(signal, SIG_DFL);  // faults again, and dies of it
}
}  // namespace

void install_safe_copy_handler() {
  struct sigaction action {};
  action.sa_sigaction = &fixup_or_die;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace hive

// The filter that refuses stray memory calls on node addresses: a seccomp program, assembled here.
//
// Who it lets through is decided by the address of the system call instruction (the call gate),
// what it refuses by the addresses in the arguments. Filters on number and architecture alone are
// cached by Linux, so all other system calls cost next to nothing.
//
// Addresses are compared in units of 64 KiB, in which those of a process fit into the 32 bits that
// the filter's machine has: the range is widened to whole units, and by up to two units below, so
// that a call that begins under it and reaches into it is refused without 64-bit sums. A call in
// whole units is known exactly, and may end where the range begins: ThreadSanitizer's, which every
// program that was built with it makes before anything else, does.
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "machine/linux/fence.h"
#include "machine/linux/memory_call.h"

namespace hive::machine {
namespace {

// Newer than some kernel headers; the numbers are the same on all machines.
constexpr std::uint32_t sys_process_madvise = 440;
constexpr std::uint32_t sys_set_mempolicy_home_node = 450;
constexpr std::uint32_t sys_mseal = 462;
constexpr std::uint32_t sys_ioctl_i386 = 54;
constexpr std::uint32_t x32_bit = 0x40000000;
constexpr std::uint32_t userfault_ioctl_type = 0xaa;

// Calls whose first two arguments are an address and a length.
constexpr std::array<std::uint32_t, 9> ranged_calls = {
    SYS_mmap,  SYS_munmap,           SYS_mprotect, SYS_pkey_mprotect,           SYS_madvise,
    SYS_mbind, SYS_remap_file_pages, sys_mseal,    sys_set_mempolicy_home_node,
};

enum class Label : std::uint8_t {
  next,
  allow,
  refuse,
  x86_64,
  ioctl_i386,
  call,
  sort,
  ioctl,
  shmat,
  remap,
  ranged,
  count
};

// A classic BPF program with labels; jumps go forward only.
class Program {
 public:
  void load(std::size_t offset) {
    add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  }
  void load_low(int argument) { load(argument_offset(argument)); }
  void load_high(int argument) { load(argument_offset(argument) + 4); }
  void add(int code, std::uint32_t k = 0) {
    code_.push_back({{static_cast<std::uint16_t>(code), 0, 0, k}});
  }
  void jump(int test, std::uint32_t k, Label yes, Label no) {
    code_.push_back({{static_cast<std::uint16_t>(BPF_JMP | test), 0, 0, k}, yes, no});
  }
  void place(Label label) { places_[static_cast<std::size_t>(label)] = code_.size(); }

  std::vector<sock_filter> assemble() const {
    std::vector<sock_filter> result;
    for (std::size_t at = 0; at < code_.size(); ++at) {
      sock_filter instruction = code_[at].instruction;
      if (BPF_CLASS(instruction.code) == BPF_JMP) {
        instruction.jt = distance(at, code_[at].yes);
        instruction.jf = distance(at, code_[at].no);
      }
      result.push_back(instruction);
    }
    return result;
  }

 private:
  struct Line {
    sock_filter instruction{};
    Label yes = Label::next;
    Label no = Label::next;
  };
  static std::size_t argument_offset(int argument) {
    return offsetof(seccomp_data, args) + static_cast<std::size_t>(argument) * 8;
  }
  std::uint8_t distance(std::size_t at, Label to) const {
    if (to == Label::next) return 0;
    const std::size_t target = places_[static_cast<std::size_t>(to)];
    HIVE_CHECK(target > at && target - at - 1 <= 255);
    return static_cast<std::uint8_t>(target - at - 1);
  }

  std::vector<Line> code_;
  std::array<std::size_t, static_cast<std::size_t>(Label::count)> places_{};
};

// User addresses end at 2^47 (the filter lets higher ones through: Linux refuses them).
constexpr int unit_shift = 16;
constexpr std::uint32_t unit_mask = (std::uint32_t{1} << unit_shift) - 1;
constexpr std::uint32_t address_high_end = 0x10000;
constexpr std::uint32_t length_high_max = 0x8000;

struct Units {
  std::uint32_t begin;
  std::uint32_t end;
};

// A := the argument in units; `huge` is where it goes on if it does not fit.
void load_units(Program& p, int argument, std::uint32_t high_end, Label huge) {
  p.load_high(argument);
  p.jump(BPF_JGE | BPF_K, high_end, huge, Label::next);
  p.add(BPF_ALU | BPF_LSH | BPF_K, 32 - unit_shift);
  p.add(BPF_MISC | BPF_TAX);
  p.load_low(argument);
  p.add(BPF_ALU | BPF_RSH | BPF_K, unit_shift);
  p.add(BPF_ALU | BPF_OR | BPF_X);
}

// Refuses an address in the range, and a length that reaches into it from below.
void refuse_overlap(Program& p, Units range, int address, int length, Label harmless) {
  load_units(p, address, address_high_end, harmless);
  p.jump(BPF_JGE | BPF_K, range.end, harmless, Label::next);
  p.jump(BPF_JGE | BPF_K, range.begin, Label::refuse, Label::next);
  p.add(BPF_ST, 0);
  load_units(p, length, length_high_max, Label::refuse);
  p.add(BPF_MISC | BPF_TAX);
  p.add(BPF_LD | BPF_MEM, 0);
  p.add(BPF_ALU | BPF_ADD | BPF_X);
  // The true end lies less than two units above the sum of the two units.
  p.jump(BPF_JGE | BPF_K, range.begin + 1, Label::refuse, Label::next);
  p.jump(BPF_JGE | BPF_K, range.begin - 1, Label::next, harmless);
  for (const int argument : {address, length}) {
    p.load_low(argument);
    const bool last = argument == length;
    p.jump(BPF_JSET | BPF_K, unit_mask, Label::refuse, last ? harmless : Label::next);
  }
}

void refuse_userfault_ioctl(Program& p) {
  p.load_low(1);
  p.add(BPF_ALU | BPF_RSH | BPF_K, _IOC_TYPESHIFT);
  p.add(BPF_ALU | BPF_AND | BPF_K, _IOC_TYPEMASK);
  p.jump(BPF_JEQ | BPF_K, userfault_ioctl_type, Label::refuse, Label::allow);
}

// Sorts by architecture and number, for which Linux caches the answer.
void dispatch(Program& p) {
  p.load(offsetof(seccomp_data, arch));
  p.jump(BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, Label::x86_64, Label::next);
  // A call of i386 takes no address as high as ours, but for the structure behind an ioctl.
  p.load(offsetof(seccomp_data, nr));
  p.jump(BPF_JEQ | BPF_K, sys_ioctl_i386, Label::ioctl_i386, Label::allow);
  p.place(Label::ioctl_i386);
  refuse_userfault_ioctl(p);

  p.place(Label::x86_64);
  p.load(offsetof(seccomp_data, nr));
  p.jump(BPF_JGE | BPF_K, x32_bit, Label::refuse, Label::next);
  for (const std::uint32_t call : ranged_calls) {
    p.jump(BPF_JEQ | BPF_K, call, Label::call, Label::next);
  }
  for (const std::uint32_t call : {SYS_mremap, SYS_ioctl, SYS_shmat}) {
    p.jump(BPF_JEQ | BPF_K, call, Label::call, Label::next);
  }
  // Its addresses lie in memory, where a filter cannot look.
  p.jump(BPF_JEQ | BPF_K, sys_process_madvise, Label::refuse, Label::allow);
}

// Lets Hive's own calls through and sorts the others by the shape of their arguments.
void check_origin(Program& p) {
  const std::uint64_t gate = memory_gate_return();
  p.place(Label::call);
  p.load(offsetof(seccomp_data, instruction_pointer) + 4);
  p.jump(BPF_JEQ | BPF_K, static_cast<std::uint32_t>(gate >> 32), Label::next, Label::sort);
  p.load(offsetof(seccomp_data, instruction_pointer));
  p.jump(BPF_JEQ | BPF_K, static_cast<std::uint32_t>(gate), Label::allow, Label::sort);
  p.place(Label::sort);
  p.load(offsetof(seccomp_data, nr));
  p.jump(BPF_JEQ | BPF_K, SYS_ioctl, Label::ioctl, Label::next);
  p.jump(BPF_JEQ | BPF_K, SYS_shmat, Label::shmat, Label::next);
  p.jump(BPF_JEQ | BPF_K, SYS_mremap, Label::remap, Label::ranged);
}

std::vector<sock_filter> make_filter(const Layout& layout) {
  const std::uint64_t unit = std::uint64_t{1} << unit_shift;
  const Units range = {static_cast<std::uint32_t>(layout.base / unit),
                       static_cast<std::uint32_t>((layout.held_end() + unit - 1) / unit)};
  Program p;
  dispatch(p);
  check_origin(p);

  p.place(Label::ioctl);
  refuse_userfault_ioctl(p);

  // int id, address, flags. With SHM_REMAP it would replace what is there, however long it is.
  p.place(Label::shmat);
  p.load_low(2);
  p.jump(BPF_JSET | BPF_K, SHM_REMAP, Label::refuse, Label::next);
  load_units(p, 1, address_high_end, Label::allow);
  p.jump(BPF_JGE | BPF_K, range.end, Label::allow, Label::next);
  p.jump(BPF_JGE | BPF_K, range.begin, Label::refuse, Label::allow);

  // old address, old length, new length, flags, new address.
  p.place(Label::remap);
  p.load_low(3);
  p.jump(BPF_JSET | BPF_K, MREMAP_FIXED, Label::next, Label::ranged);
  refuse_overlap(p, range, 4, 2, Label::ranged);

  p.place(Label::ranged);
  refuse_overlap(p, range, 0, 1, Label::allow);

  p.place(Label::refuse);
  p.add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  p.place(Label::allow);
  p.add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  return p.assemble();
}

}  // namespace

Result<void> install_memory_call_filter(const Layout& layout) {
  if (auto gate = open_memory_gate(); !gate) return gate;
  std::vector<sock_filter> code = make_filter(layout);
  const sock_fprog program = {static_cast<unsigned short>(code.size()), code.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail(Code::host, "PR_SET_NO_NEW_PRIVS", -1, errno);
  }
  const long failed =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (failed < 0) return fail(Code::host, "the memory call filter is refused", -1, errno);
  if (failed > 0) return fail(Code::host, "a thread of this process has filters of its own");
  return {};
}

}  // namespace hive::machine

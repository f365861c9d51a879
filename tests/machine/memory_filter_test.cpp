// What the memory call filter refuses and what it lets through. Each test runs in a process of its
// own, since a filter stays.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <thread>

#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/linux/fence.h"
#include "machine/linux/memory_call.h"
#include "tests/machine/actor.h"

namespace hive::machine {
namespace {

using test::Actor;
using test::Exchange;

constexpr Layout layout = make_layout(2, std::uint64_t{4} << 20);
constexpr std::uint64_t mib = std::uint64_t{1} << 20;
// An address well away from the machine, for the other side of a call.
constexpr std::uint64_t elsewhere = machine_base - (std::uint64_t{64} << 30);
constexpr std::uint32_t sys_process_madvise = 440;

std::int64_t prepare(Exchange&) {
  if (!reserve_machine_range(layout)) return 1;
  return install_memory_call_filter(layout) ? 0 : 2;
}

// The errno of a system call, 0 when it succeeds.
template <class... Arguments>
int errno_of(long number, Arguments... arguments) {
  errno = 0;
  return ::syscall(number, arguments...) == -1 ? errno : 0;
}

class MemoryFilter : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(actor_.run(&prepare), 0); }
  // errno of a memory call with these arguments, made in the filtered process.
  int call(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c = 0) {
    return static_cast<int>(actor_.run(
        [](Exchange& e) -> std::int64_t {
          const auto& n = e.numbers;
          return errno_of(n[0], n[1], n[2], n[3], 0L, 0L, 0L);
        },
        {number, static_cast<std::int64_t>(a), static_cast<std::int64_t>(b),
         static_cast<std::int64_t>(c)}));
  }

  Actor actor_;
};

constexpr std::array<long, 6> ranged_calls = {SYS_munmap, SYS_mprotect, SYS_madvise,
                                              SYS_mbind,  SYS_mmap,     SYS_remap_file_pages};

TEST_F(MemoryFilter, RefusesCallsInsideTheRange) {
  for (const long number : ranged_calls) {
    for (const std::uint64_t address :
         {layout.base, layout.user_begin(1), layout.end() - page_bytes, layout.mould_begin(0),
          layout.views_begin(), layout.held_end() - page_bytes}) {
      EXPECT_EQ(call(number, address, page_bytes), EPERM) << number;
      EXPECT_EQ(call(number, address, 0), EPERM) << number;
    }
  }
}

TEST_F(MemoryFilter, RefusesCallsThatReachIntoTheRangeFromBelow) {
  for (const long number : ranged_calls) {
    EXPECT_EQ(call(number, layout.base - page_bytes, 2 * page_bytes), EPERM) << number;
    EXPECT_EQ(call(number, layout.base - 8 * mib, layout.end() - layout.base + 16 * mib), EPERM);
    EXPECT_EQ(call(number, page_bytes, layout.base), EPERM) << number;
    EXPECT_EQ(call(number, elsewhere, layout.base - elsewhere + 1), EPERM) << number;
    EXPECT_EQ(call(number, page_bytes, ~std::uint64_t{0} - 2 * page_bytes), EPERM) << number;
    EXPECT_EQ(call(number, layout.base - mib, ~std::uint64_t{0}), EPERM) << number;
  }
}

TEST_F(MemoryFilter, KnowsExactlyWhereACallInWholeUnitsEnds) {
  constexpr std::uint64_t unit = 64 * 1024;
  for (const long number : ranged_calls) {
    EXPECT_NE(call(number, elsewhere, layout.base - elsewhere), EPERM) << number;
    EXPECT_NE(call(number, layout.base - unit, unit), EPERM) << number;
    EXPECT_EQ(call(number, layout.base - unit, unit + 1), EPERM) << number;
    EXPECT_EQ(call(number, layout.base - unit, 2 * unit), EPERM) << number;
    EXPECT_EQ(call(number, layout.base - unit + page_bytes, unit), EPERM) << number;
  }
}

TEST_F(MemoryFilter, LetsCallsElsewhereThrough) {
  for (const long number : ranged_calls) {
    EXPECT_NE(call(number, layout.held_end() + mib, page_bytes), EPERM) << number;
    EXPECT_NE(call(number, layout.base - mib, page_bytes), EPERM) << number;
    EXPECT_NE(call(number, elsewhere, layout.base - elsewhere - mib), EPERM) << number;
  }
  EXPECT_EQ(actor_.run([](Exchange&) -> std::int64_t {
    void* p = ::mmap(nullptr, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || ::madvise(p, mib, MADV_DONTNEED) != 0) return 1;
    p = ::mremap(p, mib, 2 * mib, MREMAP_MAYMOVE);
    if (p == MAP_FAILED || ::mprotect(p, mib, PROT_READ) != 0) return 2;
    return ::munmap(p, 2 * mib);
  }),
            0);
}

TEST_F(MemoryFilter, RefusesToMoveMemoryOutOfTheRangeOrIntoIt) {
  EXPECT_EQ(actor_.run([](Exchange&) -> std::int64_t {
    const std::uint64_t node = layout.user_begin(0);
    const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
    void* own = ::mmap(nullptr, mib, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (errno_of(SYS_mremap, node, mib, mib, fixed, elsewhere) != EPERM) return 1;
    if (errno_of(SYS_mremap, node, 0L, mib, MREMAP_MAYMOVE, 0L) != EPERM) return 2;
    if (errno_of(SYS_mremap, own, mib, mib, fixed, node) != EPERM) return 3;
    if (errno_of(SYS_mremap, own, mib, 2 * mib, fixed, layout.base - mib) != EPERM) return 4;
    // Without MREMAP_FIXED the new address is whatever was in the register.
    if (errno_of(SYS_mremap, own, mib, 2 * mib, MREMAP_MAYMOVE, node) != 0) return 5;
    return 0;
  }),
            0);
}

TEST_F(MemoryFilter, RefusesSharedMemorySegmentsThere) {
  EXPECT_EQ(actor_.run([](Exchange&) -> std::int64_t {
    const int id = ::shmget(IPC_PRIVATE, mib, 0600);
    const int inside = errno_of(SYS_shmat, id, layout.user_begin(0), SHM_RDONLY);
    const int replace = errno_of(SYS_shmat, id, elsewhere, SHM_REMAP);
    void* anywhere = ::shmat(id, nullptr, 0);
    ::shmctl(id, IPC_RMID, nullptr);
    if (anywhere == reinterpret_cast<void*>(-1)) return 3;
    ::shmdt(anywhere);
    return inside != EPERM ? 1 : replace != EPERM ? 2 : 0;
  }),
            0);
}

TEST_F(MemoryFilter, RefusesAdviceWhoseAddressesItCannotSee) {
  EXPECT_EQ(call(sys_process_madvise, 0, 0), EPERM);
}

TEST_F(MemoryFilter, RefusesIoctlsOnUserfaultfdsAndNoOthers) {
  EXPECT_EQ(actor_.run([](Exchange&) -> std::int64_t {
    auto userfault = make_userfaultfd();                                  // through the gate
    if (!userfault) return userfault.error().sys_errno == EPERM ? 1 : 0;  // the host has none
    uffdio_range range{layout.user_begin(0), page_bytes};
    if (errno_of(SYS_ioctl, userfault->get(), UFFDIO_UNREGISTER, &range) != EPERM) return 2;
    int queued = 0;
    int ends[2];
    if (::pipe(ends) != 0) return 3;
    return errno_of(SYS_ioctl, ends[0], FIONREAD, &queued);
  }),
            0);
}

TEST_F(MemoryFilter, ReachesEveryThread) {
  Actor fresh;
  EXPECT_EQ(fresh.run([](Exchange& e) -> std::int64_t {
    std::atomic<int> stage{0};
    std::int64_t refused = 0;
    std::thread other([&] {
      while (stage.load() == 0) std::this_thread::yield();
      refused = errno_of(SYS_munmap, layout.base, page_bytes);
    });
    const std::int64_t prepared = prepare(e);
    stage.store(1);
    other.join();
    return prepared == 0 && refused == EPERM ? 0 : 1;
  }),
            0);
}

TEST_F(MemoryFilter, RefusesTheOtherAbisOfTheProcessor) {
  EXPECT_EQ(actor_.run([](Exchange&) -> std::int64_t {
    constexpr long x32_munmap = 0x40000000 | SYS_munmap;
    return errno_of(x32_munmap, layout.base, page_bytes);
  }),
            EPERM);
  // An ioctl as i386 makes it, whose structure could hold any address.
  const auto status = actor_.run([](Exchange&) -> std::int64_t {
    const pid_t child = ::fork();
    if (child == 0) {
      long result = 54;
      asm volatile("int $0x80"
                   : "+a"(result)
                   : "b"(-1L), "c"(0xc020aa00L), "d"(0L)
                   : "r8", "r9", "r10", "r11", "memory");
      ::_exit(static_cast<int>(static_cast<std::int32_t>(-result)));
    }
    int ended = 0;
    ::waitpid(child, &ended, 0);
    return ended;
  });
  // A kernel without i386 emulation ends the process, which is refusal enough.
  EXPECT_TRUE(status == EPERM << 8 || status == SIGSEGV) << status;
}

TEST_F(MemoryFilter, AProgramStartedByAFilteredOneCanAttach) {
  // What exec leaves behind of a process: the filter, but neither the range nor the gate.
  EXPECT_EQ(actor_.run([](Exchange&) -> std::int64_t {
    const pid_t child = ::fork();
    if (child == 0) {
      ::munmap(reinterpret_cast<void*>(memory_gate_address), page_bytes);
      ::execl("/proc/self/exe", "attach", "--hive_attach_after_exec", nullptr);
      ::_exit(99);
    }
    int ended = 0;
    ::waitpid(child, &ended, 0);
    return ended;
  }),
            0);
}

}  // namespace

// Entered by exec, before GoogleTest looks at the arguments.
static const int attach_after_exec = [] {
  std::FILE* file = std::fopen("/proc/self/cmdline", "re");
  char words[64] = {};
  const std::size_t got = std::fread(words, 1, sizeof words - 1, file);
  std::fclose(file);
  const std::string_view all(words, got);
  if (all.find("--hive_attach_after_exec") == std::string_view::npos) return 0;
  if (::prctl(PR_GET_SECCOMP) != 2) ::_exit(1);
  if (!reserve_machine_range(layout)) ::_exit(2);
  if (!install_memory_call_filter(layout)) ::_exit(3);
  const std::uint64_t node = layout.user_begin(0);
  if (memory_call(SYS_mprotect, node, page_bytes, PROT_READ) != 0) ::_exit(4);
  if (errno_of(SYS_mprotect, node, page_bytes, PROT_NONE) != EPERM) ::_exit(5);
  ::_exit(0);
}();

}  // namespace hive::machine

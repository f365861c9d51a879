// What this host lets the firewall do, found out by doing it.
#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/linux/fence.h"
#include "machine/linux/userfault.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

namespace hive::machine {
namespace {

constexpr std::uint64_t needed_features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                          UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
                                          UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM;

// A page of shared memory, mapped and registered as a node's user memory is.
class Scratch {
 public:
  Scratch() : memory_(::memfd_create("hive-probe", MFD_CLOEXEC)) {
    if (!memory_ || ::ftruncate(memory_.get(), page_bytes) != 0 ||
        ::pwrite(memory_.get(), "x", 1, 0) != 1) {
      return;
    }
    void* got = ::mmap(nullptr, page_bytes, PROT_READ, MAP_SHARED, memory_.get(), 0);
    if (got == MAP_FAILED) return;
    page_ = got;
    if (auto fd = make_userfaultfd()) userfault_ = std::move(*fd);
    registered_ = userfault_ && userfault_register(userfault(), address(), page_bytes) == 0;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (page_ != nullptr) ::munmap(page_, page_bytes);
  }

  bool registered() const { return registered_; }
  int userfault() const { return userfault_.get(); }
  std::uint64_t address() const { return word_of(page_); }
  bool make_writable() { return ::mprotect(page_, page_bytes, PROT_READ | PROT_WRITE) == 0; }
  // By a system call, which gets EFAULT where the process itself would get a signal.
  bool takes_store() const { return ::pread(memory_.get(), page_, 1, 0) == 1; }

 private:
  UniqueFd memory_;
  UniqueFd userfault_;
  void* page_ = nullptr;
  bool registered_ = false;
};

bool closes_and_opens(const Scratch& scratch) {
  if (scratch.takes_store()) return false;
  if (userfault_protect(scratch.userfault(), scratch.address(), page_bytes, false) != 0)
    return false;
  if (!scratch.takes_store()) return false;
  if (userfault_protect(scratch.userfault(), scratch.address(), page_bytes, true) != 0)
    return false;
  return !scratch.takes_store();
}

bool mmu_works() {
  Scratch scratch;
  std::uint64_t done = 0;
  return scratch.registered() && scratch.make_writable() &&
         userfault_continue(scratch.userfault(), scratch.address(), page_bytes, true, done) == 0 &&
         closes_and_opens(scratch);
}

bool mmu_windowed_works() {
  Scratch scratch;
  std::uint64_t done = 0;
  return scratch.registered() &&
         userfault_continue(scratch.userfault(), scratch.address(), page_bytes, false, done) ==
             0 &&
         userfault_protect(scratch.userfault(), scratch.address(), page_bytes, true) == 0 &&
         scratch.make_writable() && closes_and_opens(scratch);
}

int open_userfaultfd() {
  // Faults inside system calls need no handling: they fail with EFAULT, which is what we want, and
  // without that wish no privilege is needed.
  const long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  if (fd >= 0) return static_cast<int>(fd);
  const int cause = errno;
  const UniqueFd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  const int made = device ? ::ioctl(device.get(), USERFAULTFD_IOC_NEW,
                                    O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)
                          : -1;
  if (made < 0) errno = cause;
  return made;
}

}  // namespace

const char* firewall_mode_name(FirewallMode mode) noexcept {
  switch (mode) {
    case FirewallMode::mmu:
      return "mmu";
    case FirewallMode::mmu_windowed:
      return "mmu-windowed";
    case FirewallMode::cooperative:
      return "cooperative";
  }
  return "unknown";
}

FirewallMode probe_firewall_mode() {
  if (mmu_works()) return FirewallMode::mmu;
  return mmu_windowed_works() ? FirewallMode::mmu_windowed : FirewallMode::cooperative;
}

Result<UniqueFd> make_userfaultfd() {
  UniqueFd fd(open_userfaultfd());
  if (!fd) {
    const bool full = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    return fail(full ? Code::exhausted : Code::host, "userfaultfd is refused", -1, errno);
  }
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = needed_features;
  const int refused = userfault_call(fd.get(), UFFDIO_API, &api);
  if (refused != 0) {
    return fail(Code::host, "userfaultfd lacks a feature that the firewall needs", -1, refused);
  }
  return fd;
}

}  // namespace hive::machine

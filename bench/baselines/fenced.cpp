#include "fenced.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Newer than the kernel headers of Debian 12 (Linux 6.4).
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((__u64)1 << 1)
#endif

namespace baseline {
namespace {

constexpr std::uint64_t features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                   UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MISSING_SHMEM |
                                   UFFD_FEATURE_MINOR_SHMEM;

int make_userfault() {
  const int fd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  if (fd >= 0 && ::ioctl(fd, UFFDIO_API, &api) != 0) return -1;
  return fd;
}

}  // namespace

Fenced::Fenced(std::uint64_t pages)
    : bytes_(pages * page_bytes),
      memory_(::memfd_create("baseline", MFD_CLOEXEC)),
      userfault_(make_userfault()) {
  if (memory_ < 0 || userfault_ < 0 || ::ftruncate(memory_, static_cast<off_t>(bytes_)) != 0 ||
      !refill(0, pages)) {
    return;
  }
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
  if (mapped == MAP_FAILED) return;
  ::madvise(mapped, bytes_, MADV_DONTFORK);
  uffdio_register request{};
  request.range = {reinterpret_cast<std::uint64_t>(mapped), bytes_};
  request.mode =
      UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP;
  if (::ioctl(userfault_, UFFDIO_REGISTER, &request) == 0)
    data_ = static_cast<std::uint8_t*>(mapped);
}

bool Fenced::protect(std::uint64_t first, std::uint64_t pages, bool on) const {
  uffdio_writeprotect request{};
  request.range = {reinterpret_cast<std::uint64_t>(page(first)), pages * page_bytes};
  request.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
  while (::ioctl(userfault_, UFFDIO_WRITEPROTECT, &request) != 0) {
    if (errno != EAGAIN) return false;
    ::sched_yield();
  }
  return true;
}

bool Fenced::give(std::uint64_t first, std::uint64_t pages) const {
  static bool is_new = true;
  uffdio_continue request{};
  request.range = {reinterpret_cast<std::uint64_t>(page(first)), pages * page_bytes};
  request.mode = UFFDIO_CONTINUE_MODE_DONTWAKE | (is_new ? UFFDIO_CONTINUE_MODE_WP : 0);
  while (::ioctl(userfault_, UFFDIO_CONTINUE, &request) != 0) {
    if (errno == EINVAL && is_new) {  // a kernel that can not install a page closed
      is_new = false;
      request.mode = UFFDIO_CONTINUE_MODE_DONTWAKE;
    } else if (errno != EAGAIN) {
      return false;
    }
  }
  return is_new || protect(first, pages, true);
}

bool Fenced::punch(std::uint64_t first, std::uint64_t pages) const {
  return ::fallocate(memory_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(first * page_bytes),
                     static_cast<off_t>(pages * page_bytes)) == 0;
}

bool Fenced::refill(std::uint64_t first, std::uint64_t pages) const {
  return ::fallocate(memory_, 0, static_cast<off_t>(first * page_bytes),
                     static_cast<off_t>(pages * page_bytes)) == 0;
}

}  // namespace baseline

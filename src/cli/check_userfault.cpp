// The firewall's mechanism: userfaultfd on shared memory.

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/check.h"
#include "machine/layout.h"
#include "machine/linux/fence.h"

namespace hive::cli {
namespace {

constexpr const char* device = "/dev/userfaultfd";
constexpr int no_fence = 255;  // a store went through
constexpr std::uint8_t expected_exit = 0;

int try_system_call() {
  const auto fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  return fd >= 0 ? 0 : errno;
}

int try_device() {
  const int fd = ::open(device, O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno;
  return ::ioctl(fd, _IO(0xAA, 0x00), O_CLOEXEC) >= 0 ? 0 : errno;  // USERFAULTFD_IOC_NEW
}

[[noreturn]] void on_bus_error(int) { ::_exit(expected_exit); }

// Maps shared memory behind a userfaultfd, gives a page for reading, and stores to it: the store
// must be a bus error. Works alike with and without UFFDIO_CONTINUE_MODE_WP.
int try_fence() {
  auto userfault = machine::make_userfaultfd();
  if (!userfault) return userfault.error().sys_errno != 0 ? userfault.error().sys_errno : ENOTSUP;
  constexpr std::size_t bytes = machine::page_bytes;
  const int memory = ::memfd_create("hive-check", MFD_CLOEXEC);
  if (memory < 0 || ::ftruncate(memory, bytes) != 0) return errno;
  void* home = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  void* fenced = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (home == MAP_FAILED || fenced == MAP_FAILED) return errno;
  std::memset(home, 1, bytes);
  const uffdio_range range{reinterpret_cast<std::uint64_t>(fenced), bytes};
  uffdio_register fence{};
  fence.range = range;
  fence.mode = UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
  if (::ioctl(userfault->get(), UFFDIO_REGISTER, &fence) != 0) return errno;
  uffdio_continue give{};
  give.range = range;
  if (::ioctl(userfault->get(), UFFDIO_CONTINUE, &give) != 0) return errno;
  uffdio_writeprotect close{};
  close.range = range;
  close.mode = UFFDIO_WRITEPROTECT_MODE_WP;
  if (::ioctl(userfault->get(), UFFDIO_WRITEPROTECT, &close) != 0) return errno;
  if (*static_cast<volatile char*>(fenced) != 1) return no_fence;
  std::signal(SIGBUS, &on_bus_error);
  *static_cast<volatile char*>(fenced) = 2;
  return no_fence;
}

std::string cure(int system_call, int by_device) {
  const bool in_container =
      ::access("/.dockerenv", F_OK) == 0 || ::access("/run/.containerenv", F_OK) == 0;
  if (system_call == ENOSYS) return "sudo apt-get install -y linux-image-amd64   # and boot it";
  if (in_container)
    return "docker run --security-opt seccomp=unconfined ...   # a profile that permits it";
  if (by_device == EACCES || by_device == EPERM) return fmt::format("sudo chmod 666 {}", device);
  return "sudo sysctl -w vm.unprivileged_userfaultfd=1";
}

}  // namespace

std::vector<Finding> check_userfault() {
  const int system_call = in_child(&try_system_call);
  const int by_device = in_child(&try_device);
  Finding userfault;
  userfault.name = "userfaultfd";
  userfault.ok = system_call == 0 || by_device == 0;
  userfault.detail = system_call == 0 ? "by system call"
                     : by_device == 0
                         ? device
                         : fmt::format("system call: {}; {}: {}", std::strerror(system_call),
                                       device, std::strerror(by_device));
  userfault.cure = cure(system_call, by_device);

  const int fence = in_child(&try_fence);
  Finding firewall;
  firewall.name = "firewall";
  firewall.ok = fence == expected_exit;
  firewall.detail = firewall.ok ? "a store to a closed page is a bus error"
                    : fence == no_fence
                        ? "a store to a closed page WENT THROUGH"
                        : fmt::format("can not be set up: {}", std::strerror(fence));
  firewall.cure = userfault.ok
                      ? "sudo apt-get install -y linux-image-amd64   # 5.19 or newer; boot it"
                      : userfault.cure;
  return {userfault, firewall};
}

}  // namespace hive::cli

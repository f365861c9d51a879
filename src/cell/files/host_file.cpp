#include "cell/files/host_file.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/disk_fault.h"

namespace hive::cell {
namespace {

using machine::DiskUse;
using machine::disk_refuses;

constexpr int interruptions_max = 1000;

Failure failure(int refused, const char* cause) {
  const bool is_full = refused == ENOSPC || refused == EDQUOT || refused == EFBIG;
  return fail(is_full ? Code::exhausted : Code::host, cause, -1, refused);
}

}  // namespace

Result<std::unique_ptr<FileBacking>> HostFile::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return failure(errno, "the host's file can not be opened");
  return std::unique_ptr<FileBacking>(std::make_unique<HostFile>(std::move(fd)));
}

Result<std::size_t> HostFile::pread(std::uint64_t offset, std::span<std::byte> out) {
  if (const int refused = disk_refuses(DiskUse::read); refused != 0) {
    return failure(refused, "the host's file can not be read");
  }
  std::size_t done = 0;
  for (int interruptions = 0; done < out.size();) {
    const ssize_t got = ::pread(fd_.get(), out.data() + done, out.size() - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR && ++interruptions < interruptions_max) continue;
    if (got < 0) return failure(errno, "the host's file can not be read");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<void> HostFile::pwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (const int refused = disk_refuses(DiskUse::write); refused != 0) {
    return failure(refused, "the host's file can not be written");
  }
  std::size_t done = 0;
  for (int interruptions = 0; done < bytes.size();) {
    const ssize_t put = ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR && ++interruptions < interruptions_max) continue;
    if (put < 0) return failure(errno, "the host's file can not be written");
    if (put == 0) return failure(EIO, "the host's file takes no bytes");
    done += static_cast<std::size_t>(put);
  }
  return {};
}

Result<void> HostFile::fdatasync() {
  int refused = disk_refuses(DiskUse::other);
  if (refused == 0 && ::fdatasync(fd_.get()) != 0) refused = errno;
  if (refused == 0) return {};
  return failure(refused, "the host's file can not be synced");
}

Result<void> HostFile::truncate(std::uint64_t bytes) {
  if (const int refused = disk_refuses(DiskUse::other); refused != 0) {
    return failure(refused, "the host's file can not be truncated");
  }
  for (int interruptions = 0; ::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0;) {
    if (errno == EINTR && ++interruptions < interruptions_max) continue;
    return failure(errno, "the host's file can not be truncated");
  }
  return {};
}

Result<std::uint64_t> HostFile::size() {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return failure(errno, "the host's file has no size");
  return static_cast<std::uint64_t>(status.st_size);
}

Result<void> HostFile::set_modified(std::int64_t ns) {
  const timespec times[2] = {{0, UTIME_OMIT}, wall_timespec(ns)};
  if (::futimens(fd_.get(), times) == 0) return {};
  return failure(errno, "the host's file takes no time");
}

}  // namespace hive::cell

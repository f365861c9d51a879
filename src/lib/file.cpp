#include <hive/file.h>

#include <cerrno>
#include <utility>

#include "lib/file_impl.h"
#include "lib/mapping_impl.h"

namespace hive {

using lib::fail_errno;

File::File(std::unique_ptr<lib::FileImpl> impl) : impl_(std::move(impl)) {}
File::File(File&&) noexcept = default;
File& File::operator=(File&&) noexcept = default;
File::~File() = default;

void File::close() { impl_.reset(); }

Result<std::size_t> File::read(std::span<std::byte> out) {
  return impl_ ? impl_->read(out) : fail_errno(EBADF);
}

Result<std::size_t> File::pread(std::span<std::byte> out, std::int64_t offset) {
  if (!impl_) return fail_errno(EBADF);
  if (offset < 0) return fail_errno(EINVAL);
  return impl_->pread(out, static_cast<std::uint64_t>(offset));
}

Result<std::size_t> File::write(std::span<const std::byte> bytes) {
  return impl_ ? impl_->write(bytes) : fail_errno(EBADF);
}

Result<std::size_t> File::pwrite(std::span<const std::byte> bytes, std::int64_t offset) {
  if (!impl_) return fail_errno(EBADF);
  if (offset < 0) return fail_errno(EINVAL);
  return impl_->pwrite(bytes, static_cast<std::uint64_t>(offset));
}

Result<std::uint64_t> File::lseek(std::int64_t offset, int whence) {
  return impl_ ? impl_->seek(offset, whence) : fail_errno(EBADF);
}

Result<FileInfo> File::fstat() const { return impl_ ? impl_->info() : fail_errno(EBADF); }

Result<void> File::ftruncate(std::int64_t size) {
  if (!impl_) return fail_errno(EBADF);
  if (size < 0) return fail_errno(EINVAL);
  return impl_->truncate(static_cast<std::uint64_t>(size));
}

Result<Mapping> File::mmap(std::uint64_t length, int protection, int flags,
                           std::int64_t offset) const {
  if (!impl_) return fail_errno(EBADF);
  if (offset < 0) return fail_errno(EINVAL);
  auto mapped = impl_->map(length, protection, flags, static_cast<std::uint64_t>(offset));
  if (!mapped) return fail(mapped.error());
  return Mapping(std::move(*mapped));
}

Result<void> File::fsync() { return impl_ ? impl_->sync() : fail_errno(EBADF); }

Result<void> File::fchmod(mode_t mode) {
  return impl_ ? impl_->set(proto::file_set_mode, mode, 0) : fail_errno(EBADF);
}

Result<void> File::futimens(std::int64_t accessed_ns, std::int64_t modified_ns) {
  if (!impl_) return fail_errno(EBADF);
  return impl_->set(proto::file_set_times, static_cast<std::uint64_t>(accessed_ns),
                    static_cast<std::uint64_t>(modified_ns));
}

}  // namespace hive

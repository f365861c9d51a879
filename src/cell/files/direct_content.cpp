#include "cell/files/direct_content.h"

#include <cerrno>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "cell/files/notes.h"

namespace hive::cell {
namespace {

// Writes of one file happen one after the other, so that appends do not meet. The size is the
// host's: another one may have the same file open.
class DirectContent final : public FileContent {
 public:
  explicit DirectContent(std::unique_ptr<FileBacking> backing) : backing_(std::move(backing)) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) override {
    if (out.size() > content_call_bytes_max) return fail_errno(EINVAL);
    if (out.empty() || offset >= content_bytes_max) return 0;
    return backing_->pread(offset, out);
  }
  Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    const std::scoped_lock lock(mutex_);
    return write_locked(offset, bytes);
  }
  Result<Appended> append(std::span<const std::byte> bytes) override {
    const std::scoped_lock lock(mutex_);
    const auto end = backing_->size();
    if (!end) return fail(end.error());
    const auto written = write_locked(*end, bytes);
    if (!written) return fail(written.error());
    return Appended{*end, *written};
  }
  Result<void> truncate(std::uint64_t bytes) override {
    if (bytes > content_bytes_max) return fail_errno(EFBIG);
    const std::scoped_lock lock(mutex_);
    return backing_->truncate(bytes);
  }
  Result<void> flush() override { return backing_->fdatasync(); }
  std::uint64_t size() const override { return backing_->size().value_or(0); }
  Result<void> drop() override { return {}; }

 private:
  Result<std::size_t> write_locked(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.size() > content_call_bytes_max) return fail_errno(EINVAL);
    if (offset > content_bytes_max || bytes.size() > content_bytes_max - offset) {
      return fail_errno(EFBIG);
    }
    if (bytes.empty()) return 0;
    if (auto written = backing_->pwrite(offset, bytes); !written) return fail(written.error());
    return bytes.size();
  }

  const std::unique_ptr<FileBacking> backing_;
  std::mutex mutex_;
};

}  // namespace

Result<std::size_t> OpenHostFile::pread(std::uint64_t offset, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::pread(file_.get(), out.data() + done, out.size() - done,
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<void> OpenHostFile::pwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    file_step();
    const ssize_t n = ::pwrite(file_.get(), bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno(n < 0 ? errno : EIO);
    done += static_cast<std::size_t>(n);
  }
  return {};
}

Result<void> OpenHostFile::fdatasync() {
  file_step();
  if (::fdatasync(file_.get()) == 0) return {};
  return fail_errno(errno);
}

Result<void> OpenHostFile::truncate(std::uint64_t bytes) {
  file_step();
  if (::ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0) return {};
  return fail_errno(errno);
}

Result<std::uint64_t> OpenHostFile::size() {
  struct stat about {};
  if (::fstat(file_.get(), &about) != 0) return fail_errno(errno);
  return static_cast<std::uint64_t>(about.st_size);
}

Result<std::shared_ptr<FileContent>> DirectContents::open(FileNumber /*number*/,
                                                          const MakeBacking& make) {
  auto backing = make();
  if (!backing) return fail(backing.error());
  return std::make_shared<DirectContent>(std::move(*backing));
}

}  // namespace hive::cell

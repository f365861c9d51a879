// A file of the host, on the disk of a node, as what is behind the content of a file (content.h).
#pragma once

#include <memory>
#include <string>

#include <hive/error.h>
#include "base/fd.h"
#include "cell/files/content.h"

namespace hive::cell {

class HostFile final : public FileBacking {
 public:
  // It has to be there. Errors: host, with the errno of open().
  static Result<std::unique_ptr<FileBacking>> open(const std::string& path);
  // Takes over a descriptor that may read and write.
  explicit HostFile(UniqueFd fd) : fd_(std::move(fd)) {}

  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override;
  Result<void> pwrite(std::uint64_t offset, std::span<const std::byte> bytes) override;
  Result<void> fdatasync() override;
  Result<void> truncate(std::uint64_t bytes) override;
  Result<std::uint64_t> size() override;
  Result<void> set_modified(std::int64_t ns) override;

 private:
  const UniqueFd fd_;
};

}  // namespace hive::cell

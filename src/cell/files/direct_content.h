// The content of files without a cache: each call is one of the host's.
#pragma once

#include <mutex>
#include <shared_mutex>

#include "base/fd.h"
#include "cell/files/content.h"

namespace hive::cell {

// Where the file service gets content from.
class ContentSource {
 public:
  virtual ~ContentSource() = default;
  // The content of a file, which several may have at the same time. `make` is called, if need be,
  // before this returns. Errors: those of `make`, exhausted.
  virtual Result<std::shared_ptr<FileContent>> open(FileNumber number,
                                                    const MakeBacking& make) = 0;
};

// A file of the host that is open for reading and writing.
class OpenHostFile final : public FileBacking {
 public:
  explicit OpenHostFile(UniqueFd file) : file_(std::move(file)) {}
  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override;
  Result<void> pwrite(std::uint64_t offset, std::span<const std::byte> bytes) override;
  Result<void> fdatasync() override;
  Result<void> truncate(std::uint64_t bytes) override;
  Result<std::uint64_t> size() override;

 private:
  const UniqueFd file_;
};

class DirectContents final : public ContentSource {
 public:
  Result<std::shared_ptr<FileContent>> open(FileNumber number, const MakeBacking& make) override;
};

}  // namespace hive::cell

// The frames of a node in memory of their own, for tests, which note breaches of what their users
// promise. Thread-safe.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "cell/home/page_tables.h"

namespace hive::cell::test {

class MemoryFrames final : public FrameMemory {
 public:
  explicit MemoryFrames(std::uint32_t pages)
      : memory_(::memfd_create("frames", MFD_CLOEXEC)), is_hole_(pages), taken_back_(pages) {
    HIVE_CHECK(::ftruncate(memory_.get(), static_cast<off_t>(pages * machine::page_bytes)) == 0);
  }

  Result<void> take_back(machine::PageRange range) override {
    const std::scoped_lock lock(mutex_);
    HIVE_CHECK(::fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           offset_of(range.first), offset_of(range.count)) == 0);
    for (std::uint32_t p = range.first; p < range.end(); ++p) {
      is_hole_[p] = true;
      ++taken_back_[p];
    }
    return {};
  }
  Result<void> refill(machine::PageRange range) override {
    const std::scoped_lock lock(mutex_);
    for (std::uint32_t p = range.first; p < range.end(); ++p) {
      if (!is_hole_[p]) breaches_.emplace_back("refilled what was not taken back");
      is_hole_[p] = false;
    }
    return {};
  }
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    note(offset, out.size());
    HIVE_CHECK(::pread(memory_.get(), out.data(), out.size(), static_cast<off_t>(offset)) ==
               static_cast<ssize_t>(out.size()));
    return {};
  }
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    note(offset, bytes.size());
    HIVE_CHECK(::pwrite(memory_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
               static_cast<ssize_t>(bytes.size()));
    std::function<void()> hook;
    {
      const std::scoped_lock lock(mutex_);
      hook = after_write_;
    }
    if (hook) hook();
    return {};
  }

  // Runs after each write, with no lock held.
  void after_write(std::function<void()> hook) {
    const std::scoped_lock lock(mutex_);
    after_write_ = std::move(hook);
  }
  std::uint64_t times_taken_back(std::uint32_t p) const {
    const std::scoped_lock lock(mutex_);
    return taken_back_[p];
  }
  std::vector<std::string> breaches() const {
    const std::scoped_lock lock(mutex_);
    return breaches_;
  }

 private:
  static off_t offset_of(std::uint32_t pages) {
    return static_cast<off_t>(pages * machine::page_bytes);
  }
  void note(std::uint64_t offset, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    for (std::uint64_t p = offset / machine::page_bytes; p * machine::page_bytes < offset + bytes;
         ++p) {
      if (is_hole_[p]) breaches_.emplace_back("a frame without memory was used");
    }
  }

  const UniqueFd memory_;
  mutable std::mutex mutex_;
  std::vector<bool> is_hole_;
  std::vector<std::uint64_t> taken_back_;
  std::vector<std::string> breaches_;
  std::function<void()> after_write_;
};

}  // namespace hive::cell::test

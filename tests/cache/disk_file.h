// A file on a disk made of memory, for tests: it tells what was synced from what was only written,
// and can be told to fail, to be full, and to be slow.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "cell/files/content.h"

namespace hive::cell::test {

enum class DiskCall : std::uint8_t { pread, pwrite, fdatasync, truncate };

// What is on the disk, however often it is opened. Thread-safe.
class DiskFile {
 public:
  using Bytes = std::vector<std::byte>;

  Bytes written() const {
    const std::scoped_lock lock(mutex_);
    return written_;
  }
  // As it was set last.
  std::int64_t modified_ns() const {
    const std::scoped_lock lock(mutex_);
    return modified_ns_;
  }
  Bytes synced() const {
    const std::scoped_lock lock(mutex_);
    return synced_;
  }
  std::uint64_t calls(DiskCall call) const {
    const std::scoped_lock lock(mutex_);
    return calls_[static_cast<std::size_t>(call)];
  }
  // The next `times` calls of that kind fail with this errno.
  void refuse(DiskCall call, int sys_errno, std::uint64_t times = ~std::uint64_t{0}) {
    const std::scoped_lock lock(mutex_);
    refused_[static_cast<std::size_t>(call)] = {sys_errno, times};
  }
  void refuse_nothing() {
    const std::scoped_lock lock(mutex_);
    refused_ = {};
    one_fails_in_ = 0;
    room_.reset();
  }
  // One write in so many fails.
  void fail_at_random(unsigned one_in, unsigned seed) {
    const std::scoped_lock lock(mutex_);
    one_fails_in_ = one_in;
    random_.seed(seed);
  }
  // It does not get longer than that.
  void set_room(std::uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    room_ = bytes;
  }
  // Runs at the begin of every call until it is replaced, with no lock held.
  void on_call(std::function<void(DiskCall)> hook) {
    const std::scoped_lock lock(mutex_);
    hook_ = std::move(hook);
  }
  // Runs after every sync, which has succeeded or not, before its caller hears of it.
  void after_sync(std::function<void(bool good)> hook) {
    const std::scoped_lock lock(mutex_);
    after_sync_ = std::move(hook);
  }
  // As when Linux throws away what it could not write.
  void lose_what_is_not_synced() {
    const std::scoped_lock lock(mutex_);
    written_ = synced_;
  }

 private:
  friend class DiskBacking;
  std::unique_lock<std::mutex> begin(DiskCall call) {
    std::unique_lock lock(mutex_);
    if (hook_) {
      const auto hook = hook_;
      lock.unlock();
      hook(call);
      lock.lock();
    }
    ++calls_[static_cast<std::size_t>(call)];
    return lock;
  }
  std::optional<Error> refusal_locked(DiskCall call) {
    auto& [sys_errno, times] = refused_[static_cast<std::size_t>(call)];
    if (times > 0) {
      --times;
      return told(sys_errno);
    }
    const bool fails =
        call == DiskCall::pwrite && one_fails_in_ > 0 && random_() % one_fails_in_ == 0;
    return fails ? std::optional(told(EIO)) : std::nullopt;
  }
  static Error told(int sys_errno) {
    return error(sys_errno == ENOSPC ? Code::exhausted : Code::host, "told to", -1, sys_errno);
  }

  mutable std::mutex mutex_;
  Bytes written_;
  Bytes synced_;
  std::int64_t modified_ns_ = 0;
  std::array<std::uint64_t, 4> calls_{};
  std::array<std::pair<int, std::uint64_t>, 4> refused_{};
  unsigned one_fails_in_ = 0;
  std::mt19937 random_;
  std::optional<std::uint64_t> room_;
  std::function<void(DiskCall)> hook_;
  std::function<void(bool)> after_sync_;
};

class DiskBacking final : public FileBacking {
 public:
  explicit DiskBacking(std::shared_ptr<DiskFile> file) : file_(std::move(file)) {}

  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override {
    const auto lock = file_->begin(DiskCall::pread);
    if (const auto refused = file_->refusal_locked(DiskCall::pread)) return fail(*refused);
    const auto& bytes = file_->written_;
    if (offset >= bytes.size()) return std::size_t{0};
    const std::size_t count = std::min<std::uint64_t>(out.size(), bytes.size() - offset);
    std::memcpy(out.data(), bytes.data() + offset, count);
    return count;
  }
  Result<void> pwrite(std::uint64_t offset, std::span<const std::byte> from) override {
    const auto lock = file_->begin(DiskCall::pwrite);
    if (const auto refused = file_->refusal_locked(DiskCall::pwrite)) return fail(*refused);
    const std::uint64_t end = offset + from.size();
    if (file_->room_ && end > *file_->room_) return fail(DiskFile::told(ENOSPC));
    auto& bytes = file_->written_;
    if (bytes.size() < end) bytes.resize(end);
    if (!from.empty()) std::memcpy(bytes.data() + offset, from.data(), from.size());
    return {};
  }
  Result<void> fdatasync() override {
    auto lock = file_->begin(DiskCall::fdatasync);
    const auto refused = file_->refusal_locked(DiskCall::fdatasync);
    if (!refused) file_->synced_ = file_->written_;
    const auto hook = file_->after_sync_;
    lock.unlock();
    if (hook) hook(!refused);
    if (refused) return fail(*refused);
    return {};
  }
  Result<void> truncate(std::uint64_t bytes) override {
    const auto lock = file_->begin(DiskCall::truncate);
    if (const auto refused = file_->refusal_locked(DiskCall::truncate)) return fail(*refused);
    file_->written_.resize(bytes);
    return {};
  }
  Result<std::uint64_t> size() override {
    const std::scoped_lock lock(file_->mutex_);
    return file_->written_.size();
  }
  Result<void> set_modified(std::int64_t ns) override {
    const std::scoped_lock lock(file_->mutex_);
    file_->modified_ns_ = ns;
    return {};
  }

 private:
  const std::shared_ptr<DiskFile> file_;
};

}  // namespace hive::cell::test

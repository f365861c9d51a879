// An open file: what the public File holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "lib/file_calls.h"
#include "lib/file_in_place.h"
#include "lib/file_walk.h"

namespace hive::lib {

class MappingImpl;

class FileImpl {
 public:
  // What the home has opened. `handle` 0: a directory.
  struct Opened {
    std::uint64_t handle = 0;
    std::uint64_t record = 0;  // address of its FileRecord
    std::uint64_t generation = 0;
  };
  FileImpl(std::shared_ptr<SessionImpl> session, Peer* peer, FileEntry entry,
           const Opened& opened, int flags);
  ~FileImpl();
  FileImpl(const FileImpl&) = delete;
  FileImpl& operator=(const FileImpl&) = delete;

  // The next fsync also sees to the name, which lies in this directory of that cell.
  void was_made_in(CellId home, std::uint64_t directory);

  Result<std::size_t> read(std::span<std::byte> out);
  Result<std::size_t> pread(std::span<std::byte> out, std::uint64_t offset);
  Result<std::size_t> write(std::span<const std::byte> bytes);
  Result<std::size_t> pwrite(std::span<const std::byte> bytes, std::uint64_t offset);
  Result<std::uint64_t> seek(std::int64_t offset, int whence);
  Result<FileInfo> info() const;
  Result<std::unique_ptr<MappingImpl>> map(std::uint64_t length, int protection, int flags,
                                           std::uint64_t offset) const;
  Result<void> truncate(std::uint64_t size);
  Result<void> sync();
  Result<void> set(std::uint64_t what, std::uint64_t first, std::uint64_t second);

 private:
  // Where the bytes end that were written; in `count` how many.
  Result<std::uint64_t> write_at(std::span<const std::byte> bytes, std::uint64_t offset,
                                 std::size_t& count);
  // At most gate_answer_bytes_max bytes, by way of the home.
  Result<std::size_t> read_home(std::uint64_t offset, std::span<std::byte> out);
  Result<GateValues> call(const GateCall& call) const;
  Result<void> check(bool for_writing) const;

  const std::shared_ptr<SessionImpl> session_;
  Peer* const peer_;  // as long as the session object
  const FileEntry entry_;
  const std::uint64_t handle_;
  const int flags_;
  FileInPlace in_place_;
  std::mutex mutex_;
  std::uint64_t offset_ = 0;  // guarded by mutex_
  struct Made {
    CellId home;
    std::uint64_t directory;
  };
  std::optional<Made> made_;  // guarded by mutex_
};

}  // namespace hive::lib

// Who has which file of this home open. A file that loses its name while it is open stays until
// the last one closes it.
//
// Any thread. The mutex is held for looking only; content is opened with that of the one file.
#pragma once

#include <map>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "cell/files/content.h"
#include "cell/files/disk_store.h"
#include "cell/home/types.h"

namespace hive::cell {

inline constexpr std::size_t open_files_per_task = 1024;

class OpenFiles {
 public:
  struct Opened {
    FileNumber number = 0;
    std::uint64_t generation = 0;  // when it was opened
    std::shared_ptr<FileContent> content;
  };
  explicit OpenFiles(ContentSource& source) : source_(source) {}

  // A handle, never 0. Errors: ENOENT, EINVAL (no file), EMFILE, EBUSY (content was lost, and that
  // is not on the disk yet), those of Linux.
  Result<std::uint64_t> open(DiskStore& store, ClientId client, FileNumber number);
  // Another handle for the same file, opened when this one was. Errors: those of find(); EMFILE.
  Result<std::uint64_t> duplicate(ClientId client, std::uint64_t handle);
  // Errors: EBADF; lost with EIO (content was lost since it was opened).
  Result<Opened> find(ClientId client, std::uint64_t handle) const;
  // What has no name any more and is now closed by all is returned: for bury(). Errors: EBADF.
  Result<std::vector<FileNumber>> close(ClientId client, std::uint64_t handle);
  // All of a task that has ended. The caller sees to it that it opens no more.
  std::vector<FileNumber> close_all(ClientId client);

  // The file has no name any more. True: nobody has it open, and nobody opens it from now on:
  // bury it, and then say buried().
  bool lose_name(FileNumber number);
  void buried(FileNumber number);

  // Descriptors that were opened before see an error from now on, and nobody opens the file
  // (EBUSY) before set_generation(). For each call one of know_lost(): the cache knows what is
  // lost.
  void begin_losing(FileNumber number);
  void know_lost(FileNumber number);
  bool is_losing(FileNumber number) const;
  // The number of the last loss, once the cache knows of all that have begun. Else 0, and if
  // nothing is being lost.
  std::uint64_t known_loss(FileNumber number) const;
  // Descriptors that were opened before see an error from now on. Others can be opened if `loss`
  // is still the last one: what is lost later is another generation's.
  void set_generation(FileNumber number, std::uint64_t generation, std::uint64_t loss);

  std::size_t count() const;

 private:
  struct Shared {
    std::mutex opening;
    std::shared_ptr<FileContent> content;  // set with `opening` and mutex_, read with either
    std::uint64_t generation = 0;          // guarded by mutex_, as the rest
    int users = 0;
    bool nameless = false;
  };
  struct Losing {
    std::uint64_t last = 0;     // of losses_
    std::uint32_t unknown = 0;  // have begun, and the cache does not know of them yet
  };
  Result<std::shared_ptr<Shared>> enter(ClientId client, FileNumber number);
  // Null: the client has no such handle.
  const Opened* opened_locked(ClientId client, std::uint64_t handle) const;
  void leave_locked(FileNumber number, std::vector<FileNumber>& to_bury);

  ContentSource& source_;
  mutable std::mutex mutex_;
  std::map<FileNumber, std::shared_ptr<Shared>> files_;          // guarded by mutex_
  std::map<ClientId, std::map<std::uint64_t, Opened>> clients_;  // guarded by mutex_
  std::set<FileNumber> burying_;                                 // guarded by mutex_
  std::map<FileNumber, Losing> losing_;                          // guarded by mutex_
  std::uint64_t losses_ = 0;                                     // guarded by mutex_
  std::uint64_t last_handle_ = 0;                                // guarded by mutex_
};

}  // namespace hive::cell

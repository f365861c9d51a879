// The disk of a data home: a directory of the host. Where each thing lies:
//
//   cells            how many cells the machine has; names are spread by that
//   next             numbers from here on were never used
//   files/N          content, mode and times of file N; or symbolic link N, as one of the host's
//   names/D/NAME     an entry of directory D: a symbolic link with the text kind:home:number
//   attributes/N.g   generation of file N, when it is not 0; N.m its mode, when the owner's bits
//                    are not all there, which the cell itself needs
//   pending/         what has begun and is not finished (pending.h)
//
// A kernel may die between any two steps. The next one's open() finishes or undoes what it finds,
// but what needs another home: that is in unsettled(), also after a call that says so.
//
// All errors carry an errno. Any thread; every call does I/O and may block for as long as that
// takes.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"
#include "cell/files/notes.h"
#include "cell/files/pending.h"
#include "cell/files/types.h"

namespace hive::cell {

class DiskStore {
 public:
  struct Listed {
    std::string name;
    FileEntry entry;
  };
  struct Space {
    std::uint64_t total_bytes = 0;
    std::uint64_t free_bytes = 0;  // for this user
  };

  // Errors: EMEDIUMTYPE (the disk belongs to a machine of another number of cells), those of
  // Linux.
  static Result<std::unique_ptr<DiskStore>> open(const std::string& path, CellId self,
                                                 std::uint32_t cells);
  DiskStore(const DiskStore&) = delete;
  DiskStore& operator=(const DiskStore&) = delete;

  // Objects of this disk. ENOENT: there is none of this number.

  // With mode bits; kind, size and times are the host's. incarnation is left 0.
  Result<proto::FileStatus> status(FileNumber number) const;
  Result<void> set_mode(FileNumber number, std::uint32_t mode);
  // Nanoseconds since 1970, or proto::file_time_omit, file_time_now.
  Result<void> set_times(FileNumber number, std::int64_t accessed_ns, std::int64_t modified_ns);
  Result<std::string> read_link(FileNumber number) const;
  // For reading and writing. EINVAL: no file.
  Result<UniqueFd> open_content(FileNumber number) const;
  Result<std::uint64_t> generation(FileNumber number) const;
  // On stable storage when it returns.
  Result<std::uint64_t> raise_generation(FileNumber number);
  Result<Space> space() const;
  // Which files exist, and in which directory, is on stable storage when they return.
  Result<void> sync_objects() const;
  Result<void> sync_directory(FileNumber directory) const;

  // A file that another home is about to name.
  Result<FileNumber> make_for(CellId namer, std::uint32_t mode);
  // It has done so. ENOENT: the object is gone.
  Result<void> adopt(const FileEntry& entry);
  // The object has no name any more. What is not a directory stays until bury(); a directory goes
  // now, if it is empty.
  Result<void> drop(const FileEntry& entry);
  // The same for one that waits for its name. False: it does not, it has it by now.
  Result<bool> drop_claim(const FileEntry& entry);
  // Removes an object that was dropped. What is not there is fine.
  Result<void> bury(const FileEntry& entry);

  // Names. ENOENT also: no such directory. ENOTDIR, EISDIR, EEXIST, ENOTEMPTY, ENAMETOOLONG,
  // EINVAL as in POSIX. EBUSY: the object is in unsettled().

  Result<FileEntry> lookup(FileNumber directory, std::string_view name) const;
  // In order of their bytes, from the first after `after`; as many as fit, with 16 bytes each
  // besides their names, into bytes_max. `more`: there are others.
  Result<std::vector<Listed>> list(FileNumber directory, std::string_view after,
                                   std::size_t bytes_max, bool& more) const;
  Result<FileEntry> make_file(FileNumber directory, std::string_view name, std::uint32_t mode);
  Result<FileEntry> make_directory(FileNumber directory, std::string_view name,
                                   std::uint32_t mode);
  Result<FileEntry> make_link(FileNumber directory, std::string_view name,
                              std::string_view target);

  // Each of these leaves the object in unsettled(), where it may be another home's to remove; the
  // caller tells that home, and buries what is here and not open, and then forgets it.

  // Names what another home has made.
  Result<void> link(FileNumber directory, std::string_view name, const FileEntry& entry);
  // Not for directories.
  Result<FileEntry> unlink(FileNumber directory, std::string_view name);
  // Of a directory of this home. EREMOTE: of another one's, which has to remove it first; then
  // forget_name().
  Result<FileEntry> remove_directory(FileNumber directory, std::string_view name);
  Result<void> forget_name(FileNumber directory, std::string_view name, const FileEntry& entry);
  // Returns what had the new name before.
  Result<std::optional<FileEntry>> rename(FileNumber from, std::string_view name, FileNumber to,
                                          std::string_view to_name);
  // Names what had a name on another home until now. Doing it twice is fine.
  Result<std::optional<FileEntry>> take_over(FileNumber directory, std::string_view name,
                                             const FileEntry& entry);
  // The same from the other side: begun before the other home is asked; ended when it has
  // answered.
  Result<FileEntry> begin_move(FileNumber from, std::string_view name, CellId to_cell,
                               FileNumber to, std::string_view to_name);
  Result<void> end_move(const FileEntry& entry, bool is_there);
  // Whether any name in the directory leads to it.
  Result<bool> leads_to(FileNumber directory, const FileEntry& entry) const;

  // What needs another home, or waits to be buried.
  std::vector<Pending> unsettled() const;
  std::optional<Pending> unsettled(const FileEntry& entry) const;
  Result<void> forget(const FileEntry& entry);

 private:
  DiskStore(CellId self, UniqueFd root, UniqueFd files, UniqueFd names, Notes notes,
            Notes attributes, Notes pending);

  // disk_start.cpp
  Result<void> check_cells(std::uint32_t cells);
  Result<void> start();
  Result<void> resolve(const Pending& pending);
  Result<FileNumber> take_number();

  // disk_objects.cpp
  static std::string text(FileNumber number) { return std::to_string(number); }
  Result<bool> exists(const FileEntry& entry) const;
  Result<void> set_host_mode(FileNumber number, FileKind kind, std::uint32_t mode) const;
  Result<void> make_content(FileNumber number, std::uint32_t mode);
  Result<void> remove_object(const FileEntry& entry);

  // With names_mutex_, also for reading the map of what is pending.
  Result<void> note(const Pending& pending);
  Result<void> forget_locked(const FileEntry& entry);
  Result<void> check_settled(const FileEntry& entry) const;
  Result<FileEntry> lookup_locked(FileNumber directory, std::string_view name) const;
  Result<void> check_free(FileNumber directory, std::string_view name) const;
  Result<void> put_name(FileNumber directory, std::string_view name, const FileEntry& entry);
  Result<void> replace_name(FileNumber directory, std::string_view name, const FileEntry& entry);
  Result<void> erase_name(FileNumber directory, std::string_view name);
  // The same where it leads to this object; else nothing.
  Result<void> erase_name_of(FileNumber directory, std::string_view name, const FileEntry& entry);
  Result<FileEntry> make_named(FileNumber directory, std::string_view name, FileKind kind,
                               std::uint32_t mode, std::string_view target);
  Result<void> check_replaceable(const FileEntry& fresh, const FileEntry& old) const;
  // Notes that the object is about to lose this name.
  Result<void> note_loss(FileNumber directory, std::string_view name, const FileEntry& entry);
  Result<void> settle_loss(const FileEntry& entry);

  const CellId self_;
  const UniqueFd root_;
  const UniqueFd files_;
  const UniqueFd names_;
  Notes notes_;  // cells, next
  Notes attributes_;
  Notes pending_notes_;

  mutable std::shared_mutex names_mutex_;   // changes of names and of what is pending, one by one
  std::map<std::string, Pending> pending_;  // guarded by names_mutex_; by key
  std::mutex attributes_mutex_;             // changes of one object's attributes
  std::mutex number_mutex_;
  FileNumber next_ = 1;      // guarded by number_mutex_
  FileNumber reserved_ = 1;  // the same; numbers below are taken on the disk
};

}  // namespace hive::cell

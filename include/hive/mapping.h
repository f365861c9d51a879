// Memory of a cell at addresses of the task, page by page, as by mmap.
//
//   auto memory = session->map_anonymous(100 << 20);
//   auto* numbers = memory->at<double>(0);  // all zero; pages come as they are touched
//   ...
//   memory.reset();                         // unmapped
//
// Anonymous memory is the task's own, and lies in frames of its cell, wherever some are free. A
// page takes none before it is first touched; the touch brings in 64 KiB around. It ends with the
// Mapping, with the session and with the task. A child of fork has none of it.
//
// A file is mapped by File::mmap, and shows its pages in the cache of its data home: what is
// written to the file is seen at once, and what is stored to a page of a writable mapping, too.
// The first store to a page opens it to this task; it is closed when it is written back, and the
// next store opens it anew. A touch behind the end of the file is SIGBUS, also when the file ends
// there only since.
//
// A private mapping (MAP_PRIVATE) shows the file's pages, too, until the task stores to one: from
// then on it has a copy of that page, in memory of its own cell, which nobody else sees and which
// never reaches the file. msync does nothing. Copies stay when the file is truncated or its home
// fails; other pages are SIGBUS then. Nothing is lost to others when the task dies. Its populate()
// makes copies, if it is writable.
//
// When the task dies while pages are open, or its cell, nobody knows what it has stored there
// last: these pages are lost, and the file's generation goes up, so that everybody who has it open
// gets EIO, and opened anew it is what was on the disk. Unmap, or detach, before the end. A touch
// of a file that has lost content, or whose home has failed, is SIGBUS with a message.
//
// When the cell has no memory left, also after its cache of files has given up what it can, what
// was brought in longest ago moves away, to memory of other cells, and comes back when it is
// touched. What lay with a cell that dies meanwhile is lost. When no cell has memory to spare, the
// touch of a new page ends the task with a message and SIGBUS, and so does that of a lost one;
// inside hive::guarded it is an error, which names the cell. populate() brings pages in before
// they are needed, and returns the error. A system call that is handed memory which is not there
// says EFAULT.
//
// A mapping can have up to 1024 times the memory of a node. A process can have as many mappings
// as Linux allows it (vm.max_map_count, 65,530 by default), and each run of frames that lie side
// by side is one of them. Machines without firewall (`--firewall=cooperative`), or with more than
// about 170 GiB of node memory, have no mappings (refused, exhausted).
//
// Thread-safety: any thread may touch the memory and call populate(); unmapping is for one, when
// no other uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include <hive/error.h>

namespace hive {

namespace lib {
class MappingImpl;
}

class Mapping {
 public:
  Mapping(Mapping&&) noexcept;
  Mapping& operator=(Mapping&&) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();  // unmaps

  std::byte* data() const;     // page aligned
  std::uint64_t size() const;  // bytes, as asked for
  std::span<std::byte> bytes() const { return {data(), static_cast<std::size_t>(size())}; }

  template <class T>
  T* at(std::uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>, "mapped memory is not constructed");
    return reinterpret_cast<T*>(data() + offset);
  }

  // Brings in all pages of the range, so that the touches that follow do not fault, while the cell
  // has memory for them. Blocks for some microseconds for each 64 KiB. Errors: exhausted with
  // ENOMEM (no memory is left; some pages may be there), lost (with the cell whose memory a page
  // lay in), bad_argument, cell_down, timed_out, refused (detached).
  Result<void> populate(std::uint64_t offset, std::uint64_t length);

  // What was stored to a file through it, and all else that is dirty of the file, is on the disk
  // when it succeeds. Errors: as File::fsync; bad_argument.
  Result<void> msync(std::uint64_t offset, std::uint64_t length);

  // Its memory is gone; what was stored to a file stays, as by File::write. Twice is fine.
  void unmap();

 private:
  friend class File;
  friend class Session;
  explicit Mapping(std::unique_ptr<lib::MappingImpl> impl);
  std::unique_ptr<lib::MappingImpl> impl_;
};

}  // namespace hive

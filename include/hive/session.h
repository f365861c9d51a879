// A process becomes a task of a cell by attaching to it; a Session is that membership.
//
// Thread-safety: every call may be made from any thread. A process has at most one session at a
// time. Detaching (or the end of the process, however it ends) gives back everything that the task
// held; what it had open for stores without commit is torn.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hive/error.h>
#include <hive/news.h>

namespace hive {

class FileSystem;
class Mapping;
class Segment;
struct SegmentOptions;

struct AttachOptions {
  std::string machine{};  // empty: $HIVE_MACHINE (set by `hive run`), else "hive"
  int cell = -1;          // -1: $HIVE_CELL (set by `hive run`), else the lowest cell that is up
};

// A cell as this task's own cell sees it.
struct CellView {
  int id = -1;
  bool up = false;
};

namespace lib {
class SessionImpl;
}

class Session {
 public:
  // Makes the calling process a task. Installs handlers for SIGSEGV and SIGBUS that act only on
  // Hive's addresses and pass everything else on to the handlers installed before; sets
  // no_new_privs and a filter that refuses memory calls aimed at Hive's addresses. Blocks for some
  // hundred microseconds; at most five seconds when the cell does not answer.
  // Errors: not_found (no such machine), cell_down, timed_out, version, exhausted, host,
  // busy (this process is attached already).
  static Result<Session> attach(const AttachOptions& options = {});

  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();  // detaches

  int cell() const;               // the cell that this task belongs to
  std::uint64_t task() const;     // machine-wide task id, as `hive ps` shows it
  std::uint64_t epoch() const;    // of the live set; goes up when a cell is lost. No system call.
  std::vector<CellView> cells() const;  // every cell of the machine, by id

  // Readable when there are news (news.h); level-triggered, owned by the session, gone with it.
  int news_descriptor() const;
  // The next one, or none. Does not block. News begin with the attach.
  std::optional<News> next_news();

  // The place of this task in a spanning run (`hive run --span`); 0 of 1 otherwise.
  int span_index() const;
  int span_count() const;
  // The same for all components of one run, different for each run. Good in names.
  std::string span_id() const;

  // Creates a segment of at least `size` bytes (rounded up to pages of 4 KiB) on options.home, all
  // zero. It lives while any task has it open, or until destroyed if options.keep is set.
  // `name`: 1 to 63 bytes, printable, no '/'. Errors: exists, exhausted, bad_argument, cell_down.
  Result<Segment> create(std::string_view name, std::uint64_t size, const SegmentOptions& options);
  Result<Segment> create(std::string_view name, std::uint64_t size);

  // Opens a segment by name wherever its home is. With a `wait`, a name that does not exist yet,
  // or whose home has just failed, is waited for. Errors: not_found, timed_out, cell_down, busy
  // (segments come and go too fast).
  Result<Segment> open(std::string_view name,
                       std::chrono::nanoseconds wait = std::chrono::nanoseconds(0));

  // Memory of the task's own cell, all zero (mapping.h). Errors: bad_argument (no bytes),
  // exhausted (no room for so many addresses, or too many mappings), refused (no firewall),
  // cell_down, timed_out.
  Result<Mapping> map_anonymous(std::uint64_t bytes);

  // The files of the machine (file.h), for as long as the session is attached.
  FileSystem files() const;

 private:
  explicit Session(std::shared_ptr<lib::SessionImpl> impl);
  std::shared_ptr<lib::SessionImpl> impl_;
};

// Short for Session::attach.
inline Result<Session> attach(const AttachOptions& options = {}) {
  return Session::attach(options);
}

}  // namespace hive

// A filer: stamps pages of files on all homes, also through mappings, and syncs them, makes, moves
// and removes names, reads what others have written, and keeps its cell short of frames. What it
// does it logs before and after, outside of Hive; so the judge knows what fsync has acknowledged.

#include <algorithm>
#include <cerrno>
#include <optional>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>

#include "campaign/load/component.h"
#include "campaign/plan/events.h"
#include "campaign/plan/files.h"

namespace hive::campaign {
namespace {

constexpr std::uint32_t versions_of_life = 1'000'000;
constexpr auto pause = std::chrono::microseconds(300);
constexpr std::size_t big_call_bytes = 64 << 10;
constexpr int calls_for_frames = 4;  // in a row: the whole file in a second or two
constexpr int syncs_max = 3;  // each file tells of what has failed once
constexpr int nowhere = -1;   // of an error with a name: on whatever home it lies

class Filer final : public Component {
 public:
  explicit Filer(Setting& setting)
      : Component(setting),
        files_(session().files()),
        version_(static_cast<std::uint32_t>(life()) * versions_of_life) {
    homes_.resize(static_cast<std::size_t>(plan().cells));
    buffer_.resize(big_call_bytes);
  }

  void step() override {
    const std::uint64_t what = random().below(20);
    const int cell = static_cast<int>(random().below(homes_.size()));
    if (what < 6) {
      write(cell);
    } else if (what < 8) {
      store(cell);
    } else if (what < 11) {
      sync(cell);
    } else if (what < 13) {
      (void)look(static_cast<int>(random().below(homes_.size())), cell, std::nullopt);
    } else if (what < 17) {
      change_names();
    } else {
      for (int i = 0; i < calls_for_frames; ++i) need_frames();
    }
    std::this_thread::sleep_for(pause);
  }

  void audit(std::uint64_t fault) override {
    for (int cell = 0; cell < plan().cells; ++cell) {
      OpenHome& home = at(cell);
      if (!home.file) continue;
      const auto got = home.file->pread(std::as_writable_bytes(std::span(page_)), 0);
      log().note("{} {} {} {} {}", event::old_file, fault, cell, home.incarnation,
                 got ? 0 : got.error().sys_errno);
    }
    for (int writer = 0; writer < plan().cells; ++writer) {
      for (int cell = 0; cell < plan().cells; ++cell) (void)look(writer, cell, fault);
      for (std::uint32_t which = 0; which < name_directories; ++which) list(fault, writer, which);
    }
  }

  void go(const std::vector<std::uint64_t>& incarnations) override {
    for (std::uint32_t which = 0; which < name_directories; ++which) {
      const auto made = files_.mkdir(directory_name(self().cell, which), 0755);
      if (!made && made.error().sys_errno != EEXIST) note_error("mkdir", nowhere, made.error());
    }
    for (int cell = 0; cell < plan().cells; ++cell) {
      const auto index = static_cast<std::size_t>(cell);
      OpenHome& home = at(cell);
      home.usable = index < incarnations.size() && incarnations[index] != 0;
      if (!home.usable) continue;
      if (!home.file || home.incarnation != incarnations[index]) {
        home.mapping.reset();
        home.file.reset();
        auto opened = files_.open(file_name(self().cell, cell), O_RDWR | O_CREAT, 0644,
                                  {.home = cell});
        if (!opened) {
          note_error("open", cell, opened.error());
          continue;
        }
        home.file.emplace(std::move(*opened));
        home.incarnation = incarnations[index];
        map(cell);
      }
      // What a disk has refused in the background is told now, and not during the next fault.
      for (int i = 0; i < syncs_max; ++i) {
        if (home.file->fsync()) break;
      }
    }
    big_.reset();
    auto big = files_.open(big_file_name(self().cell), O_RDWR | O_CREAT, 0644,
                           {.home = self().cell});
    if (big && !big->ftruncate(big_file_bytes)) big_.reset();
    if (big) big_.emplace(std::move(*big));
    may_name_ = true;
  }

 private:
  struct OpenHome {
    std::optional<File> file;
    std::optional<Mapping> mapping;
    std::uint64_t incarnation = 0;  // that the file was opened under
    bool usable = false;            // false once something has failed there
  };
  OpenHome& at(int cell) { return homes_[static_cast<std::size_t>(cell)]; }

  void note_error(const char* operation, int cell, const Error& error) {
    const std::uint64_t incarnation = cell == nowhere ? 0 : at(cell).incarnation;
    log().note("{} {} {} {} {}", event::file_error, operation, cell, incarnation,
               error.sys_errno != 0 ? error.sys_errno : EIO);
    if (cell == nowhere) {
      may_name_ = false;
      return;
    }
    at(cell).usable = false;
  }

  void write(int cell) {
    OpenHome& home = at(cell);
    if (!home.usable) return;
    const auto page = static_cast<std::uint32_t>(random().below(written_pages));
    const std::uint32_t version = begin_page(cell, page);
    const auto put = home.file->pwrite(std::as_bytes(std::span(page_)),
                                       static_cast<std::int64_t>(page * file_page_bytes));
    if (!put) return note_error("write", cell, put.error());
    if (*put != file_page_bytes) {  // the rest had no room
      return note_error("write", cell, error(Code::exhausted, "a part", cell, ENOSPC));
    }
    log().note("{} {} {} {} {}", event::stored_page, cell, home.incarnation, page, version);
  }

  // A page that holds the next version, which the log has.
  std::uint32_t begin_page(int cell, std::uint32_t page) {
    const std::uint32_t version = ++version_;
    fill_file_page(page_, {self().cell, cell, page}, version);
    log().note("{} {} {} {} {}", event::storing, cell, at(cell).incarnation, page, version);
    return version;
  }

  void map(int cell) {
    OpenHome& home = at(cell);
    constexpr std::int64_t size = file_pages * file_page_bytes;
    const auto info = home.file->fstat();
    if (!info) return note_error("fstat", cell, info.error());
    if (info->size < static_cast<std::uint64_t>(size)) {
      if (auto done = home.file->ftruncate(size); !done) {
        return note_error("ftruncate", cell, done.error());
      }
    }
    auto mapping = home.file->mmap(mapped_pages * file_page_bytes, PROT_READ | PROT_WRITE,
                                   MAP_SHARED, written_pages * file_page_bytes);
    if (!mapping) return note_error("mmap", cell, mapping.error());
    home.mapping.emplace(std::move(*mapping));
  }

  void store(int cell) {
    OpenHome& home = at(cell);
    if (!home.usable || !home.mapping) return;
    const auto which = static_cast<std::uint32_t>(random().below(mapped_pages));
    const std::uint32_t page = written_pages + which;
    const std::uint32_t version = begin_page(cell, page);
    auto* const words = home.mapping->at<std::uint64_t>(which * file_page_bytes);
    const auto stored = guarded([&] { std::copy(page_.begin(), page_.end(), words); });
    if (!stored) return note_error("store", cell, stored.error());
    log().note("{} {} {} {} {}", event::stored_page, cell, home.incarnation, page, version);
  }

  void sync(int cell) {
    OpenHome& home = at(cell);
    if (!home.usable) return;
    log().note("{} {} {}", event::syncing, cell, home.incarnation);
    const auto done = home.file->fsync();
    if (!done) return note_error("fsync", cell, done.error());
    log().note("{} {} {}", event::synced, cell, home.incarnation);
  }

  // Of the file of any writer. Without a `fault` only what is of another file is noted.
  bool look(int writer, int cell, std::optional<std::uint64_t> fault) {
    if (!fault && !at(cell).usable) return false;
    auto file = files_.open(file_name(writer, cell), O_RDONLY);
    if (!file) return look_failed(writer, cell, fault, file.error());
    for (std::uint32_t page = 0; page < file_pages; ++page) {
      const FilePlace place{writer, cell, page};
      page_ = {};
      const auto got = file->pread(std::as_writable_bytes(std::span(page_)),
                                   static_cast<std::int64_t>(page * file_page_bytes));
      if (!got) return look_failed(writer, cell, fault, got.error());
      std::uint32_t least = ~0U;
      std::uint32_t most = 0;
      for (std::size_t i = 0; i < page_.size(); ++i) {
        const auto version = file_version(place, i, page_[i]);
        if (!version) {
          log().note("{} {} {} {} {} {:x}", event::foreign, writer, cell, page, i, page_[i]);
          return false;
        }
        least = std::min(least, *version);
        most = std::max(most, *version);
      }
      if (!fault) continue;
      log().note("{} {} {} {} {} {} {}", event::file_page, *fault, writer, cell, page, least,
                 most);
    }
    return true;
  }
  bool look_failed(int writer, int cell, std::optional<std::uint64_t> fault, const Error& error) {
    if (fault) {
      log().note("{} {} {} {} !{}", event::file_page, *fault, writer, cell, error.sys_errno);
    } else if (error.sys_errno != ENOENT) {  // it is there once its writer has begun
      note_error("look", cell, error);
    }
    return false;
  }

  void list(std::uint64_t fault, int writer, std::uint32_t which) {
    const auto listed = files_.readdir(directory_name(writer, which));
    if (!listed) {
      log().note("{} {} {} {} !{}", event::names, fault, writer, which, listed.error().sys_errno);
      return;
    }
    std::uint32_t mask = 0;
    for (const DirectoryEntry& entry : listed->entries) {
      if (entry.name.size() == 2) mask |= 1U << static_cast<unsigned>(entry.name[1] - '0');
    }
    log().note("{} {} {} {} {}", event::names, fault, writer, which, mask);
  }

  // Which are there, nobody has to know: both outcomes are logged.
  void change_names() {
    if (!may_name_) return;
    constexpr std::uint64_t all = name_directories * names_of_directory;
    const auto name = static_cast<std::uint32_t>(random().below(all));
    const auto other = static_cast<std::uint32_t>(random().below(all));
    const std::string path = name_in(self().cell, name);
    switch (random().below(3)) {
      case 0: {
        log().note("{} make {} {}", event::naming, name, name);
        const auto made = files_.open(path, O_RDWR | O_CREAT | O_EXCL, 0644,
                                      {.home = static_cast<int>(random().below(homes_.size()))});
        return named("make", name, name, made ? Result<void>() : fail(made.error()), EEXIST);
      }
      case 1:
        log().note("{} remove {} {}", event::naming, name, name);
        return named("remove", name, name, files_.unlink(path), ENOENT);
      default:
        if (name == other) return;
        log().note("{} move {} {}", event::naming, name, other);
        return named("move", name, other, files_.rename(path, name_in(self().cell, other)),
                     ENOENT);
    }
  }
  // `refusal`: what it may be told because of what is there already, or is not.
  void named(const char* operation, std::uint32_t name, std::uint32_t other,
             const Result<void>& done, int refusal) {
    if (!done && done.error().sys_errno != refusal) {
      return note_error(operation, nowhere, done.error());
    }
    log().note("{} {} {} {} {}", event::named, operation, name, other, done ? "done" : "refused");
  }

  // Reads on and on in what is larger than the cell's memory, and stores into some of it.
  void need_frames() {
    if (!big_ || !needs_frames(self().cell) || !at(self().cell).usable) return;
    big_at_ = (big_at_ + big_call_bytes) % big_file_bytes;
    const auto offset = static_cast<std::int64_t>(big_at_);
    const auto bytes = std::span(buffer_);
    const bool stores = random().one_in(4);
    const auto done = stores ? big_->pwrite(bytes, offset) : big_->pread(bytes, offset);
    if (done) return;
    note_error("big", self().cell, done.error());
    big_.reset();
  }

  FileSystem files_;
  std::vector<OpenHome> homes_;
  FilePage page_{};
  std::uint32_t version_;
  bool may_name_ = false;
  std::optional<File> big_;
  std::uint64_t big_at_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace

std::unique_ptr<Component> make_filer(Setting& setting) {
  return std::make_unique<Filer>(setting);
}

}  // namespace hive::campaign

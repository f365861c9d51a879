#include "cell/files/notes.h"

#include <array>
#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/disk_fault.h"

namespace hive::cell {
namespace {

std::atomic<std::uint64_t> scratch_count{0};

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

Result<UniqueFd> open_host_folder(int parent, const char* name) {
  if (::mkdirat(parent, name, 0700) != 0 && errno != EEXIST) return fail_errno(errno);
  UniqueFd folder(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!folder) return fail_errno(errno);
  return folder;
}

Result<std::string> read_host_link(int directory, const std::string& name) {
  std::array<char, note_bytes_max + 1> text;
  const ssize_t length = ::readlinkat(directory, name.c_str(), text.data(), text.size());
  if (length < 0) return fail_errno(errno);
  return std::string(text.data(), static_cast<std::size_t>(length));
}

Result<std::vector<std::string>> names_in(int directory, const std::string& name) {
  const int fd = ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(errno);
  const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(fd));
  if (stream == nullptr) {
    const int error = errno;
    ::close(fd);
    return fail_errno(error);
  }
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view text = entry->d_name;
    if (text != "." && text != "..") names.emplace_back(text);
  }
  if (errno != 0) return fail_errno(errno);
  return names;
}

Result<Notes> Notes::open(int parent, const char* name) {
  auto directory = open_host_folder(parent, name);
  if (!directory) return fail(directory.error());
  Notes notes(std::move(*directory));
  const auto left = notes.names();
  if (!left) return fail(left.error());
  for (const std::string& one : *left) {
    if (one.front() == '.') ::unlinkat(notes.directory(), one.c_str(), 0);
  }
  return notes;
}

Result<void> Notes::write(const std::string& name, const std::string& text) {
  const std::string fresh = scratch();
  file_step();
  if (const int refused = machine::disk_refuses(machine::DiskUse::make); refused != 0) {
    return fail_errno(refused);
  }
  if (::symlinkat(text.c_str(), directory(), fresh.c_str()) != 0) return fail_errno(errno);
  file_step();
  if (::renameat(directory(), fresh.c_str(), directory(), name.c_str()) == 0) return {};
  const int error = errno;
  ::unlinkat(directory(), fresh.c_str(), 0);
  return fail_errno(error);
}

Result<void> Notes::erase(const std::string& name) {
  file_step();
  if (::unlinkat(directory(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return fail_errno(errno);
}

Result<void> Notes::sync() const {
  if (::fsync(directory()) == 0) return {};
  return fail_errno(errno);
}

std::string Notes::scratch() const {
  return ".new" + std::to_string(scratch_count.fetch_add(1, std::memory_order_relaxed));
}

}  // namespace hive::cell

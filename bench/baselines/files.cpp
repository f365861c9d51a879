// Files of Linux, in its own cache.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "baselines.h"
#include "timing.h"

namespace baseline {
namespace {

constexpr std::size_t file_bytes = 4 << 20;
constexpr std::size_t call_bytes = 64 << 10;
constexpr std::size_t page_bytes = 4096;
constexpr const char* memory_folder = "/dev/shm";
constexpr const char* disk_folder = "/var/tmp";

// A file of 4 MiB that has been written, and goes with this.
class File {
 public:
  explicit File(const char* folder) : path_(std::string(folder) + "/hive-baseline-XXXXXX") {
    fd_ = ::mkostemp(path_.data(), O_CLOEXEC);
    if (fd_ >= 0) sound_ = write_all();
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  bool sound() const { return fd_ >= 0 && sound_; }
  int fd() const { return fd_; }
  const char* path() const { return path_.c_str(); }

  bool read_all() {
    bool good = ::lseek(fd_, 0, SEEK_SET) == 0;
    for (std::size_t at = 0; at < file_bytes; at += call_bytes) {
      good = good && ::read(fd_, buffer_.data(), call_bytes) == static_cast<ssize_t>(call_bytes);
    }
    return good;
  }
  bool write_all() {
    bool good = ::lseek(fd_, 0, SEEK_SET) == 0;
    for (std::size_t at = 0; at < file_bytes; at += call_bytes) {
      good = good && ::write(fd_, buffer_.data(), call_bytes) == static_cast<ssize_t>(call_bytes);
    }
    return good;
  }
  bool read_page(std::size_t page) {
    const auto at = static_cast<off_t>(page * page_bytes);
    return ::pread(fd_, buffer_.data(), page_bytes, at) == static_cast<ssize_t>(page_bytes);
  }

 private:
  std::string path_;
  int fd_ = -1;
  bool sound_ = false;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(call_bytes, std::byte{1});
};

// Of the two file systems, the faster.
template <class Operation>
double faster(const Arguments& arguments, Operation operation) {
  double best = -1;
  for (const char* folder : {memory_folder, disk_folder}) {
    File file(folder);
    if (!file.sound()) continue;
    bool good = true;
    const double ns = median_batch_ns(arguments.count, [&] { good = good && operation(file); });
    if (good && (best < 0 || ns < best)) best = ns;
  }
  return best;
}

}  // namespace

double file_read(const Arguments& arguments) {
  return faster(arguments, [](File& file) { return file.read_all(); });
}

double file_pread(const Arguments& arguments) {
  std::minstd_rand places(1);
  return faster(arguments,
                [&](File& file) { return file.read_page(places() % (file_bytes / page_bytes)); });
}

double file_write(const Arguments& arguments) {
  File file(memory_folder);
  if (!file.sound()) return -1;
  std::vector<double> figures;
  for (std::int64_t i = 0; i < arguments.count; ++i) {
    if (::ftruncate(file.fd(), 0) != 0) return -1;
    const double begin = now_ns();
    if (!file.write_all()) return -1;
    figures.push_back(now_ns() - begin);
  }
  return median_of(std::move(figures));
}

double file_open(const Arguments& arguments) {
  return faster(arguments, [](File& file) {
    const int fd = ::open(file.path(), O_RDONLY | O_CLOEXEC);
    return fd >= 0 && ::close(fd) == 0;
  });
}

double file_stat(const Arguments& arguments) {
  return faster(arguments, [](File& file) {
    struct stat about {};
    return ::fstat(file.fd(), &about) == 0;
  });
}

}  // namespace baseline

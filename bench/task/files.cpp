#include "files.h"

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>

#include "timing.h"

namespace bench {
namespace {

constexpr std::size_t file_bytes = 4 << 20;
constexpr std::size_t call_bytes = 64 << 10;
constexpr std::size_t page_bytes = 4096;
constexpr int names_max = 1000;

// A folder on that cell with a file of 4 MiB in it; both go with this.
class Folder {
 public:
  Folder(const hive::Session& session, int home) : files_(session.files()), home_(home) {
    const std::string stem = "/bench-" + std::to_string(session.task()) + "-";
    for (int i = 0; i < names_max; ++i) {
      folder_ = stem + std::to_string(i);
      must("mkdir", files_.mkdir(folder_));
      if (must("stat", files_.stat(folder_)).home == home) break;  // it lies where its name does
      must("rmdir", files_.rmdir(folder_));
    }
    hive::File file = open(O_RDWR | O_CREAT);
    write_all(file);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    (void)files_.unlink(path());
    (void)files_.rmdir(folder_);
  }

  hive::File open(int flags) {
    return must("open", files_.open(path(), flags, 0600, {.home = home_}));
  }
  void read_all(hive::File& file) {
    must("lseek", file.lseek(0, SEEK_SET));
    for (std::size_t at = 0; at < file_bytes; at += call_bytes) {
      if (must("read", file.read(buffer_)) != call_bytes) std::exit(1);
    }
  }
  void write_all(hive::File& file) {
    must("lseek", file.lseek(0, SEEK_SET));
    for (std::size_t at = 0; at < file_bytes; at += call_bytes) {
      if (must("write", file.write(buffer_)) != call_bytes) std::exit(1);
    }
  }
  void read_page(hive::File& file, std::size_t page) {
    const auto at = static_cast<std::int64_t>(page * page_bytes);
    const auto out = std::span(buffer_).first(page_bytes);
    if (must("pread", file.pread(out, at)) != page_bytes) std::exit(1);
  }

 private:
  std::string path() const { return folder_ + "/file"; }

  hive::FileSystem files_;
  const int home_;
  std::string folder_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(call_bytes, std::byte{1});
};

}  // namespace

double file_figure(const hive::Session& session, std::string_view what, int home, int count) {
  Folder folder(session, home);
  hive::File file = folder.open(O_RDWR);
  if (what == "file-read") return median_batch_ns(count, [&] { folder.read_all(file); });
  if (what == "file-pread") {
    std::minstd_rand places(1);
    return median_batch_ns(
        count, [&] { folder.read_page(file, places() % (file_bytes / page_bytes)); });
  }
  if (what == "file-write") {
    std::vector<double> figures;
    for (int i = 0; i < count; ++i) {
      must("ftruncate", file.ftruncate(0));
      const double begin = now_ns();
      folder.write_all(file);
      figures.push_back(now_ns() - begin);
    }
    return median_of(std::move(figures));
  }
  if (what == "file-open") {
    return median_batch_ns(count, [&] { const hive::File again = folder.open(O_RDONLY); });
  }
  if (what == "file-stat") return median_batch_ns(count, [&] { must("fstat", file.fstat()); });
  return -1;
}

}  // namespace bench

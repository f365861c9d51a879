#include "campaign/driver/work_directory.h"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "campaign/driver/machine.h"

namespace hive::campaign {
namespace {

namespace fs = std::filesystem;

constexpr const char* prefix = "hive-campaign-";

std::string parent_directory() {
  const char* parent = std::getenv("TMPDIR");
  return parent != nullptr && *parent != '\0' ? parent : "/tmp";
}

std::string lock_file(const std::string& dir) { return dir + "/lock"; }

// Invalid when there is no such file (`flags` without O_CREAT), or when somebody has it.
Descriptor take_lock(const std::string& dir, int flags) {
  Descriptor file(::open(lock_file(dir).c_str(), O_RDWR | O_CLOEXEC | flags, 0600));
  if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) file.reset();
  return file;
}

void take_down(const std::string& dir) {
  const Undisturbed now;
  std::error_code error;
  for (const auto& round : fs::directory_iterator(dir, error)) {
    if (fs::exists(round.path() / "run", error)) Machine::shut_down(round.path().string());
  }
  fs::remove_all(dir, error);
}

void remove_what_was_left() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent_directory(), error)) {
    const std::string dir = entry.path().string();
    if (entry.path().filename().string().rfind(prefix, 0) != 0) continue;
    if (const Descriptor lock = take_lock(dir, 0)) take_down(dir);
  }
}

}  // namespace

WorkDirectory::WorkDirectory() {
  remove_what_was_left();
  path_ = parent_directory() + "/" + prefix + "XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) {
    throw std::runtime_error("no directory can be made for the campaign in " + parent_directory());
  }
  lock_ = take_lock(path_, O_CREAT);
}

WorkDirectory::~WorkDirectory() {
  std::error_code error;
  if (!kept_) fs::remove_all(path_, error);
}

void WorkDirectory::keep(int rounds) {
  kept_ = true;
  std::error_code error;
  for (int round = 1; round <= rounds; ++round) {
    fs::remove_all(path_ + "/" + std::to_string(round) + "/run", error);
  }
  fs::remove(lock_file(path_), error);
}

}  // namespace hive::campaign

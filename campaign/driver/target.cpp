#include "campaign/driver/target.h"

#include <array>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace hive::campaign {
namespace {

constexpr std::size_t process_text_max = std::size_t{1} << 20;

Words command_line(int pid) {
  const std::string text = read_of_process(pid, "cmdline");
  Words words;
  for (std::size_t at = 0; at < text.size();) {
    words.emplace_back(text.c_str() + at);
    at += words.back().size() + 1;
  }
  return words;
}

}  // namespace

std::string read_of_process(int pid, const char* what) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + what;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> bytes;
  while (file && text.size() < process_text_max) {
    const ssize_t n = ::read(file.get(), bytes.data(), bytes.size());
    if (n <= 0) break;
    text.append(bytes.data(), static_cast<std::size_t>(n));
  }
  return text;
}

Target Target::pin(int pid, const std::function<bool(const Words&)>& is_it) {
  Target target;
  if (pid <= 1 || !is_it(command_line(pid))) return target;
  auto pidfd = std::make_shared<Descriptor>(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!*pidfd || !is_it(command_line(pid))) return target;
  target.pid_ = pid;
  target.pidfd_ = std::move(pidfd);
  return target;
}

Target Target::find(const std::function<bool(const Words&)>& is_it) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (Target target = pin(std::atoi(name.c_str()), is_it)) return target;
  }
  return {};
}

bool Target::signal(int number) const {
  return pidfd_ && *pidfd_ &&
         ::syscall(SYS_pidfd_send_signal, pidfd_->get(), number, nullptr, 0) == 0;
}

std::string base_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string option_value(const Words& words, const std::string& option) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == option) return words[i + 1];
  }
  return "";
}

bool has_option(const Words& words, const std::string& first, const std::string& second) {
  return option_value(words, first) == second;
}

}  // namespace hive::campaign

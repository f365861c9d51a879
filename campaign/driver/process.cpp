#include "campaign/driver/process.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "campaign/plan/clock.h"

namespace hive::campaign {
namespace {

std::atomic<int> caught{0};
std::atomic<int> undisturbed{0};
constexpr int poll_ms_max = 50;  // an interrupt that comes just before a poll is seen after this

std::pair<Descriptor, Descriptor> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error("no pipe can be made");
  return {Descriptor(fds[0]), Descriptor(fds[1])};
}

class Actions {
 public:
  Actions(int in, int out, const std::string& error_file) {
    ::posix_spawn_file_actions_init(&files_);
    ::posix_spawn_file_actions_adddup2(&files_, in, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&files_, out, STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&files_, STDERR_FILENO, error_file.c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawnattr_init(&attributes_);
    // Ctrl-C is for the driver, which takes everything down in order.
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP);
  }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  ~Actions() {
    ::posix_spawn_file_actions_destroy(&files_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t attributes_{};
};

std::vector<char*> pointers(const Words& words) {
  std::vector<char*> list;
  for (const std::string& word : words) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

Words whole_environment(const Words& more) {
  Words all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    bool replaced = false;
    for (const std::string& other : more) {
      const auto name_end = other.find('=') + 1;
      replaced |= text.substr(0, name_end) == std::string_view(other).substr(0, name_end);
    }
    if (!replaced) all.emplace_back(text);
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

int milliseconds_until(std::uint64_t deadline_ns) {
  const std::uint64_t now = monotonic_ns();
  if (now >= deadline_ns) return 0;
  const std::uint64_t ms = (deadline_ns - now) / 1'000'000 + 1;
  return ms > poll_ms_max ? poll_ms_max : static_cast<int>(ms);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int number) { caught.store(number); };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int interrupted() { return undisturbed.load() != 0 ? 0 : caught.load(); }
Undisturbed::Undisturbed() { undisturbed.fetch_add(1); }
Undisturbed::~Undisturbed() { undisturbed.fetch_sub(1); }

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

void Descriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Child::Child(const Words& words, const Words& environment, const std::string& error_file) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  const Words all = whole_environment(environment);
  Actions actions(in_read.get(), out_write.get(), error_file);
  const int refused =
      ::posix_spawn(&pid_, words.front().c_str(), &actions.files_, &actions.attributes_,
                    pointers(words).data(), pointers(all).data());
  if (refused != 0) {
    throw std::runtime_error(words.front() + " can not be started: " + std::strerror(refused));
  }
  in_ = std::move(in_write);
  out_ = std::move(out_read);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      ended_(std::exchange(other.ended_, true)),
      status_(other.status_),
      in_(std::move(other.in_)),
      out_(std::move(other.out_)),
      pending_(std::move(other.pending_)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(ended_, other.ended_);
  std::swap(status_, other.status_);
  std::swap(in_, other.in_);
  std::swap(out_, other.out_);
  std::swap(pending_, other.pending_);
  return *this;
}

Child::~Child() {
  if (pid_ <= 0 || ended_) return;
  ::kill(pid_, SIGKILL);
  ::kill(pid_, SIGCONT);
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
}

bool Child::tell(const std::string& line) {
  const std::string text = line + "\n";
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(in_.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR && interrupted() == 0) continue;
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

std::optional<std::string> Child::line(std::uint64_t deadline_ns) {
  while (interrupted() == 0) {
    if (const auto end = pending_.find('\n'); end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    const int wait_ms = milliseconds_until(deadline_ns);
    pollfd wait = {out_.get(), POLLIN, 0};
    const int ready = ::poll(&wait, 1, wait_ms);
    if (ready <= 0) {
      if (monotonic_ns() >= deadline_ns) return std::nullopt;
      continue;
    }
    std::array<char, 65536> bytes;
    const ssize_t n = ::read(out_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    pending_.append(bytes.data(), static_cast<std::size_t>(n));
  }
  return std::nullopt;
}

bool Child::has_ended() {
  if (!ended_ && pid_ > 0) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

bool Child::wait(std::uint64_t deadline_ns) {
  while (!has_ended()) {
    if (interrupted() != 0 || monotonic_ns() >= deadline_ns) return false;
    ::usleep(500);
  }
  return true;
}

void Child::kill(int signal) {
  if (!has_ended()) ::kill(pid_, signal);
}

Done run(const Words& words, const Words& environment, const std::string& error_file,
         std::uint64_t timeout_ns) {
  const std::uint64_t deadline_ns = monotonic_ns() + timeout_ns;
  Child child(words, environment, error_file);
  Done done;
  while (auto line = child.line(deadline_ns)) done.output += *line + "\n";
  if (child.wait(deadline_ns)) done.status = exit_status(child.status());
  return done;
}

int exit_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace hive::campaign

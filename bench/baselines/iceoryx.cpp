// hive-baseline-iceoryx WAY [--on CPU] [--other CPU] [--count N]: how long a record of 64 bytes
// takes from one process to another through iceoryx, in nanoseconds: half of there and back. WAY
// is spin, where both sides look for the next record all the time, or sleep, where both wait in a
// WaitSet.
//
// Starts iceoryx's daemon for it and ends it again; one that runs already is used and left alone.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/popo/publisher.hpp>
#include <iceoryx_posh/popo/subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "process.h"
#include "timing.h"

namespace baseline {
namespace {

constexpr int daemon_start_ms = 20'000;
constexpr int reply_ms = 10'000;
constexpr std::uint64_t stop_word = ~std::uint64_t{0};

struct Record {
  std::uint64_t words[8] = {};
};

struct Way {
  bool sleeps = false;
  int own_processor = -1;
  int other_processor = -1;
  std::int64_t count = 1000;
};

// iox-roudi, in a process of its own, up and ready.
class Daemon {
 public:
  Daemon() {
    int output[2];
    if (::pipe2(output, O_CLOEXEC) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      ::dup2(output[1], STDOUT_FILENO);
      ::dup2(output[1], STDERR_FILENO);
      ::execlp("iox-roudi", "iox-roudi", "-l", "warning", static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(output[1]);
    ready_ = pid_ > 0 && await_ready(output[0]);
    output_ = output[0];
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    if (output_ >= 0) ::close(output_);
  }
  bool ready() const { return ready_; }

 private:
  // Also when another one is there already, which then is the one to use.
  static bool await_ready(int fd) {
    std::string said;
    pollfd wait{fd, POLLIN, 0};
    while (::poll(&wait, 1, daemon_start_ms) > 0) {
      char text[512];
      const ssize_t n = ::read(fd, text, sizeof text);
      if (n <= 0) break;
      said.append(text, static_cast<std::size_t>(n));
      if (said.find("RouDi is ready") != std::string::npos) return true;
      if (said.find("is RouDi still running") != std::string::npos) return true;
    }
    std::fprintf(stderr, "iox-roudi: %s\n", said.substr(0, said.find('\n')).c_str());
    return false;
  }

  pid_t pid_ = -1;
  int output_ = -1;
  bool ready_ = false;
};

// One side: what it sends on, and what it gets.
class Side {
 public:
  Side(const char* out, const char* in, bool sleeps)
      : publisher_({"Hive", "Bench", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, out)}),
        subscriber_({"Hive", "Bench", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, in)}),
        sleeps_(sleeps) {
    if (!sleeps_) return;
    const bool waits =
        !waitset_.attachState(subscriber_, iox::popo::SubscriberState::HAS_DATA).has_error();
    if (!waits) std::abort();
  }
  bool connected() {
    return publisher_.hasSubscribers() &&
           subscriber_.getSubscriptionState() == iox::SubscribeState::SUBSCRIBED;
  }
  void send(const Record& record) {
    publisher_.publishCopyOf(record).or_else([](auto&) { std::abort(); });
  }
  Record receive() {
    for (;;) {
      auto taken = subscriber_.take();
      if (!taken.has_error()) return **taken;
      if (sleeps_) {
        (void)waitset_.wait();
      } else {
        relax();
      }
    }
  }

 private:
  iox::popo::Publisher<Record> publisher_;
  iox::popo::Subscriber<Record> subscriber_;
  iox::popo::WaitSet<1> waitset_;
  const bool sleeps_;
};

void await_connection(Side& side) {
  const double deadline = now_ns() + reply_ms * 1e6;
  while (!side.connected()) {
    if (now_ns() > deadline) std::_Exit(1);
    ::usleep(500);
  }
}

[[noreturn]] void answer(const Way& way) {
  {
    iox::runtime::PoshRuntime::initRuntime("hive-bench-pong");
    Side side("pong", "ping", way.sleeps);
    await_connection(side);
    run_on(way.other_processor);
    for (;;) {
      const Record record = side.receive();
      if (record.words[0] == stop_word) break;
      side.send(record);
    }
  }
  std::exit(0);  // not _exit: its end is told to the daemon
}

double ask(const Way& way) {
  iox::runtime::PoshRuntime::initRuntime("hive-bench-ping");
  Side side("ping", "pong", way.sleeps);
  await_connection(side);
  run_on(way.own_processor);
  Record record;
  const double ns = median_batch_ns(way.count, [&] {
    ++record.words[0];
    side.send(record);
    record = side.receive();
  });
  record.words[0] = stop_word;
  side.send(record);
  return ns / 2;
}

// The two in processes of their own, so that this one can end the daemon after both.
int measure(const Way& way) {
  const Daemon daemon;
  if (!daemon.ready()) return 1;
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(
      iox::log::LogLevel::kOff, iox::log::LogLevelOutput::kHideLogLevel);
  const pid_t pong = ::fork();
  if (pong == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    answer(way);
  }
  const pid_t ping = ::fork();
  if (ping == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::printf("%.3f\n", ask(way));
    std::exit(0);
  }
  int status = 0;
  bool good = pong > 0 && ping > 0;
  if (ping > 0) good = ::waitpid(ping, &status, 0) == ping && status == 0 && good;
  if (pong > 0) {
    if (!good) ::kill(pong, SIGKILL);
    good = ::waitpid(pong, &status, 0) == pong && status == 0 && good;
  }
  if (!good) std::fputs("hive-baseline-iceoryx: the two sides did not meet\n", stderr);
  return good ? 0 : 1;
}

int usage() {
  std::fputs("usage: hive-baseline-iceoryx spin|sleep [--on CPU] [--other CPU] [--count N]\n",
             stderr);
  return 2;
}

}  // namespace
}  // namespace baseline

int main(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) return baseline::usage();
  baseline::Way way;
  way.sleeps = std::strcmp(argv[1], "sleep") == 0;
  if (!way.sleeps && std::strcmp(argv[1], "spin") != 0) return baseline::usage();
  for (int i = 2; i + 1 < argc; i += 2) {
    const long long value = std::atoll(argv[i + 1]);
    if (std::strcmp(argv[i], "--on") == 0) {
      way.own_processor = static_cast<int>(value);
    } else if (std::strcmp(argv[i], "--other") == 0) {
      way.other_processor = static_cast<int>(value);
    } else if (std::strcmp(argv[i], "--count") == 0 && value > 0) {
      way.count = value;
    } else {
      return baseline::usage();
    }
  }
  return baseline::measure(way);
}

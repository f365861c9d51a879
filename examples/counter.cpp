// counter: tasks add to two numbers under one mutex; one of them dies while it holds it. The
// others are told, mend what it left half done, and go on.
//
//   hive run --span all -- example-counter 1000
//   hive run --span all -- example-counter 1000 die     the last component dies in the middle
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <hive/hive.h>

namespace {

struct Numbers {  // equal whenever nobody holds the mutex
  std::uint64_t left = 0;
  std::uint64_t right = 0;
};

int complain(const hive::Error& error) {
  std::fprintf(stderr, "counter: %s\n", error.message().c_str());
  return 1;
}

// Whoever finds the mutex broken makes the numbers agree again, and says so by resetting it.
hive::Result<void> mend(hive::Segment& segment, hive::Mutex& mutex) {
  auto numbers = segment.read_as<Numbers>(0);
  if (!numbers) return hive::fail(numbers.error());
  if (numbers->left != numbers->right) {
    std::printf("mended: %llu and %llu\n", static_cast<unsigned long long>(numbers->left),
                static_cast<unsigned long long>(numbers->right));
    numbers->right = numbers->left;
    if (auto put = segment.put_as(0, *numbers); !put) return put;
  }
  return mutex.reset();
}

// The mutex, and the numbers in order.
hive::Result<hive::LockGuard> lock_in_order(hive::Segment& segment, hive::Mutex& mutex) {
  auto held = mutex.guard();
  while (!held && held.error().code == hive::Code::lost) {
    // Several may find it broken at once, and one is to mend: a second mutex, which needs no
    // mending itself.
    auto mending = hive::Mutex::open(segment, "mending");
    if (!mending) return hive::fail(mending.error());
    auto alone = mending->guard();
    if (!alone && alone.error().code == hive::Code::lost) {
      if (auto again = mending->reset(); !again) return hive::fail(again.error());
      continue;
    }
    if (!alone) return hive::fail(alone.error());
    if (mutex.is_broken()) {
      if (auto mended = mend(segment, mutex); !mended) return hive::fail(mended.error());
    }
    alone->unlock();
    held = mutex.guard();
  }
  return held;
}

hive::Result<void> add_one(hive::Segment& segment, hive::Mutex& mutex, bool die) {
  auto held = lock_in_order(segment, mutex);
  if (!held) return hive::fail(held.error());
  auto numbers = segment.read_as<Numbers>(0);
  if (!numbers) return hive::fail(numbers.error());
  ++numbers->left;
  if (auto put = segment.put_as(0, *numbers); !put) return put;
  if (die) std::raise(SIGKILL);
  ++numbers->right;
  return segment.put_as(0, *numbers);
}

// Waits until `expected` components are done, and says what the numbers are.
int watch(hive::Segment& segment, hive::Mutex& mutex, hive::Counter& done,
          std::uint64_t expected) {
  auto so_far = done.get();
  for (int tries = 0; so_far && *so_far < expected && tries < 6000; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    so_far = done.get();
  }
  if (!so_far) return complain(so_far.error());
  // Whoever died may not have been noticed yet by anybody but this lock.
  auto held = lock_in_order(segment, mutex);
  if (!held) return complain(held.error());
  auto numbers = segment.read_as<Numbers>(0);
  if (!numbers) return complain(numbers.error());
  std::printf("left %llu right %llu\n", static_cast<unsigned long long>(numbers->left),
              static_cast<unsigned long long>(numbers->right));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
  auto session = hive::attach();
  if (!session) return complain(session.error());
  const std::string name = "counter-" + session->span_id();
  const bool leads = session->span_index() == 0;
  auto segment = leads ? session->create(name, sizeof(Numbers))
                       : session->open(name, std::chrono::seconds(10));
  if (!segment) return complain(segment.error());
  auto mutex = hive::Mutex::open(*segment, "numbers");
  if (!mutex) return complain(mutex.error());
  const bool dies = argc > 2 && std::strcmp(argv[2], "die") == 0 &&
                    session->span_index() == session->span_count() - 1;
  auto done = hive::Counter::open(*segment, "done");
  if (!done) return complain(done.error());
  const auto parties = static_cast<std::uint32_t>(session->span_count());
  auto all = hive::Barrier::open(*segment, "all", parties);
  if (!all) return complain(all.error());
  // A segment is gone with the last that has it open: nobody begins, and can be ready, before
  // everybody is there.
  if (auto begun = all->arrive_and_wait(); !begun) return complain(begun.error());

  for (int i = 0; i < rounds; ++i) {
    auto added = add_one(*segment, *mutex, dies && i == rounds / 2);
    if (!added) return complain(added.error());
  }
  if (auto counted = done->add(1); !counted) return complain(counted.error());
  std::printf("component %d: done\n", session->span_index());
  // Until all are ready, or one has died, which breaks the barrier: others may be at work then.
  if (auto met = all->arrive_and_wait(); !met && met.error().code != hive::Code::lost) {
    return complain(met.error());
  }
  const std::uint64_t dying = argc > 2 ? 1 : 0;
  return leads ? watch(*segment, *mutex, *done, parties - dying) : 0;
}

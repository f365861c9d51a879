// POSIX: records under a robust mutex, and a plain ring whose readers look by themselves.
// Kinds: records     who gets EOWNERDEAD makes the mutex consistent and goes on
//        mended      and looks through all records first, and mends those that are half done
//        stream
#include <cerrno>
#include <ctime>
#include <memory>

#include <pthread.h>

#include "worker.h"

namespace {

using chaos::Job;
using chaos::Record;

constexpr std::uint64_t ring_length = 64;

struct Shared {
  pthread_mutex_t mutex;
  Record records[chaos::records];
  // As in hive/ring.h: claimed before the stores, published after them.
  chaos::Word claimed;
  chaos::Word published;
  Record ring[ring_length];
};

Shared* map_shared(const Job& job, int flags) {
  const int fd = ::shm_open(job.name.c_str(), O_RDWR | flags, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof(Shared)) != 0) std::exit(2);
  void* at = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) std::exit(2);
  return static_cast<Shared*>(at);
}

Shared* keep(const Job& job) {
  Shared* shared = map_shared(job, O_CREAT | O_EXCL);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->mutex, &attributes);
  return shared;
}

int lock(pthread_mutex_t& mutex) {
  timespec until{};
  ::clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += std::chrono::duration_cast<std::chrono::seconds>(chaos::patience).count();
  return ::pthread_mutex_timedlock(&mutex, &until);
}

void update(Job& job) {
  Shared* shared = map_shared(job, 0);
  const bool mends = job.kind == "mended";
  job.ready();
  while (!job.stopped()) {
    const int got = lock(shared->mutex);
    if (got == ETIMEDOUT) {
      job.self().stuck.fetch_add(1);
      continue;
    }
    if (got == EOWNERDEAD) {
      job.self().told.fetch_add(1);
      for (Record& record : shared->records) {
        if (mends && !chaos::is_whole(record)) chaos::store(record.words, chaos::record_of(1));
      }
      ::pthread_mutex_consistent(&shared->mutex);
    }
    Record& record = shared->records[job.pick()];
    if (!chaos::is_whole(record)) job.self().torn.fetch_add(1);
    chaos::store(record.words, chaos::record_of(job.version()));
    ::pthread_mutex_unlock(&shared->mutex);
    job.self().steps.fetch_add(1);
  }
}

void write_ring(Job& job, Shared& shared) {
  while (!job.stopped()) {
    const std::uint64_t at = shared.published.load();
    shared.claimed.store(at + 1);
    chaos::store(shared.ring[at % ring_length].words, chaos::record_of(job.version()));
    shared.published.store(at + 1);
    job.self().steps.fetch_add(1);
    std::this_thread::yield();
  }
}

void read_ring(Job& job, Shared& shared) {
  std::uint64_t at = shared.published.load();
  auto news = std::chrono::steady_clock::now();
  while (!job.stopped()) {
    if (shared.published.load() == at) {
      if (std::chrono::steady_clock::now() - news > chaos::patience) {
        job.self().stuck.fetch_add(1);
        news = std::chrono::steady_clock::now();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      continue;
    }
    const Record record = shared.ring[at % ring_length];
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (shared.claimed.load() > at + ring_length) {
      at = shared.published.load();  // overtaken
      continue;
    }
    if (!chaos::is_whole(record)) job.self().torn.fetch_add(1);
    ++at;
    news = std::chrono::steady_clock::now();
    job.self().steps.fetch_add(1);
  }
}

void stream(Job& job) {
  Shared* shared = map_shared(job, 0);
  job.ready();
  job.slot == 0 ? write_ring(job, *shared) : read_ring(job, *shared);
}

}  // namespace

int main(int argc, char** argv) {
  return chaos::run(argc, argv, keep,
                    [](Job& job) { job.kind == "stream" ? stream(job) : update(job); });
}

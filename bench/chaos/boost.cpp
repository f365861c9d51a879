// Boost.Interprocess: records under an interprocess_mutex, and a message_queue.
// Kinds: records, stream.
#include <memory>

#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>

#include "worker.h"

namespace {

namespace ipc = boost::interprocess;
using chaos::Job;
using chaos::Record;

constexpr std::size_t queue_length = 64;

struct Shared {
  ipc::interprocess_mutex mutex;
  Record records[chaos::records];
};

auto deadline() {
  return boost::posix_time::microsec_clock::universal_time() +
         boost::posix_time::milliseconds(chaos::patience.count());
}

std::shared_ptr<void> keep(const Job& job) {
  if (job.kind == "stream") {
    return std::make_shared<ipc::message_queue>(ipc::create_only, job.name.c_str(), queue_length,
                                                sizeof(Record));
  }
  auto memory =
      std::make_shared<ipc::managed_shared_memory>(ipc::create_only, job.name.c_str(), 1 << 16);
  memory->construct<Shared>("shared")();
  return memory;
}

void update(Job& job) {
  ipc::managed_shared_memory memory(ipc::open_only, job.name.c_str());
  Shared* shared = memory.find<Shared>("shared").first;
  job.ready();
  while (!job.stopped()) {
    if (!shared->mutex.timed_lock(deadline())) {
      job.self().stuck.fetch_add(1);
      continue;
    }
    Record& record = shared->records[job.pick()];
    if (!chaos::is_whole(record)) job.self().torn.fetch_add(1);
    chaos::store(record.words, chaos::record_of(job.version()));
    shared->mutex.unlock();
    job.self().steps.fetch_add(1);
  }
}

void stream(Job& job) {
  ipc::message_queue queue(ipc::open_only, job.name.c_str());
  job.ready();
  while (!job.stopped()) {
    Record record{};
    if (job.slot == 0) {
      record = chaos::record_of(job.version());
      if (!queue.timed_send(&record, sizeof record, 0, deadline())) {
        job.self().stuck.fetch_add(1);
        continue;
      }
    } else {
      std::size_t got = 0;
      unsigned priority = 0;
      if (!queue.timed_receive(&record, sizeof record, got, priority, deadline())) {
        job.self().stuck.fetch_add(1);
        continue;
      }
      if (!chaos::is_whole(record)) job.self().torn.fetch_add(1);
    }
    job.self().steps.fetch_add(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return chaos::run(argc, argv, keep,
                    [](Job& job) { job.kind == "stream" ? stream(job) : update(job); });
}

// What the firewall costs at the home: calls on the page tables of another cell's kernel, on pages
// that are taken from the home like those of any segment and given back to it.

#include "cell/diagnostics/measure.h"
#include "cell/diagnostics/measure_batches.h"

namespace hive::cell {
namespace {

constexpr const char* scratch_name = "hive.bench.scratch";

// A client of the home that stands for the other kernel, for as long as it is measured. Its
// segment goes with it, and the home cleans the pages as always.
class Stand {
 public:
  Stand(Home& home, ClientId client) : home_(home), client_(client) {}
  Stand(const Stand&) = delete;
  Stand& operator=(const Stand&) = delete;
  ~Stand() { home_.remove_client(client_, Leave::detached); }

 private:
  Home& home_;
  const ClientId client_;
};

}  // namespace

Result<double> Measure::firewall(const Job& job, bool with_take_back) {
  const auto space = parts_.clients.space_of_kernel(job.peer);
  if (space == nullptr)
    return fail(Code::not_found, "that cell has not mapped this node", job.peer);
  ClientInfo info;
  info.cell = job.peer;
  info.kind = ClientKind::kernel;
  const auto client = parts_.home.add_client(info, space);
  if (!client) return fail(client.error());
  const Stand stand(parts_.home, *client);
  const auto scratch =
      parts_.home.create_segment(*client, scratch_name, job.pages * machine::page_bytes, false);
  if (!scratch) return fail(scratch.error());
  // Through the home, so that it knows that somebody has had these pages.
  if (auto given = parts_.home.give(*client, scratch->id, 0, job.pages); !given) {
    return fail(given.error());
  }
  return with_take_back ? take_back(*space, scratch->pages, job.count)
                        : open_and_close(*space, scratch->pages, job.count);
}

Result<double> Measure::open_and_close(ClientSpace& space, machine::PageRange pages,
                                       std::int64_t count) {
  Error what;
  const double ns = median_batch_ns(count, [&] {
    auto done = space.open(pages);
    if (done) done = space.close(pages);
    if (!done) what = done.error();
    return done.has_value();
  });
  if (ns < 0) return fail(what);
  return ns;
}

// Only the taking back counts; then the pages get new memory and are given again.
Result<double> Measure::take_back(ClientSpace& space, machine::PageRange pages,
                                  std::int64_t count) {
  std::vector<double> figures;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t begin = now_ns();
    auto done = parts_.memory.take_back(pages);
    figures.push_back(static_cast<double>(now_ns() - begin));
    space.forget(pages);
    if (done) done = parts_.memory.refill(pages);
    if (!done) return fail(done.error());
    if (const auto given = space.give(pages); !given) return fail(given.error());
  }
  return median_of(std::move(figures));
}

// A loan, and its return: the frames are open to this kernel, and renewed when they are back.
Result<double> Measure::borrow_and_return(const Job& job) {
  Error what;
  const double ns = median_batch_ns(job.count, [&] {
    const auto got = parts_.borrowed.borrow(job.pages);
    if (!got) what = got.error();
    if (got && *got < job.pages) what = error(Code::exhausted, "fewer frames than were asked for");
    parts_.borrowed.return_spare();
    return got && *got == job.pages;
  });
  if (ns < 0) return fail(what);
  return ns;
}

}  // namespace hive::cell

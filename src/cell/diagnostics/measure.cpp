#include "cell/diagnostics/measure.h"

#include <array>
#include <string>

#include "cell/boot/opcodes.h"
#include "cell/diagnostics/measure_batches.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t call_timeout_ns = ns_per_s;

struct Small {
  static constexpr std::uint32_t type = type_name("BM64");
  TypeTag tag;
  std::array<std::uint64_t, 7> payload{};
};
static_assert(sizeof(Small) == 64);

struct Large {
  static constexpr std::uint32_t type = type_name("BM4K");
  TypeTag tag;
  std::array<std::uint64_t, 511> payload{};
};
static_assert(sizeof(Large) == 4096);

struct Element {
  static constexpr std::uint32_t type = type_name("BMLS");
  TypeTag tag;
  std::array<std::uint64_t, 6> payload{};
  std::uint64_t next = 0;
};
static_assert(sizeof(Element) == 64);

template <class T>
std::uint64_t address_of(const T* object) {
  return reinterpret_cast<std::uint64_t>(object);
}

}  // namespace

Result<Measure::Json> Measure::run(const Json& request) {
  const std::string name = request.at("name").get<std::string>();
  if (name == "spin") {
    parts_.rpc.set_spin(request.at("on").get<bool>());
    return Json{{"ok", true}};
  }
  if (name == "publish") {
    const auto at = publish();
    if (!at) return fail(at.error());
    return Json{{"ok", true}, {"small", at->small}, {"large", at->large}, {"list", at->list}};
  }
  const auto job = read_job(request);
  if (!job) return fail(job.error());
  const auto ns = run_job(name, *job);
  if (!ns) return fail(ns.error());
  return Json{{"ok", true}, {"ns", *ns}};
}

Result<Measure::Job> Measure::read_job(const Json& request) const {
  Job job;
  job.peer = request.at("peer").get<CellId>();
  job.count = request.at("count").get<std::int64_t>();
  job.address = request.value("address", std::uint64_t{0});
  const auto pages = request.value("pages", std::int64_t{1});
  if (job.peer < 0 || job.peer >= static_cast<CellId>(parts_.layout.cells) || job.count < 1 ||
      job.count > measure_count_max || pages < 1 || pages > measure_pages_max) {
    return fail(Code::bad_argument, "a number of the measurement is out of range");
  }
  job.pages = static_cast<std::uint32_t>(pages);
  return job;
}

Result<double> Measure::run_job(const std::string& name, const Job& job) {
  if (name == "rpc.null") return calls(job, op_null);
  if (name == "rpc.queued") return calls(job, op_null_queued);
  if (name == "careful.64B") return careful<Small>(job);
  if (name == "careful.4KiB") return careful<Large>(job);
  if (name == "careful.list1000") return careful_list(job);
  if (name == "firewall.open_close") return firewall(job, false);
  if (name == "firewall.takeback") return firewall(job, true);
  if (name == "frame.borrow_return") return borrow_and_return(job);
  return fail(Code::bad_argument, "no such measurement");
}

Result<Measure::Published> Measure::publish() {
  const std::scoped_lock lock(mutex_);
  if (published_) return *published_;
  Published made;
  made.small = address_of(parts_.heap.create<Small>());
  made.large = address_of(parts_.heap.create<Large>());
  for (std::uint32_t i = 0; i < measure_list_length; ++i) {
    auto* element = parts_.heap.create<Element>();
    if (element == nullptr) return fail(Code::exhausted, "the kernel heap is full");
    element->next = made.list;
    made.list = address_of(element);
  }
  if (made.small == 0 || made.large == 0) return fail(Code::exhausted, "the kernel heap is full");
  published_ = made;
  return made;
}

Result<double> Measure::calls(const Job& job, std::uint16_t opcode) {
  Error what;
  const double ns = median_batch_ns(job.count, [&] {
    const auto reply = parts_.rpc.call(job.peer, opcode, {}, call_timeout_ns);
    if (!reply) what = reply.error();
    return reply.has_value();
  });
  if (ns < 0) return fail(what);
  return ns;
}

template <Tagged T>
Result<double> Measure::careful(const Job& job) const {
  const CarefulReader reader(parts_.layout, job.peer);
  Error what;
  const double ns = median_batch_ns(job.count, [&] {
    const auto copy = reader.read<T>(job.address);
    if (!copy) what = copy.error();
    return copy.has_value();
  });
  if (ns < 0) return fail(what);
  return ns;
}

Result<double> Measure::careful_list(const Job& job) const {
  const CarefulReader reader(parts_.layout, job.peer);
  Error what;
  std::uint64_t sum = 0;
  const double ns = median_batch_ns(job.count, [&] {
    const auto visited = reader.walk_list<Element>(
        job.address, &Element::next, measure_list_length,
        [&](const Element& element, std::uint64_t) { return sum += element.payload[0], true; });
    if (!visited) what = visited.error();
    return visited.has_value();
  });
  asm volatile("" : : "r"(sum));
  if (ns < 0) return fail(what);
  return ns;
}

}  // namespace hive::cell

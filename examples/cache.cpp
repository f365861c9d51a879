// cache: one task fills a hash table inside a segment; many read it in place, on every cell.
//
//   hive run --span all -- example-cache 20000
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <hive/hive.h>

namespace {

struct Entry {
  std::uint64_t key = 0;
  std::uint64_t value = 0;
  hive::Ref<Entry> next;
};

constexpr std::uint64_t buckets = 4096;  // a power of two
struct Table {
  std::array<hive::Ref<Entry>, buckets> heads;
};

std::uint64_t bucket_of(std::uint64_t key) { return key * 0x9e3779b97f4a7c15 >> 52; }
std::uint64_t value_of(std::uint64_t key) { return key * key + 1; }

int complain(const char* doing, const hive::Error& error) {
  std::fprintf(stderr, "cache: %s: %s\n", doing, error.message().c_str());
  return 1;
}

int fill(hive::Segment& segment, std::uint64_t entries) {
  auto heap = hive::Heap::create(segment, 0, segment.size());
  if (!heap) return complain("cannot make a heap", heap.error());
  auto table = (*heap)->make<Table>();
  if (!table) return complain("no room for the table", table.error());
  for (std::uint64_t key = 0; key < entries; ++key) {
    auto& head = (*table)->heads[bucket_of(key)];
    auto entry = (*heap)->make<Entry>(Entry{key, value_of(key), head});
    if (!entry) return complain("no room for an entry", entry.error());
    head = (*heap)->ref(*entry);
  }
  if (auto set = (*heap)->set_root((*heap)->ref(*table)); !set)
    return complain("root", set.error());
  if (auto done = (*heap)->commit(); !done) return complain("commit", done.error());
  return 0;
}

// Looks all keys up, by loads in place: no copy, no call, no lock.
hive::Result<std::uint64_t> look_up_all(const hive::HeapView& heap, std::uint64_t entries) {
  auto root = heap.root<Table>();
  if (!root) return hive::fail(root.error());
  std::uint64_t found = 0;
  auto walked = hive::guarded([&] {
    const Table* table = heap.at(*root);
    for (std::uint64_t key = 0; key < entries; ++key) {
      const Entry* entry = heap.at(table->heads[bucket_of(key)]);
      while (entry != nullptr && entry->key != key) entry = heap.at(entry->next);
      found += entry != nullptr && entry->value == value_of(key);
    }
  });
  if (!walked) return hive::fail(walked.error());
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t entries = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20000;
  auto session = hive::attach();
  if (!session) return complain("cannot join a machine", session.error());
  const std::string name = "cache-" + session->span_id();
  const std::uint64_t bytes = sizeof(Table) + entries * (sizeof(Entry) + 32) + 65536;
  const bool leads = session->span_index() == 0;
  auto segment =
      leads ? session->create(name, bytes) : session->open(name, std::chrono::seconds(10));
  if (!segment) return complain("cannot open the segment", segment.error());
  auto filled =
      hive::Barrier::open(*segment, "filled", static_cast<std::uint32_t>(session->span_count()));
  if (!filled) return complain("cannot open the barrier", filled.error());
  if (leads) {
    if (const int status = fill(*segment, entries); status != 0) return status;
  }
  if (auto all = filled->arrive_and_wait(); !all) return complain("waiting", all.error());
  auto heap = hive::HeapView::open(*segment);
  if (!heap) return complain("cannot read the heap", heap.error());
  const auto found = look_up_all(*heap, entries);
  if (!found) return complain("cannot look up", found.error());
  std::printf("cell %d found %llu of %llu\n", session->cell(),
              static_cast<unsigned long long>(*found), static_cast<unsigned long long>(entries));
  (void)filled->arrive_and_wait();  // the segment goes with the last who has it open
  return *found == entries ? 0 : 1;
}

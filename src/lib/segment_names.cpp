#include "lib/segment_names.h"

#include <algorithm>
#include <cstring>

namespace hive::lib {

int SegmentNames::add(std::uint64_t begin, std::uint64_t bytes, std::string_view name) noexcept {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (entry.taken.exchange(1, std::memory_order_acquire) != 0) continue;
    Name text{};
    std::memcpy(text.data(), name.data(), std::min(name.size(), text.size() - 1));
    for (std::size_t w = 0; w < segment_name_words; ++w) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + w * sizeof word, sizeof word);
      entry.name[w].store(word, std::memory_order_relaxed);
    }
    entry.end.store(begin + bytes, std::memory_order_relaxed);
    entry.begin.store(begin, std::memory_order_release);
    return static_cast<int>(i);
  }
  return -1;
}

void SegmentNames::remove(int ticket) noexcept {
  if (ticket < 0) return;
  Entry& entry = entries_[static_cast<std::size_t>(ticket)];
  entry.begin.store(0, std::memory_order_relaxed);
  entry.taken.store(0, std::memory_order_release);
}

std::vector<std::string> SegmentNames::within(std::uint64_t begin, std::uint64_t end) const {
  std::vector<std::string> found;
  for (const Entry& entry : entries_) {
    const std::uint64_t at = entry.begin.load(std::memory_order_acquire);
    if (at == 0 || at < begin || at >= end) continue;
    std::string name = find(at).data();
    const bool known = std::ranges::find(found, name) != found.end();
    if (!name.empty() && !known) found.push_back(std::move(name));
  }
  return found;
}

SegmentNames::Name SegmentNames::find(std::uint64_t address) const noexcept {
  Name name{};
  for (const Entry& entry : entries_) {
    const std::uint64_t begin = entry.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= entry.end.load(std::memory_order_relaxed)) {
      continue;
    }
    for (std::size_t w = 0; w < segment_name_words; ++w) {
      const std::uint64_t word = entry.name[w].load(std::memory_order_relaxed);
      std::memcpy(name.data() + w * sizeof word, &word, sizeof word);
    }
    name.back() = 0;
    return name;
  }
  return name;
}

}  // namespace hive::lib

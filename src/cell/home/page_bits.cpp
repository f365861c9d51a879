#include "cell/home/page_bits.h"

#include <algorithm>
#include <bit>

namespace hive::cell {

using machine::PageRange;

// The bits of `word` that belong to the range.
std::uint64_t PageBits::mask_of(std::uint32_t word, PageRange range) const {
  std::uint64_t mask = ~std::uint64_t{0};
  const std::uint32_t begin = word * 64;
  if (range.first > begin) mask &= ~std::uint64_t{0} << (range.first - begin);
  if (range.end() < begin + 64) mask &= ~(~std::uint64_t{0} << (range.end() - begin));
  return mask;
}

std::uint32_t PageBits::assign(PageRange range, bool value) {
  std::uint32_t changed = 0;
  if (range.count == 0) return 0;
  for (std::uint32_t w = range.first / 64; w <= (range.end() - 1) / 64; ++w) {
    const std::uint64_t mask = mask_of(w, range);
    const std::uint64_t before = words_[w];
    words_[w] = value ? before | mask : before & ~mask;
    changed += static_cast<std::uint32_t>(std::popcount(before ^ words_[w]));
  }
  return changed;
}

std::uint32_t PageBits::count(PageRange range) const {
  std::uint32_t total = 0;
  if (range.count == 0) return 0;
  for (std::uint32_t w = range.first / 64; w <= (range.end() - 1) / 64; ++w) {
    total += static_cast<std::uint32_t>(std::popcount(words_[w] & mask_of(w, range)));
  }
  return total;
}

std::uint32_t PageBits::find(std::uint32_t from, std::uint32_t end, bool value) const {
  while (from < end) {
    std::uint64_t word = words_[from / 64];
    if (!value) word = ~word;
    word &= ~std::uint64_t{0} << (from % 64);
    if (word != 0) {
      const auto page = from / 64 * 64 + static_cast<std::uint32_t>(std::countr_zero(word));
      return std::min(page, end);
    }
    from = (from / 64 + 1) * 64;
  }
  return end;
}

std::optional<PageRange> PageBits::first_run(PageRange range, bool value) const {
  const std::uint32_t first = find(range.first, range.end(), value);
  if (first == range.end()) return std::nullopt;
  return PageRange{first, find(first, range.end(), !value) - first};
}

std::vector<PageRange> PageBits::runs(PageRange range, bool value) const {
  std::vector<PageRange> all;
  while (const auto run = first_run(range, value)) {
    all.push_back(*run);
    range = PageRange{run->end(), range.end() - run->end()};
  }
  return all;
}

}  // namespace hive::cell

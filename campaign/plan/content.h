// What the load stores, computable by whoever knows the seed: a page holds the words of one round
// of one writer, or zeros. Nobody has to remember what was written; a hash of a page says whether
// it is what it should be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hive::campaign {

inline constexpr std::size_t page_words = 512;
using Page = std::array<std::uint64_t, page_words>;

// A page of an area of a segment: who writes it and where it is.
struct PageName {
  int home = 0;
  int segment = 0;  // SegmentKind
  int writer = 0;   // a cell number, or Plan::vandal_area()
  int page = 0;     // within the writer's area
  auto operator<=>(const PageName&) const = default;
};

// splitmix64: one multiplication chain is plenty here.
inline std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

inline std::uint64_t page_key(std::uint64_t seed, const PageName& name, std::uint64_t round) {
  std::uint64_t key = mix(seed);
  for (const int part : {name.home, name.segment, name.writer, name.page}) {
    key = mix(key ^ static_cast<std::uint64_t>(part + 1));
  }
  return mix(key ^ round);
}

// Word 0 is the round; the others depend on everything. Round 0 is a page of zeros.
inline std::uint64_t page_word(std::uint64_t key, std::uint64_t round, std::size_t i) {
  if (round == 0) return 0;
  return i == 0 ? round : mix(key + i);
}

inline std::uint64_t hash_words(std::span<const std::uint64_t> words) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const std::uint64_t word : words) hash = (hash ^ word) * 0x100000001b3 + (hash >> 47);
  return hash;
}

inline Page make_page(std::uint64_t seed, const PageName& name, std::uint64_t round) {
  Page page{};
  const std::uint64_t key = page_key(seed, name, round);
  for (std::size_t i = 0; i < page_words; ++i) page[i] = page_word(key, round, i);
  return page;
}

inline std::uint64_t page_hash(std::uint64_t seed, const PageName& name, std::uint64_t round) {
  return hash_words(make_page(seed, name, round));
}

// A record of a stream (a versioned value, a ring): its number and words that follow from it.
struct StreamRecord {
  std::uint64_t number = 0;
  std::uint64_t words[6] = {};
};
inline StreamRecord make_record(std::uint64_t seed, int writer, std::uint64_t number) {
  StreamRecord record;
  record.number = number;
  const std::uint64_t key = mix(mix(seed ^ static_cast<std::uint64_t>(writer + 77)) ^ number);
  for (std::size_t i = 0; i < 6; ++i) record.words[i] = mix(key + i);
  return record;
}
inline bool is_whole(const StreamRecord& record, std::uint64_t seed, int writer) {
  const StreamRecord wanted = make_record(seed, writer, record.number);
  for (std::size_t i = 0; i < 6; ++i) {
    if (record.words[i] != wanted.words[i]) return false;
  }
  return true;
}

}  // namespace hive::campaign

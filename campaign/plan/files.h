// The files of a campaign: what their pages hold, and their names. Every word of a page says by
// itself of which file, page and version it is, so that one that lies anywhere else is noticed.
//
//   /f<writer>.<home>   pages that the filer of cell <writer> stamps, on <home>: the first
//                       `written_pages` by writing, the others through a shared mapping
//   /d<writer>.<0|1>    directories of its own, with names n0 to n7 that come, move and go
//   /b<writer>          a large sparse file on its own cell, to need frames; nobody looks at it.
//                       Cells of odd numbers have one, so that the others have frames to lend
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "campaign/plan/content.h"

namespace hive::campaign {

inline constexpr std::uint64_t file_page_bytes = 4096;
inline constexpr std::uint32_t written_pages = 6;
inline constexpr std::uint32_t mapped_pages = 2;
inline constexpr std::uint32_t file_pages = written_pages + mapped_pages;
inline constexpr std::uint32_t name_directories = 2;
inline constexpr std::uint32_t names_of_directory = 8;
inline constexpr std::uint64_t big_file_bytes = std::uint64_t{24} << 20;
inline constexpr std::size_t words_of_page = file_page_bytes / sizeof(std::uint64_t);
using FilePage = std::array<std::uint64_t, words_of_page>;

inline std::string file_name(int writer, int home) {
  return "/f" + std::to_string(writer) + "." + std::to_string(home);
}
inline std::string directory_name(int writer, std::uint32_t which) {
  return "/d" + std::to_string(writer) + "." + std::to_string(which);
}
inline std::string name_in(int writer, std::uint32_t name) {  // 0 to 15: both directories
  return directory_name(writer, name / names_of_directory) + "/n" +
         std::to_string(name % names_of_directory);
}
constexpr bool needs_frames(int cell) { return cell % 2 == 1; }
inline std::string big_file_name(int writer) { return "/b" + std::to_string(writer); }

struct FilePlace {
  int writer = 0;
  int home = 0;
  std::uint32_t page = 0;
  auto operator<=>(const FilePlace&) const = default;
};

inline std::uint64_t file_word(const FilePlace& place, std::size_t index, std::uint32_t version) {
  std::uint64_t name = static_cast<std::uint64_t>(place.writer) << 48;
  name |= static_cast<std::uint64_t>(place.home) << 40;
  name |= static_cast<std::uint64_t>(place.page) << 20;
  const std::uint64_t check = mix(mix(name | index) ^ version) & 0xffffffff;
  return static_cast<std::uint64_t>(version) << 32 | check;
}
inline void fill_file_page(FilePage& words, const FilePlace& place, std::uint32_t version) {
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = file_word(place, i, version);
}
// The version that a word there is of; 0: never written. Nothing: of no version of this page.
inline std::optional<std::uint32_t> file_version(const FilePlace& place, std::size_t index,
                                                 std::uint64_t word) {
  const auto version = static_cast<std::uint32_t>(word >> 32);
  if (word == 0) return 0;
  if (version == 0 || file_word(place, index, version) != word) return std::nullopt;
  return version;
}

}  // namespace hive::campaign

// The panic record of a dead kernel: DIR/panic.N, one line that it left in a mapped page.
#pragma once

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <string>

namespace hive::monitor {

inline constexpr std::size_t last_words_max = 512;

// What the kernel of a cell said when it died, printable and bounded; empty when it said nothing.
inline std::string last_words(const std::string& machine_dir, int cell) {
  std::ifstream file(machine_dir + "/panic." + std::to_string(cell), std::ios::binary);
  std::string text(last_words_max, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(std::min(text.find('\0'), static_cast<std::size_t>(file.gcount())));
  for (char& c : text) {
    if (c < 32 || c > 126) c = '?';
  }
  return text;
}

}  // namespace hive::monitor

// Reading line-oriented text without trusting it: each call takes what it asks for from the front
// of `rest`, or fails and leaves the caller to say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/outcome.h"
#include "core/vec.h"

namespace raytrace {

inline constexpr std::size_t text_bytes_max = std::size_t{1} << 30;

// The whole file. Fails if it is missing, not a regular file, empty, too large, or not text.
Outcome<std::string> read_text(const std::string& path);

// Hands out the lines of a text, numbered from 1, without line ends.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}
  bool next(std::string_view& line);
  std::uint64_t number() const { return number_; }

 private:
  std::string_view text_;
  std::uint64_t number_ = 0;
};

// The next word, or empty at the end of the line.
std::string_view take_word(std::string_view& rest);
// A finite number that makes up a whole word.
bool take_float(std::string_view& rest, float& value);
bool take_vec3(std::string_view& rest, Vec3& value);
// An integer at the front; stops at the first character that is none of it.
bool take_integer(std::string_view& rest, std::int64_t& value);
// What is left of the line, without blanks around it: names may contain blanks.
std::string_view trimmed(std::string_view text);

}  // namespace raytrace

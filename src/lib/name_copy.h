// A name that a program gave, copied before anything is locked or claimed for it: its text may lie
// in a segment, and a bus error there must not find this thread holding something (guard.h).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace hive::lib {

class NameCopy {
 public:
  explicit NameCopy(std::string_view name) noexcept
      : length_(std::min(name.size(), text_.size())) {
    std::copy_n(name.data(), length_, text_.data());
  }
  // What is too long for any name stays so.
  std::string_view view() const noexcept { return {text_.data(), length_}; }

 private:
  static constexpr std::size_t too_long = 64;
  std::array<char, too_long> text_;
  std::size_t length_;
};

}  // namespace hive::lib

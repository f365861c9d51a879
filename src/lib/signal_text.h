// A line of text put together without malloc or stdio, so that a signal handler can do it. What
// does not fit is cut off.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <unistd.h>

namespace hive::lib {

class SignalText {
 public:
  SignalText& add(std::string_view text) noexcept {
    for (const char c : text) {
      if (length_ < text_.size() - 1) text_[length_++] = c;
    }
    return *this;
  }
  SignalText& decimal(std::uint64_t value) noexcept { return number(value, 10); }
  SignalText& hex(std::uint64_t value) noexcept { return add("0x").number(value, 16); }

  std::string_view view() const noexcept { return {text_.data(), length_}; }

  // Writes the line, with a newline, to standard error. Keeps errno.
  void print() noexcept {
    const int saved = errno;
    text_[length_] = '\n';  // one byte is always kept free for it
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text_.data(), length_ + 1);
    errno = saved;
  }

 private:
  SignalText& number(std::uint64_t value, unsigned base) noexcept {
    std::array<char, 20> digits;
    std::size_t n = 0;
    do {
      digits[n++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    while (n > 0) add({&digits[--n], 1});
    return *this;
  }

  std::array<char, 400> text_;
  std::size_t length_ = 0;
};

}  // namespace hive::lib

// A task with much anonymous memory. For each line of its input it says one line:
//   fill SALT     stores to all pages: "filled N", or "failed PAGE ERRNO CELL cause"
//   check SALT    "right N wrong N lost N with CELL"; CELL -1: none is lost
//   populate      "ok", or "error ERRNO CELL cause"
//   unmap         "ok"; the memory is new after it
//   touch PAGE    as any program does it
// Usage: grower BYTES
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include <hive/hive.h>

namespace {

constexpr std::uint64_t page_words = hive::page_size / sizeof(std::uint64_t);

std::uint64_t word_of(std::uint64_t salt, std::uint64_t page, std::uint64_t i) {
  return (salt << 48 ^ page << 16 ^ i) * 0x9e3779b97f4a7c15 + 1;
}

class Grower {
 public:
  Grower(hive::Session session, std::uint64_t bytes)
      : session_(std::move(session)), bytes_(bytes) {}

  bool map() {
    auto mapped = session_.map_anonymous(bytes_);
    if (!mapped) return false;
    memory_.emplace(std::move(*mapped));
    return true;
  }

  std::string answer(std::istringstream& line) {
    std::string word;
    std::uint64_t number = 0;
    line >> word >> number;
    if (word == "fill") return fill(number);
    if (word == "check") return check(number);
    if (word == "touch") {
      *static_cast<volatile std::uint64_t*>(words(number)) = 1;
      return "ok";
    }
    if (word == "unmap") {
      memory_.reset();
      return map() ? "ok" : "error";
    }
    const auto done = memory_->populate(0, bytes_);
    return done ? "ok" : "error " + said(done.error());
  }

 private:
  std::uint64_t pages() const { return bytes_ / hive::page_size; }
  std::uint64_t* words(std::uint64_t page) {
    return memory_->at<std::uint64_t>(page * hive::page_size);
  }
  static std::string said(const hive::Error& error) {
    return std::to_string(error.sys_errno) + " " + std::to_string(error.cell) + " " +
           error.message();
  }

  std::string fill(std::uint64_t salt) {
    for (std::uint64_t page = 0; page < pages(); ++page) {
      std::uint64_t* const at = words(page);
      const auto done = hive::guarded([&] {
        for (std::uint64_t i = 0; i < page_words; ++i) at[i] = word_of(salt, page, i);
      });
      if (!done) return "failed " + std::to_string(page) + " " + said(done.error());
    }
    return "filled " + std::to_string(pages());
  }

  std::string check(std::uint64_t salt) {
    std::uint64_t right = 0;
    std::uint64_t wrong = 0;
    std::uint64_t lost = 0;
    int cell = -1;
    for (std::uint64_t page = 0; page < pages(); ++page) {
      const std::uint64_t* const at = words(page);
      bool is_right = true;
      const auto done = hive::guarded([&] {
        for (std::uint64_t i = 0; i < page_words; ++i) {
          is_right = is_right && at[i] == word_of(salt, page, i);
        }
      });
      if (!done && done.error().code == hive::Code::lost) {
        ++lost;
        cell = done.error().cell;
      } else if (done && is_right) {
        ++right;
      } else {
        ++wrong;
      }
    }
    return "right " + std::to_string(right) + " wrong " + std::to_string(wrong) + " lost " +
           std::to_string(lost) + " with " + std::to_string(cell);
  }

  hive::Session session_;
  const std::uint64_t bytes_;
  std::optional<hive::Mapping> memory_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto session = hive::attach();
  if (!session) return 1;
  Grower grower(std::move(*session), std::strtoull(argv[1], nullptr, 10));
  if (!grower.map()) return 1;
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::cout << grower.answer(words) << std::endl;
  }
  return 0;
}

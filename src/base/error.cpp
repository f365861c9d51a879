#include <array>
#include <cstring>

#include <hive/error.h>

namespace hive {

const char* code_name(Code code) noexcept {
  constexpr std::array names = {"timed_out", "lost",      "cell_down", "refused",
                                "busy",      "not_found", "exists",    "bad_argument",
                                "exhausted", "version",   "corrupt",   "host"};
  const auto index = static_cast<std::size_t>(code);
  return index < names.size() ? names[index] : "unknown";
}

std::string Error::message() const {
  std::string text = code_name(code);
  text += ": ";
  if (cell >= 0) text += "cell " + std::to_string(cell) + ": ";
  text += cause;
  if (lost_range.length != 0) {
    text += " (lost: " + std::to_string(lost_range.length) + " bytes at " +
            std::to_string(lost_range.offset) + ")";
  }
  if (sys_errno != 0) text += std::string(": ") + std::strerror(sys_errno);
  if (epoch != 0) text += " (epoch " + std::to_string(epoch) + ")";
  return text;
}

}  // namespace hive

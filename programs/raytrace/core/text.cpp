#include "core/text.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

namespace raytrace {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

void skip_blanks(std::string_view& rest) {
  while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
}

// Text has no control characters but blanks and line ends. Bytes over 127 occur in names.
bool is_text(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 32 ? u != 127 : is_blank(c) || c == '\n';
}

}  // namespace

Outcome<std::string> read_text(const std::string& path) {
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (!file) return problem(fmt::format("{}: {}", path, std::strerror(errno)));
  struct stat info {};
  if (fstat(fileno(file.get()), &info) != 0 || !S_ISREG(info.st_mode)) {
    return problem(fmt::format("{}: not a regular file", path));
  }
  if (info.st_size == 0) return problem(fmt::format("{}: the file is empty", path));
  if (static_cast<std::uint64_t>(info.st_size) > text_bytes_max) {
    return problem(fmt::format("{}: larger than {} bytes", path, text_bytes_max));
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return problem(fmt::format("{}: cannot be read", path));
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_text(text[i])) continue;
    return problem(fmt::format("{}: not a text file (byte {} is {:#04x})", path, i,
                               static_cast<unsigned char>(text[i])));
  }
  return text;
}

bool Lines::next(std::string_view& line) {
  if (text_.empty()) return false;
  const std::size_t end = text_.find('\n');
  line = text_.substr(0, end);
  text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
  ++number_;
  return true;
}

std::string_view take_word(std::string_view& rest) {
  skip_blanks(rest);
  std::size_t size = 0;
  while (size < rest.size() && !is_blank(rest[size])) ++size;
  const std::string_view word = rest.substr(0, size);
  rest.remove_prefix(size);
  return word;
}

bool take_float(std::string_view& rest, float& value) {
  std::string_view word = take_word(rest);
  if (!word.empty() && word.front() == '+') word.remove_prefix(1);
  // Read as a double: what is too small for a float is then zero, and not an error.
  double wide = 0.0;
  const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), wide);
  value = static_cast<float>(wide);
  return status == std::errc() && end == word.data() + word.size() && std::isfinite(value);
}

bool take_vec3(std::string_view& rest, Vec3& value) {
  return take_float(rest, value.x) && take_float(rest, value.y) && take_float(rest, value.z);
}

bool take_integer(std::string_view& rest, std::int64_t& value) {
  const auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (status != std::errc()) return false;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return true;
}

std::string_view trimmed(std::string_view text) {
  skip_blanks(text);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace raytrace

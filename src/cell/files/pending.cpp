#include "cell/files/pending.h"

#include <array>
#include <charconv>
#include <string_view>
#include <vector>

namespace hive::cell {
namespace {

constexpr std::array words = {"name", "gone", "claim", "move"};

char letter_of(FileKind kind) {
  return kind == FileKind::file ? 'f' : kind == FileKind::directory ? 'd' : 'l';
}

std::optional<FileKind> kind_of(std::string_view text) {
  if (text == "f") return FileKind::file;
  if (text == "d") return FileKind::directory;
  if (text == "l") return FileKind::link;
  return std::nullopt;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <class Number>
bool read_number(std::string_view text, Number& out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && stop == end;
}

bool read_cell(std::string_view text, CellId& out) {
  return read_number(text, out) && out >= 0 && out < max_cells;
}

}  // namespace

std::string pending_key(const FileEntry& entry) {
  return std::to_string(entry.home) + "." + std::to_string(entry.number);
}

std::string pending_text(const Pending& pending) {
  std::string text = words[static_cast<std::size_t>(pending.what)];
  text += '/';
  text += letter_of(pending.entry.kind);
  switch (pending.what) {
    case Pending::What::gone:
      return text;
    case Pending::What::claim:
      return text + "/" + std::to_string(pending.cell);
    case Pending::What::name:
      return text + "/" + std::to_string(pending.directory) + "/" + pending.name;
    case Pending::What::move:
      return text + "/" + std::to_string(pending.directory) + "/" + pending.name + "/" +
             std::to_string(pending.cell) + "/" + std::to_string(pending.to_directory) + "/" +
             pending.to_name;
  }
  return text;
}

std::optional<Pending> read_pending(const std::string& key, const std::string& text) {
  Pending pending;
  const auto object = split(key, '.');
  const auto parts = split(text, '/');
  if (object.size() != 2 || !read_cell(object[0], pending.entry.home) ||
      !read_number(object[1], pending.entry.number) || parts.size() < 2) {
    return std::nullopt;
  }
  const auto kind = kind_of(parts[1]);
  if (!kind) return std::nullopt;
  pending.entry.kind = *kind;
  if (parts[0] == words[1] && parts.size() == 2) return pending;
  if (parts[0] == words[2] && parts.size() == 3) {
    pending.what = Pending::What::claim;
    return read_cell(parts[2], pending.cell) ? std::optional(pending) : std::nullopt;
  }
  const bool is_move = parts[0] == words[3] && parts.size() == 7;
  if (!is_move && (parts[0] != words[0] || parts.size() != 4)) return std::nullopt;
  pending.what = is_move ? Pending::What::move : Pending::What::name;
  pending.name = parts[3];
  if (!read_number(parts[2], pending.directory)) return std::nullopt;
  if (!is_move) return pending;
  pending.to_name = parts[6];
  if (!read_cell(parts[4], pending.cell) || !read_number(parts[5], pending.to_directory)) {
    return std::nullopt;
  }
  return pending;
}

std::string entry_text(const FileEntry& entry) {
  return std::string(1, letter_of(entry.kind)) + ":" + std::to_string(entry.home) + ":" +
         std::to_string(entry.number);
}

std::optional<FileEntry> read_entry(const std::string& text) {
  const auto parts = split(text, ':');
  FileEntry entry;
  if (parts.size() != 3 || !read_cell(parts[1], entry.home) ||
      !read_number(parts[2], entry.number)) {
    return std::nullopt;
  }
  const auto kind = kind_of(parts[0]);
  if (!kind) return std::nullopt;
  entry.kind = *kind;
  return entry;
}

std::optional<FileNumber> read_file_number(const std::string& text) {
  FileNumber number = 0;
  return read_number(text, number) ? std::optional(number) : std::nullopt;
}

}  // namespace hive::cell

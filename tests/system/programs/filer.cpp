// Does with files what its input says, a line at a time, and answers each with a line: "ok ..." or
// "error ERRNO". Texts and bytes are in hexadecimal, with '-' for none; files are numbered by who
// asks.
//
//   open ID PATH FLAGS MODE HOME    close ID            read ID BYTES     write ID DATA
//   pread ID OFFSET BYTES           pwrite ID OFFSET DATA                 lseek ID OFFSET WHENCE
//   fstat ID                        ftruncate ID SIZE   fsync ID
//   map MAP ID BYTES PROTECTION FLAGS OFFSET    anonymous MAP BYTES       unmap MAP    msync MAP
//   peek MAP OFFSET BYTES   poke MAP OFFSET DATA    what can't be served is "error ERRNO"
//   touch MAP OFFSET STORE  the same, as any program does it    populate MAP OFFSET BYTES
//   many MAP THREADS        each changes a byte of its own in every page -> wrong bytes after that
//   stat PATH   lstat PATH   mkdir PATH MODE   rmdir PATH   unlink PATH   rename FROM TO
//   symlink TARGET PATH   readlink PATH   readdir PATH   chmod PATH MODE   utimens PATH A M   cell
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <hive/hive.h>

namespace {

std::string hex(const std::string& text) {
  static constexpr const char* digits = "0123456789abcdef";
  if (text.empty()) return "-";
  std::string out;
  for (const char c : text) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string unhex(const std::string& text) {
  std::string out;
  if (text == "-") return out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  }
  return out;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string said(const hive::Error& error) {
  std::cerr << error.message() << std::endl;
  return "error " + std::to_string(error.sys_errno);
}
std::string said(const hive::Result<void>& done) { return done ? "ok" : said(done.error()); }
template <class Number>
std::string said(const hive::Result<Number>& number) {
  return number ? "ok " + std::to_string(*number) : said(number.error());
}
std::string said(const hive::Result<hive::FileInfo>& about) {
  if (!about) return said(about.error());
  std::ostringstream out;
  out << "ok " << static_cast<int>(about->kind) << ' ' << about->size << ' ' << about->mode << ' '
      << about->home << ' ' << about->number << ' ' << about->generation << ' '
      << about->accessed_ns << ' ' << about->modified_ns;
  return out.str();
}

// What is no call of files may have an error without a number.
std::string said_with_number(hive::Error error) {
  if (error.sys_errno == 0) {
    error.sys_errno = error.code == hive::Code::cell_down ? EHOSTDOWN : EIO;
  }
  return said(error);
}
std::string said_with_number(const hive::Result<void>& done) {
  return done ? "ok" : said_with_number(done.error());
}

class Filer {
 public:
  explicit Filer(hive::Session session) : session_(std::move(session)), files_(session_.files()) {}

  std::string answer(std::istringstream line) {
    std::string word;
    line >> word;
    if (word == "cell") return "ok " + std::to_string(session_.cell());
    if (word == "open") return open(line);
    if (word == "stat") return said(files_.stat(text(line)));
    if (word == "lstat") return said(files_.lstat(text(line)));
    if (word == "rmdir") return said(files_.rmdir(text(line)));
    if (word == "unlink") return said(files_.unlink(text(line)));
    if (word == "readdir") return list(text(line));
    if (word == "readlink") {
      const auto target = files_.readlink(text(line));
      return target ? "ok " + hex(*target) : said(target.error());
    }
    if (word == "mkdir" || word == "chmod") {
      const std::string path = text(line);
      const auto mode = static_cast<mode_t>(number(line));
      return said(word == "mkdir" ? files_.mkdir(path, mode) : files_.chmod(path, mode));
    }
    if (word == "rename" || word == "symlink") {
      const std::string first = text(line);
      const std::string second = text(line);
      return said(word == "rename" ? files_.rename(first, second) : files_.symlink(first, second));
    }
    if (word == "utimens") {
      const std::string path = text(line);
      const std::int64_t accessed = number(line);
      return said(files_.utimens(path, accessed, number(line)));
    }
    if (word == "map" || word == "anonymous") return map(word, line);
    if (word == "unmap" || word == "msync" || word == "peek" || word == "poke" ||
        word == "touch" || word == "populate" || word == "many") {
      return with_mapping(word, line);
    }
    return with_file(word, line);
  }

 private:
  static std::string text(std::istringstream& line) {
    std::string word;
    line >> word;
    return unhex(word);
  }
  static std::int64_t number(std::istringstream& line) {
    std::int64_t value = 0;
    line >> value;
    return value;
  }

  std::string open(std::istringstream& line) {
    const std::int64_t id = number(line);
    const std::string path = text(line);
    const int flags = static_cast<int>(number(line));
    const auto mode = static_cast<mode_t>(number(line));
    const int home = static_cast<int>(number(line));
    auto file = files_.open(path, flags, mode, {.home = home});
    if (!file) return said(file.error());
    open_.insert_or_assign(id, std::move(*file));
    return "ok";
  }

  std::string with_file(const std::string& word, std::istringstream& line) {
    const auto found = open_.find(number(line));
    if (found == open_.end()) return "error 9";
    hive::File& file = found->second;
    if (word == "close") {
      open_.erase(found);
      return "ok";
    }
    if (word == "fstat") return said(file.fstat());
    if (word == "fsync") return said(file.fsync());
    if (word == "ftruncate") return said(file.ftruncate(number(line)));
    if (word == "write") return said(file.write(bytes_of(text(line))));
    if (word == "pwrite") {
      const std::int64_t offset = number(line);
      return said(file.pwrite(bytes_of(text(line)), offset));
    }
    if (word == "lseek") {
      const std::int64_t offset = number(line);
      return said(file.lseek(offset, static_cast<int>(number(line))));
    }
    if (word == "read" || word == "pread") {
      const std::int64_t offset = word == "pread" ? number(line) : 0;
      std::string out(static_cast<std::size_t>(number(line)), '\0');
      const auto to = std::as_writable_bytes(std::span(out));
      const auto count = word == "pread" ? file.pread(to, offset) : file.read(to);
      if (!count) return said(count.error());
      out.resize(*count);
      return "ok " + hex(out);
    }
    return "error 38";
  }

  std::string map(const std::string& word, std::istringstream& line) {
    const std::int64_t id = number(line);
    hive::Result<hive::Mapping> mapped = hive::fail(hive::Code::bad_argument, "nothing");
    if (word == "anonymous") {
      mapped = session_.map_anonymous(static_cast<std::uint64_t>(number(line)));
    } else {
      const auto found = open_.find(number(line));
      if (found == open_.end()) return "error 9";
      const auto length = static_cast<std::uint64_t>(number(line));
      const int protection = static_cast<int>(number(line));
      const int flags = static_cast<int>(number(line));
      mapped = found->second.mmap(length, protection, flags, number(line));
    }
    if (!mapped) return said_with_number(mapped.error());
    mapped_.insert_or_assign(id, std::move(*mapped));
    return "ok";
  }

  std::string with_mapping(const std::string& word, std::istringstream& line) {
    const auto found = mapped_.find(number(line));
    if (found == mapped_.end()) return "error 9";
    hive::Mapping& mapping = found->second;
    if (word == "unmap") {
      mapped_.erase(found);
      return "ok";
    }
    if (word == "msync") return said(mapping.msync(0, mapping.size()));
    if (word == "many") return many(mapping, static_cast<std::size_t>(number(line)));
    const auto offset = static_cast<std::uint64_t>(number(line));
    std::byte* const at = mapping.data() + offset;
    if (word == "populate") {
      return said(mapping.populate(offset, static_cast<std::uint64_t>(number(line))));
    }
    if (word == "touch") {
      if (number(line) != 0) *static_cast<volatile std::byte*>(at) = std::byte{1};
      return "ok " + std::to_string(static_cast<int>(*static_cast<volatile std::byte*>(at)));
    }
    if (word == "poke") {
      const std::string data = text(line);
      return said_with_number(hive::guarded([&] { std::memcpy(at, data.data(), data.size()); }));
    }
    std::string out(static_cast<std::size_t>(number(line)), '\0');
    const auto done = hive::guarded([&] { std::memcpy(out.data(), at, out.size()); });
    return done ? "ok " + hex(out) : said_with_number(done);
  }

  static std::string many(const hive::Mapping& mapping, std::size_t threads) {
    constexpr std::size_t page = 4096;
    constexpr std::size_t apart = 128;
    std::vector<std::byte> before(mapping.bytes().begin(), mapping.bytes().end());
    std::atomic<std::size_t> wrong{0};
    std::vector<std::thread> at_work;
    for (std::size_t t = 0; t < threads; ++t) {
      at_work.emplace_back([&, t] {
        const std::size_t pages = mapping.size() / page;
        for (std::size_t i = 0; i < pages; ++i) {
          // In one direction and in the other.
          const std::size_t at = (t % 2 == 0 ? i : pages - 1 - i) * page + t * apart;
          volatile std::byte* const byte = mapping.data() + at;
          *byte = before[at] ^ std::byte{0xff};
          if (*byte != (before[at] ^ std::byte{0xff})) ++wrong;
          if (mapping.data()[at + 1] != before[at + 1]) ++wrong;
        }
      });
    }
    for (std::thread& thread : at_work) thread.join();
    for (std::size_t i = 0; i < mapping.size(); ++i) {
      const bool changed = i % apart == 0 && i % page / apart < threads;
      if (mapping.data()[i] != (changed ? before[i] ^ std::byte{0xff} : before[i])) ++wrong;
    }
    return "ok " + std::to_string(wrong.load());
  }

  std::string list(const std::string& path) {
    const auto list = files_.readdir(path);
    if (!list) return said(list.error());
    std::string out = "ok " + std::to_string(list->missing.size());
    for (const auto& entry : list->entries) {
      out += " " + std::to_string(static_cast<int>(entry.kind)) + ":" + hex(entry.name);
    }
    return out;
  }

  hive::Session session_;
  hive::FileSystem files_;
  std::map<std::int64_t, hive::File> open_;
  std::map<std::int64_t, hive::Mapping> mapped_;
};

}  // namespace

int main() {
  auto session = hive::attach();
  if (!session) {
    std::cerr << session.error().message() << std::endl;
    return 1;
  }
  Filer filer(std::move(*session));
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << filer.answer(std::istringstream(line)) << std::endl;
  }
  return 0;
}

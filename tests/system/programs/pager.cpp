// Reads and writes pages of files at random, together with others of its kind, and checks every
// word that it reads. Each word says which page of which file it is in, and in which version.
//
//   pager FOLDER FILES PAGES ME PAGERS OPERATIONS SEED whole|cut|read
//
// Pager ME of PAGERS writes the pages whose number is ME modulo PAGERS, so it knows what is in
// them, and that versions of the others only go up. File i lies on cell i modulo the cells.
//   whole   the files have been written whole by somebody: no word is zero, no version goes back
//   cut     they are also truncated: words may be zero, and versions go back
//   read    as whole, but it only reads: some pages again and again, then others, and in the end
//           those that it began with
// First writes its part of the files, and says "ready"; goes on with the next line of its input.
// At the end: "reads N wrong N errors N".
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <hive/hive.h>

namespace {

using Word = std::uint64_t;
constexpr std::size_t page_bytes = 4096;
constexpr std::size_t page_words = page_bytes / sizeof(Word);
constexpr std::uint64_t run_max = 20;    // pages of one read
constexpr std::uint64_t span_pages = 200;  // that are read again and again
constexpr std::uint64_t span_reads = 100;
constexpr int opens_max = 3000;          // while a cell is down
constexpr auto open_pause = std::chrono::milliseconds(10);

struct Arguments {
  std::string folder;
  std::uint64_t files, pages, me, pagers, operations, seed;
  std::string how;
};

class Pager {
 public:
  Pager(hive::Session session, Arguments with)
      : session_(std::move(session)),
        files_(session_.files()),
        cells_(session_.cells().size()),
        with_(std::move(with)),
        random_(with_.seed),
        open_(with_.files),
        versions_(with_.files, std::vector<std::uint64_t>(with_.pages, 0)) {}

  bool write_all() {
    for (std::uint64_t file = 0; file < with_.files; ++file) {
      if (!reopen(file)) return false;
      for (std::uint64_t page = with_.me; page < with_.pages; page += with_.pagers) {
        if (!write(file, page)) return false;
      }
    }
    return true;
  }

  void run() {
    const bool cuts = with_.how == "cut";
    for (std::uint64_t i = 0; i < with_.operations; ++i) {
      const std::uint64_t file = draw(with_.files);
      const std::uint64_t what = draw(100);
      bool good = true;
      if (what < 70 || with_.how == "read") {
        good = read(file);
      } else if (what < 94) {
        const std::uint64_t own = draw(with_.pages / with_.pagers);
        good = write(file, own * with_.pagers + with_.me);
      } else if (what < 96) {
        good = !cuts || note(open_[file]->ftruncate(
                            static_cast<std::int64_t>(draw(with_.pages) * page_bytes +
                                                       draw(9) * sizeof(Word))));
      } else if (what < 98) {
        good = note(open_[file]->fsync());
      } else {
        good = reopen(file);
      }
      if (!good && !reopen(file)) break;
    }
    std::cout << "reads " << reads_ << " wrong " << wrong_ << " errors " << errors_ << std::endl;
  }

 private:
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }

  static Word word_of(std::uint64_t file, std::uint64_t page, std::uint64_t version) {
    return (file + 1) << 48 | page << 24 | version;
  }

  template <class T>
  bool note(const hive::Result<T>& done) {
    if (done) return true;
    ++errors_;
    return false;
  }

  bool reopen(std::uint64_t file) {
    const std::string path = with_.folder + "/" + std::to_string(file);
    for (int i = 0; i < opens_max; ++i) {
      auto opened = files_.open(path, O_RDWR | O_CREAT, 0600,
                                {.home = static_cast<int>(file % cells_)});
      if (opened) {
        open_[file] = std::make_unique<hive::File>(std::move(*opened));
        return true;
      }
      std::this_thread::sleep_for(open_pause);
    }
    ++errors_;
    return false;
  }

  bool write(std::uint64_t file, std::uint64_t page) {
    const std::uint64_t version = ++versions_[file][page];
    const std::vector<Word> words(page_words, word_of(file, page, version));
    return note(open_[file]->pwrite(std::as_bytes(std::span(words)),
                                    static_cast<std::int64_t>(page * page_bytes)));
  }

  bool read(std::uint64_t file) {
    const std::uint64_t page =
        with_.how == "read" ? (reads_ / span_reads * span_pages + draw(span_pages)) % with_.pages
                            : draw(with_.pages);
    const std::uint64_t skip = draw(3) == 0 ? draw(page_words) : 0;
    const std::uint64_t pages = 1 + draw(draw(4) == 0 ? run_max : 2);
    std::vector<Word> words(pages * page_words - skip, ~Word{0});
    const std::uint64_t at = page * page_bytes + skip * sizeof(Word);
    const auto done = open_[file]->pread(std::as_writable_bytes(std::span(words)),
                                         static_cast<std::int64_t>(at));
    if (!note(done)) return false;
    ++reads_;
    const bool strict = with_.how != "cut";
    const std::uint64_t whole = with_.pages * page_bytes;
    if (strict && *done != std::min(words.size() * sizeof(Word), whole - at)) {
      complain(file, page, 0, "the length of a read");
    }
    words.resize(*done / sizeof(Word));
    for (std::size_t i = 0; i < words.size();) {
      const std::uint64_t here = (skip + i) / page_words;
      const std::size_t end = std::min(words.size(), (here + 1) * page_words - skip);
      check(file, page + here, {&words[i], end - i}, strict);
      i = end;
    }
    return true;
  }

  // Words of one page.
  void check(std::uint64_t file, std::uint64_t page, std::span<const Word> words, bool strict) {
    std::uint64_t oldest = ~std::uint64_t{0};
    for (const Word word : words) {
      if (word == 0 && !strict) continue;
      const std::uint64_t version = word & 0xffffff;
      if (word != word_of(file, page, version)) return complain(file, page, word, "a word");
      oldest = std::min(oldest, version);
    }
    if (!strict || words.empty()) return;
    std::uint64_t& known = versions_[file][page];
    const bool is_own = page % with_.pagers == with_.me && with_.how != "read";
    if (oldest < known || (is_own && oldest != known)) {
      return complain(file, page, words[0], "an old version");
    }
    known = oldest;
  }

  void complain(std::uint64_t file, std::uint64_t page, Word word, const char* what) {
    if (++wrong_ > 5) return;
    std::cerr << "pager " << with_.me << ": " << what << " is wrong in page " << page
              << " of file " << file << ": " << std::hex << word << std::dec << std::endl;
  }

  hive::Session session_;
  hive::FileSystem files_;
  const std::size_t cells_;
  const Arguments with_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<hive::File>> open_;
  std::vector<std::vector<std::uint64_t>> versions_;  // written, or seen last
  std::uint64_t reads_ = 0;
  std::uint64_t wrong_ = 0;
  std::uint64_t errors_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) return 2;
  const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
  Arguments with{argv[1],   number(2), number(3), number(4),
                 number(5), number(6), number(7), argv[8]};
  auto session = hive::attach();
  if (!session) {
    std::cerr << "pager: " << session.error().message() << std::endl;
    return 1;
  }
  Pager pager(std::move(*session), std::move(with));
  if (!pager.write_all()) return 1;
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  pager.run();
  return 0;
}

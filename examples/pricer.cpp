// pricer: a feed handler publishes trades into a ring on its cell; a book on another cell reads
// them and publishes the best price. Each survives the death of the other.
//
//   hive run --cell 1 -- example-pricer feed [TRADES]    publishes so many, or for ever
//   hive run --cell 2 -- example-pricer book [TRADES]    until it has seen so many, or for ever
//   hive fault kill-cell 1                               and start a feed on another cell
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <hive/hive.h>

namespace {

using namespace std::chrono_literals;

struct Trade {
  std::uint64_t number = 0;
  double price = 0;
};
struct Best {
  std::uint64_t trades = 0;
  double price = 0;
};

constexpr std::uint64_t capacity = 1024;

int complain(const char* doing, const hive::Error& error) {
  std::fprintf(stderr, "pricer: %s: %s\n", doing, error.message().c_str());
  return 1;
}

void say(const char* what) {
  std::puts(what);
  std::fflush(stdout);
}

int feed(hive::Session& session, std::uint64_t trades) {
  auto segment = session.create("feed", hive::RingWriter<Trade>::bytes(capacity));
  if (!segment) return complain("cannot create the feed", segment.error());
  auto ring = hive::RingWriter<Trade>::create(*segment, 0, capacity);
  if (!ring) return complain("cannot create the ring", ring.error());
  say("feed: publishing");
  for (std::uint64_t i = 1; trades == 0 || i <= trades; ++i) {
    const Trade trade{i, 100.0 + static_cast<double>(i * 7919 % 1000) / 100};
    const bool last_of_burst = i % 16 == 0 || i == trades;
    auto done = ring->publish(trade, last_of_burst ? hive::Notify::yes : hive::Notify::no);
    if (!done) return complain("cannot publish", done.error());
    if (last_of_burst) std::this_thread::sleep_for(1ms);
  }
  return ring->commit() ? 0 : 1;
}

// Reads one feed until it ends in an error, or `wanted` trades are seen in all.
hive::Result<void> follow(hive::RingReader<Trade>& ring, hive::Versioned<Best>::Writer& board,
                          Best& best, std::uint64_t wanted) {
  std::array<Trade, 64> trades;
  while (wanted == 0 || best.trades < wanted) {
    if (auto waited = ring.wait(5s); !waited) return waited;
    auto batch = ring.read(trades);
    if (!batch) return hive::fail(batch.error());
    for (std::size_t i = 0; i < batch->count; ++i) {
      if (best.trades == 0 || trades[i].price > best.price) best.price = trades[i].price;
      ++best.trades;
    }
    if (auto shown = board.publish(best); !shown) return hive::fail(shown.error());
  }
  return {};
}

int book(hive::Session& session, std::uint64_t wanted) {
  auto segment = session.create("book", hive::Versioned<Best>::bytes());
  if (!segment) return complain("cannot create the book", segment.error());
  auto board = hive::Versioned<Best>::Writer::create(*segment, 0);
  if (!board) return complain("cannot create the board", board.error());
  Best best;
  while (wanted == 0 || best.trades < wanted) {
    // The feed may not be there yet, or not any more: its loss costs us its trades, nothing else.
    auto source = session.open("feed", 30s);
    if (!source) return complain("no feed came up", source.error());
    auto ring = hive::RingReader<Trade>::open(*source, 0, hive::RingStart::oldest);
    if (!ring) {
      std::this_thread::sleep_for(10ms);  // it is just being made
      continue;
    }
    say("book: following the feed");
    if (auto done = follow(*ring, *board, best, wanted); !done) {
      std::printf("book: the feed is lost after %llu trades: %s\n",
                  static_cast<unsigned long long>(best.trades), done.error().message().c_str());
      std::fflush(stdout);
      std::this_thread::sleep_for(50ms);
    }
  }
  std::printf("book: %llu trades, best %.2f\n", static_cast<unsigned long long>(best.trades),
              best.price);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  const std::uint64_t trades = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (role != "feed" && role != "book") {
    std::fputs("usage: example-pricer feed|book [TRADES]\n", stderr);
    return 2;
  }
  auto session = hive::attach();
  if (!session) return complain("cannot join a machine", session.error());
  return role == "feed" ? feed(*session, trades) : book(*session, trades);
}

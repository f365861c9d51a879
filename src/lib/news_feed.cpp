#include "lib/news_feed.h"

#include <array>
#include <cstring>
#include <string_view>

#include <sys/epoll.h>

#include "lib/peer_table.h"
#include "lib/segment_names.h"
#include "machine/linux/fd_channel.h"
#include "proto/news.h"

namespace hive::lib {
namespace {

constexpr int events_max = max_cells;

template <std::size_t N>
std::string text_of(const std::array<char, N>& text) {
  return {text.data(), ::strnlen(text.data(), N)};
}

std::optional<proto::NewsMessage> decode(const machine::ChannelMessage& message) {
  proto::NewsMessage news;
  if (message.bytes.size() != sizeof news) return std::nullopt;
  std::memcpy(&news, message.bytes.data(), sizeof news);
  if (news.magic != proto::news_magic || news.cell < 0 || news.cell >= max_cells) {
    return std::nullopt;
  }
  return news;
}

std::optional<News> news_of(const proto::NewsMessage& message, const machine::Layout& layout,
                            const SegmentNames& names) {
  News news;
  news.cell = message.cell;
  news.missed = message.missed;
  switch (message.kind) {
    case proto::NewsKind::cell_failed:
      news.kind = News::Kind::cell_failed;
      news.epoch = message.epoch;
      news.cause = text_of(message.cause);
      news.segments = names.within(layout.user_begin(message.cell), layout.user_end(message.cell));
      return news;
    case proto::NewsKind::cell_back:
      news.kind = News::Kind::cell_back;
      news.epoch = message.epoch;
      return news;
    case proto::NewsKind::torn:
      news.kind = News::Kind::torn;
      news.range = {message.offset, message.bytes};
      news.segments = {text_of(message.segment)};
      return news;
  }
  return std::nullopt;
}

}  // namespace

NewsFeed::NewsFeed() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

void NewsFeed::watch(CellId cell, int connection) noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = cell;
  connections_[static_cast<std::size_t>(cell)].store(connection);
  if (epoll_) (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection, &event);
}

std::optional<News> NewsFeed::next(const PeerTable& peers, const SegmentNames& names) {
  std::array<epoll_event, events_max> events;
  const int count = epoll_ ? ::epoll_wait(epoll_.get(), events.data(), events_max, 0) : 0;
  for (int i = 0; i < count; ++i) {
    const CellId cell = events[static_cast<std::size_t>(i)].data.fd;
    const PeerUse peer(peers.find(cell));
    if (!peer) {
      // Hung up, but not closed: somebody is still inside.
      const int connection = connections_[static_cast<std::size_t>(cell)].load();
      (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection, nullptr);
      continue;
    }
    for (;;) {  // ends with the messages that are there
      auto message = machine::channel_receive(peer->connection(), 0);
      if (!message && message.error().code == Code::timed_out) break;
      if (!message || message->end) {
        (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer->connection(), nullptr);
        break;
      }
      const auto decoded = decode(*message);
      if (!decoded) continue;
      if (auto news = news_of(*decoded, peers.layout(), names)) return news;
    }
  }
  return std::nullopt;
}

}  // namespace hive::lib

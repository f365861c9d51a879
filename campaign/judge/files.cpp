#include "campaign/judge/files.h"

#include <algorithm>

#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

constexpr std::uint32_t directory_mask = (1U << names_of_directory) - 1;

}  // namespace

void Files::apply(int writer, const Event& event) {
  const FilePlace place{writer, event.integer(0), static_cast<std::uint32_t>(event.number(2))};
  const auto version = static_cast<std::uint32_t>(event.number(3));
  Names& names = names_[writer];
  const std::uint32_t name = 1U << (event.number(1) % 32);
  const std::uint32_t other = 1U << (event.number(2) % 32);
  if (event.what == event::storing) {
    pages_[place].versions.push_back(version);
  } else if (event.what == event::stored_page) {
    Page& page = pages_[place];
    const auto found = std::find(page.versions.begin(), page.versions.end(), version);
    if (found != page.versions.end()) {
      page.sure = static_cast<std::size_t>(found - page.versions.begin());
    }
  } else if (event.what == event::syncing || event.what == event::synced) {
    for (std::uint32_t p = 0; p < file_pages; ++p) {
      Page& page = pages_[{writer, event.integer(0), p}];
      if (event.what == event::syncing) {
        page.at_sync = page.sure;
        continue;
      }
      page.versions.erase(page.versions.begin(),
                          page.versions.begin() + static_cast<std::ptrdiff_t>(page.at_sync));
      page.sure -= page.at_sync;
      page.at_sync = 0;
    }
  } else if (event.what == event::naming) {
    names.unsure_before = names.unsure;
    names.unsure |= name | other;
  } else if (event.what == event::named) {
    names.unsure = names.unsure_before & ~name;
    const bool done = event.word(3) == "done";
    const std::string& how = event.word(0);
    // What is refused says what there is.
    if (how == "make") names.there |= name;
    if (how == "remove") names.there &= ~name;
    if (how == "move") names.there &= ~name;
    if (how != "move" || !done) return;
    names.there |= other;
    names.unsure &= ~other;
  }
}

std::optional<std::string> Files::observe_page(const Event& event,
                                               const std::set<int>& lost_homes,
                                               const std::set<int>& ended_writers) {
  const FilePlace place{event.integer(1), event.integer(2),
                        static_cast<std::uint32_t>(event.number(3))};
  if (event.word(3).rfind('!', 0) == 0) return "a file can not be read after a fault is over";
  const auto least = static_cast<std::uint32_t>(event.number(4));
  const auto most = static_cast<std::uint32_t>(event.number(5));
  Page& page = pages_[place];
  const bool is_mapped = place.page >= written_pages;
  page.may_be_lost = lost_homes.contains(place.home) ||
                     (is_mapped && ended_writers.contains(place.writer));
  if (page.seen && *page.seen != std::pair(least, most)) {
    return "survivors see different things in a file";
  }
  page.seen = {least, most};
  const auto first = page.versions.begin() +
                     static_cast<std::ptrdiff_t>(page.may_be_lost ? 0 : page.sure);
  const auto may_be = [&](std::uint32_t version) {
    return std::find(first, page.versions.end(), version) != page.versions.end();
  };
  if (may_be(least) && may_be(most)) return std::nullopt;
  if (page.may_be_lost) return "what fsync has acknowledged is lost";
  return "a page of a file is not what was stored there, and its home lives";
}

std::optional<std::string> Files::observe_names(const Event& event) {
  const int writer = event.integer(1);
  const std::uint64_t which = event.number(2) % name_directories;
  if (event.word(3).rfind('!', 0) == 0) return "a directory can not be read after a fault";
  const auto mask = static_cast<std::uint32_t>(event.number(3));
  Names& names = names_[writer];
  auto& seen = names.seen[which];
  if (seen && *seen != mask) return "the names are not the same from every cell";
  seen = mask;
  const std::uint64_t shift = which * names_of_directory;
  const std::uint32_t wrong = (mask ^ (names.there >> shift)) & ~(names.unsure >> shift);
  if ((wrong & directory_mask) == 0) return std::nullopt;
  return "a name is not there that was made, or is there that was removed";
}

void Files::settle(const std::set<int>& dead_homes) {
  for (auto& [place, page] : pages_) {
    if (!page.seen) {  // nobody could look
      if (dead_homes.contains(place.home)) page.sure = page.at_sync = 0;
      continue;
    }
    const auto [least, most] = *page.seen;
    // Of a home that lives it need not be on the disk: what was there before may come back.
    if (dead_homes.contains(place.home)) page.versions.clear();
    page.versions.push_back(least);
    page.sure = page.versions.size() - 1;
    if (most != least) page.versions.push_back(most);
    page.at_sync = 0;
    page.seen.reset();
    page.may_be_lost = false;
  }
  for (auto& [writer, names] : names_) {
    for (std::uint32_t which = 0; which < name_directories; ++which) {
      if (!names.seen[which]) continue;
      const std::uint32_t shift = which * names_of_directory;
      const std::uint32_t bits = directory_mask << shift;
      names.there = (names.there & ~bits) | (*names.seen[which] << shift);
      names.unsure &= ~bits;
      names.seen[which].reset();
    }
  }
}

}  // namespace hive::campaign

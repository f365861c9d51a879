#include "lib/file_in_place.h"

#include <algorithm>
#include <bit>

#include "base/safe_copy.h"
#include "lib/careful_store.h"

namespace hive::lib {

using machine::page_bytes;
using proto::GateOp;
using proto::WantedPage;

namespace {

constexpr std::uint64_t part_bytes = part_pages_max * page_bytes;
// Who reads on where he was is given more and more pages at once.
constexpr std::uint32_t ahead_pages_max = proto::wanted_pages_max - part_pages_max;

std::uint32_t page_at(std::uint64_t offset) {
  return static_cast<std::uint32_t>(offset / page_bytes);
}

std::uint32_t pages_of(std::uint64_t bytes) {
  return static_cast<std::uint32_t>((bytes + page_bytes - 1) / page_bytes);
}

// The peer of a frame's memory home, while its memory is mapped. That of the file's own home is
// held by the whole read.
class HomeUse {
 public:
  HomeUse(Peer& peer, const Peer& held) noexcept : use_(&peer == &held ? nullptr : &peer) {
    peer_ = &peer == &held || use_ ? &peer : nullptr;
  }
  explicit operator bool() const { return peer_ != nullptr; }
  Peer* operator->() const { return peer_; }

 private:
  PeerUse use_;
  Peer* peer_;
};

}  // namespace

FileInPlace::FileInPlace(SessionImpl& session, Peer& home, const OpenedFile& file) noexcept
    : session_(session), home_(home), file_(file), trusts_([&home] {
        const PeerUse use(&home);
        return use && use->trusts_pages();
      }()) {
  const machine::Layout& layout = session.membership().layout;
  const PeerUse use(&home);
  proto::FileRecord record;
  if (!use || file.record % alignof(proto::FileRecord) != 0 ||
      !layout.in_kernel(home.cell(), file.record) ||
      !layout.in_kernel(home.cell(), file.record + sizeof record - 1) ||
      !safe_copy(&record, reinterpret_cast<const void*>(file.record), sizeof record)) {
    return;
  }
  record_count_ = record.tag.count;
  is_usable_ = record.tag.type == proto::FileRecord::type && record.number == file.number;
}

// The record is copied in the order of its addresses: the version before size and generation.
bool FileInPlace::look(proto::FileRecord& record) const noexcept {
  static_assert(sizeof record <= safe_copy_ordered_max);
  return safe_copy(&record, reinterpret_cast<const void*>(file_.record), sizeof record) &&
         record.tag.type == proto::FileRecord::type && record.tag.count == record_count_ &&
         record.number == file_.number && record.generation == file_.generation &&
         record.version % 2 == 0;
}

std::optional<std::uint64_t> FileInPlace::size() const noexcept {
  if (!is_usable_ || !session_.check()) return std::nullopt;
  const PeerUse use(&home_);
  proto::FileRecord record;
  if (!use || !look(record) || !use->gate().check_server()) return std::nullopt;
  return record.size;
}

FileInPlace::Read FileInPlace::read(std::uint64_t offset, std::span<std::byte> out,
                                    std::size_t missing_max) {
  const Read nothing{.missing = std::min(out.size(), missing_max)};
  if (!is_usable_ || !session_.check()) return nothing;
  const PeerUse use(&home_);
  if (!use) return nothing;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  Reading reading{.known = lock ? &places_ : nullptr, .sweep = use->pages().sweep()};
  for (int tries = 0; tries < in_place_tries_max; ++tries) {
    proto::FileRecord before;
    if (!look(before)) return nothing;
    const std::uint64_t left = before.size - std::min(before.size, offset);
    const std::size_t wanted = std::min<std::uint64_t>(out.size(), left);
    if (lock) {
      const auto pages = std::min<std::uint64_t>(pages_of(before.size), places_max);
      if (places_.size() < pages) places_.resize(std::bit_ceil(pages));
      ahead_ = offset == next_ ? std::clamp(2 * ahead_, part_pages_max, ahead_pages_max) : 0;
    }
    Read done = read_once(offset, out.first(wanted), missing_max, reading);
    proto::FileRecord after;
    if (!look(after) || after.version != before.version) continue;
    if (!use->gate().check_server()) return nothing;
    done.is_end = done.bytes == wanted && wanted < out.size();
    if (lock) next_ = offset + done.bytes;
    return done;
  }
  return nothing;
}

FileInPlace::Read FileInPlace::read_once(std::uint64_t offset, std::span<std::byte> out,
                                         std::size_t missing_max, Reading& reading) {
  Read done;
  while (done.bytes < out.size()) {
    const std::uint64_t at = offset + done.bytes;
    const std::uint64_t most = part_bytes - at % part_bytes;
    const auto part = out.subspan(done.bytes, std::min(out.size() - done.bytes, most));
    const Part read = read_part(at, part, reading);
    done.bytes += read.bytes;
    if (!read.is_missing) continue;
    const std::size_t rest = std::min(out.size() - done.bytes, missing_max);
    done.missing = missing_bytes(offset + done.bytes, rest, reading);
    break;
  }
  return done;
}

// At least one byte, or something is missing.
FileInPlace::Part FileInPlace::read_part(std::uint64_t offset, std::span<std::byte> out,
                                         Reading& reading) {
  const std::size_t skip = offset % page_bytes;
  const std::uint32_t first = page_at(offset);
  const std::uint32_t wanted = pages_of(skip + out.size());
  for (int tries = 0; tries < in_place_tries_max; ++tries) {
    std::array<Place, part_pages_max> places;
    std::uint32_t found = 0;
    for (; found < wanted; ++found) {
      const auto place = place_of(first + found, reading);
      if (!place) break;
      places[found] = *place;
    }
    if (found == 0) break;
    const std::span<const Place> here(places.data(), found);
    const std::size_t bytes = std::min(found * page_bytes - skip, out.size());
    if (!copy(here, skip, out.first(bytes))) {
      ask_for(here, reading);
      store_to(out.first(bytes));
      continue;
    }
    order_after_long_copy();
    std::uint32_t good = 0;
    while (good < found && (trusts_ || holds(here[good]))) ++good;
    if (good == 0 || !is_up(here.first(good))) continue;
    for (const Place& place : here.first(good)) mark(place, reading.sweep);
    const bool is_missing = good == found && found < wanted;
    return {std::min(good * page_bytes - skip, out.size()), is_missing};
  }
  return {0, true};
}

// Where a page is, whose frame has the number now that it had when it was found.
std::optional<FileInPlace::Place> FileInPlace::place_of(std::uint32_t page,
                                                        Reading& reading) {
  Place* const known = reading.known == nullptr || reading.known->empty()
                           ? nullptr
                           : &(*reading.known)[page % reading.known->size()];
  if (known != nullptr && known->memory_home != nullptr && known->page == page &&
      (trusts_ || holds(*known))) {
    return *known;
  }
  const auto found = find(page);
  if (found && known != nullptr) *known = *found;
  return found;
}

std::optional<FileInPlace::Place> FileInPlace::find(std::uint32_t page) {
  const auto found = home_.pages().find(file_.number, page);
  if (!found || found->entry.data_home != home_.cell()) return std::nullopt;
  Peer* memory_home = &home_;
  if (found->entry.memory_home != home_.cell()) {
    const auto attached = session_.attached_to(found->entry.memory_home);
    if (!attached) return std::nullopt;
    memory_home = *attached;
  }
  const HomeUse use(*memory_home, home_);
  proto::PublishedFrame frame;
  // Entry and frame must agree on what is there, so that one word that has gone bad misleads
  // nobody.
  if (!use || !use->pages().load_frame(found->entry.frame, frame) ||
      frame.sequence != found->entry.sequence || frame.owner != file_.number ||
      frame.page != page) {
    return std::nullopt;
  }
  return Place{found->entry.sequence, memory_home, page, found->entry.frame, found->number};
}

bool FileInPlace::holds(const Place& place) const noexcept {
  const HomeUse use(*place.memory_home, home_);
  std::uint64_t sequence = 0;
  return use && use->pages().load_sequence(place.frame, sequence) && sequence == place.sequence;
}

// Frames that lie one behind the other are copied in one go.
bool FileInPlace::copy(std::span<const Place> places, std::size_t skip,
                       std::span<std::byte> out) noexcept {
  const machine::Layout& layout = session_.membership().layout;
  for (std::size_t i = 0, done = 0; done < out.size();) {
    const std::size_t first = i;
    Peer& memory_home = *places[first].memory_home;
    for (++i; i < places.size() && places[i].memory_home == &memory_home &&
              places[i].frame == places[i - 1].frame + 1;) {
      ++i;
    }
    const HomeUse use(memory_home, home_);
    if (!use) return false;
    const std::size_t bytes = std::min((i - first) * page_bytes - skip, out.size() - done);
    const std::uint64_t from =
        layout.user_begin(memory_home.cell()) + places[first].frame * page_bytes + skip;
    if (!safe_copy(out.data() + done, reinterpret_cast<const void*>(from), bytes)) return false;
    done += bytes;
    skip = 0;
  }
  return true;
}

// The memory of a cell that has failed may still be there for a while, but nobody answers for it.
// That of the file's home is looked at when all is done.
bool FileInPlace::is_up(std::span<const Place> places) const noexcept {
  return std::ranges::all_of(places, [this](const Place& place) {
    if (place.memory_home == &home_) return true;
    const PeerUse use(place.memory_home);
    return use && use->gate().check_server();
  });
}

// Has the pages given to this process, and more of them for one who reads on. What does not work
// shows when they are copied.
void FileInPlace::ask_for(std::span<const Place> places, Reading& reading) {
  std::array<WantedPage, proto::wanted_pages_max> wanted;
  Peer* const memory_home = places.front().memory_home;
  std::uint32_t count = 0;
  const auto add = [&](const Place& place) {
    if (place.memory_home != memory_home || count == wanted.size()) return;
    wanted[count++] = {place.frame, place.page, file_.number, place.sequence};
  };
  for (const Place& place : places) add(place);
  const std::uint32_t next = places.back().page + 1;
  const std::uint32_t ahead = reading.known == nullptr ? 0 : ahead_;
  for (std::uint32_t page = next; page - next < ahead; ++page) {
    const auto place = place_of(page, reading);
    if (!place) break;
    add(*place);
  }
  const auto bytes = std::as_bytes(std::span(wanted.data(), count));
  (void)session_.call(*memory_home,
                      {.op = GateOp::page_give, .args = {count}, .data = bytes});
}

// Up to the next page that is there.
std::size_t FileInPlace::missing_bytes(std::uint64_t offset, std::size_t most,
                                       Reading& reading) {
  std::uint64_t end = (std::uint64_t{page_at(offset)} + 1) * page_bytes;
  while (end < offset + most && !place_of(page_at(end), reading)) end += page_bytes;
  return std::min<std::uint64_t>(end - offset, most);
}

void FileInPlace::mark(const Place& place, std::uint32_t sweep) noexcept {
  if (sweep != 0) home_.mark_used(place.entry, sweep);
}

}  // namespace hive::lib

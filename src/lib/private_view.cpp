// Touches of private mappings: loads show the file's pages, stores make copies of them.

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "lib/causes.h"
#include "lib/deadline.h"
#include "lib/file_calls.h"
#include "lib/peer.h"
#include "lib/session_impl.h"
#include "lib/view_table.h"

namespace hive::lib {

using machine::page_bytes;
using proto::GateOp;
using proto::view_block_pages;

namespace {

// The file's content from that page of the view on. Returns how many pages of it are in the file;
// what the last one has behind the end of the file is zero.
Result<std::uint64_t> read_pages(SessionImpl& session, const ViewSource& source,
                                 std::uint64_t page, std::span<std::byte> out) noexcept {
  const std::uint64_t offset = (source.first_page + page) * page_bytes;
  std::size_t count = 0;
  while (count < out.size()) {
    const auto part = out.subspan(
        count, std::min<std::size_t>(out.size() - count, proto::gate_answer_bytes_max));
    const auto read = call_opened(session, *source.peer,
                                  {.op = GateOp::file_read,
                                   .args = {source.handle, offset + count, part.size()},
                                   .answer = part});
    if (!read) return fail(read.error());
    const std::size_t bytes = std::min<std::size_t>((*read)[2], part.size());
    count += bytes;
    if (bytes < part.size()) break;
  }
  const std::size_t pages = (count + page_bytes - 1) / page_bytes;
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(count),
            out.begin() + static_cast<std::ptrdiff_t>(pages * page_bytes), std::byte{0});
  return pages;
}

}  // namespace

Result<void> ViewSource::take_room(std::uint64_t bytes) {
  // Of untouched memory, which takes none of the host's.
  const std::uint64_t blocks = (bytes + view_block_bytes - 1) / view_block_bytes;
  copied.reset(static_cast<std::uint16_t*>(std::calloc(blocks, sizeof(std::uint16_t))));
  if (copied != nullptr) return {};
  return fail(Code::exhausted, "the process has no memory left", -1, ENOMEM);
}

Result<void> ViewTable::bring_in_private(SessionImpl& session, const MappedView& view,
                                         const Fault& fault,
                                         std::span<std::byte> room) const noexcept {
  const ViewSource& source = *view.source;
  const std::uint64_t page = (fault.address - view.begin) / page_bytes;
  const auto copies = source.copied_of(page);
  const std::uint16_t copied = copies.load(std::memory_order_relaxed);
  const bool is_copy = (copied >> page % view_block_pages & 1) != 0;
  if (!source.gone.load() && fault.is_store && (!is_copy || !room.empty())) {
    return copy_pages(session, view, fault, room);
  }
  if (is_copy) {
    return ask_and_show(session, view, fault,
                        {.at = view,
                         .call = {.op = GateOp::view_fault,
                                  .args = {view.id, page, fault.is_store ? 1U : 0U}},
                         .writable = true,
                         .copies = copies});
  }
  if (source.gone.load()) {
    return fail(Code::cell_down, cause_cell_failed, source.peer->cell(), EIO);
  }
  const auto shown =
      ask_and_show(session, view, fault,
                   {.at = source,
                    .call = {.op = GateOp::file_fault,
                             .args = {source.id, page, 0, source.handle, copied},
                             .deadline_ns = deadline_in(file_call_timeout_ns)},
                    .others = copied});
  if (!shown) return fail(with_errno(shown.error(), EIO));
  return {};
}

// The page that is stored to, or with room all of its block that are none yet, become copies. They
// have their content before anybody sees them.
Result<void> ViewTable::copy_pages(SessionImpl& session, const MappedView& view,
                                   const Fault& fault,
                                   std::span<std::byte> room) const noexcept {
  const std::uint64_t page = (fault.address - view.begin) / page_bytes;
  const std::uint64_t block = page / view_block_pages * view_block_pages;
  const auto copies = view.source->copied_of(page);
  const std::uint16_t copied = copies.load(std::memory_order_relaxed);
  const std::uint64_t first = room.empty() ? page : block;
  std::span<std::byte> content = room;
  if (room.empty()) content = rooms_[fault.address / view_block_bytes % block_locks];
  const std::uint64_t left = (view.end - view.begin) / page_bytes - first;
  content = content.first(std::min<std::size_t>(content.size(), left * page_bytes));
  const auto there = read_pages(session, *view.source, first, content);
  if (!there) return fail(there.error());
  std::uint64_t pages = copied;
  std::size_t count = 0;
  for (std::uint64_t i = 0; i < *there; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << (first - block + i);
    if ((copied & bit) != 0) continue;
    if (i != count) {
      std::memcpy(&content[count * page_bytes], &content[i * page_bytes], page_bytes);
    }
    ++count;
    pages |= bit;
  }
  if ((pages >> (page - block) & 1) == 0) {
    return fail(Code::bad_argument, "the file ends before the page", view.source->peer->cell(),
                ENXIO);
  }
  return ask_and_show(session, view, fault,
                      {.at = view,
                       .call = {.op = GateOp::view_fault,
                                .args = {view.id, page, 1, pages & ~std::uint64_t{copied}},
                                .data = content.first(count * page_bytes)},
                       .writable = true,
                       .copies = copies});
}

}  // namespace hive::lib

#include "cell/member/board_reader.h"

#include <cstddef>

#include "base/safe_copy.h"
#include "cell/boot/published.h"
#include "cell/careful/careful.h"
#include "cell/member/published.h"
#include "machine/node_header.h"

namespace hive::cell {
namespace {

BoardReader::Outcome outcome_of(const Error& error) {
  switch (error.code) {
    case Code::cell_down: return BoardReader::Outcome::bus_error;
    case Code::busy: return BoardReader::Outcome::busy;
    default: return BoardReader::Outcome::corrupt;
  }
}

}  // namespace

BoardReader::Outcome BoardReader::find(CellId cell, Place& place) {
  const machine::NodeHeader* header = machine::node_header(layout_, cell);
  std::uint64_t offset = 0;
  if (!safe_copy(&offset, &header->root_offset, sizeof offset)) return Outcome::bus_error;
  if (offset == 0) return Outcome::busy;  // it is still booting
  if (offset >= layout_.kernel_bytes) return Outcome::corrupt;
  const CarefulReader reader = reader_of(cell);
  const auto root = reader.read<CellRoot>(layout_.kernel_begin(cell) + offset);
  if (!root) return outcome_of(root.error());
  const std::uint64_t at = (*root)->member_board;
  if (at == 0) return Outcome::busy;
  if (const auto board = reader.read<MemberBoard>(at); !board) return outcome_of(board.error());
  place.board = at + offsetof(MemberBoard, board);
  return Outcome::read;
}

BoardReader::Outcome BoardReader::read(CellId cell, Board& out) {
  Place& place = places_[static_cast<std::size_t>(cell)];
  // The word first: a change after it was read wakes us again. Also when the board can not be
  // read: who sleeps on the word before it would be woken at once, and for ever.
  std::uint32_t word = 0;
  if (!safe_load32(&machine::node_header(layout_, cell)->member_word, word)) {
    return Outcome::bus_error;
  }
  if (place.was_read && word == place.word) return Outcome::same;
  place.word = word;
  place.was_read = false;
  if (place.board == 0) {
    if (const Outcome found = find(cell, place); found != Outcome::read) return found;
  }
  const CarefulReader reader = reader_of(cell);
  const auto board = reader.read_changing<Board>(place.board);
  if (!board) return outcome_of(board.error());
  place.was_read = true;
  out = *board;
  return Outcome::read;
}

}  // namespace hive::cell

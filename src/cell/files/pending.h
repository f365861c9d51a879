// What a change of names has begun and not finished yet: one note for each object, in the folder
// `pending` of the disk, under "home.number".
//
//   name   the object may have this name, or none: whoever finds the note looks. The name leads to
//          it: it has a name. Else it has none, and is removed on its home
//   gone   it has no name, and is removed when nobody has it open any more
//   claim  another home is about to name it
//   move   it is on its way from this name to another home's; that one is asked whether it is
//   there
//
// Texts are split at '/', which no name can contain.
#pragma once

#include <optional>
#include <string>

#include "cell/files/types.h"

namespace hive::cell {

struct Pending {
  enum class What : std::uint8_t { name, gone, claim, move };
  FileEntry entry;
  What what = What::gone;
  FileNumber directory = 0;  // name, move: where the name is
  std::string name{};
  CellId cell = -1;             // claim, move: the other home
  FileNumber to_directory = 0;  // move
  std::string to_name{};
};

std::string pending_key(const FileEntry& entry);
std::string pending_text(const Pending& pending);
// None: the note makes no sense.
std::optional<Pending> read_pending(const std::string& key, const std::string& text);

// "kind:home:number", as an entry of a directory has it.
std::string entry_text(const FileEntry& entry);
std::optional<FileEntry> read_entry(const std::string& text);
std::optional<FileNumber> read_file_number(const std::string& text);

}  // namespace hive::cell

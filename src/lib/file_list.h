// What a directory holds, read in pieces.
#pragma once

#include <memory>

#include <hive/file.h>
#include "lib/session_impl.h"

namespace hive::lib {

// More in one directory is taken for a mistake of its home: EOVERFLOW.
inline constexpr std::size_t listed_max = std::size_t{1} << 22;

// Adds to `list`. Errors: those of call_home(); corrupt, with EIO.
Result<void> list_directory(const std::shared_ptr<SessionImpl>& session, CellId home,
                            std::uint64_t directory, DirectoryList& list);

// The parts of all cells, without those that are down.
Result<DirectoryList> list_root(const std::shared_ptr<SessionImpl>& session);

}  // namespace hive::lib

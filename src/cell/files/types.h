// What the parts of the file system of a cell have in common.
#pragma once

#include <cstdint>
#include <string>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/files/content.h"
#include "proto/causes.h"
#include "proto/files.h"

namespace hive::cell {

using proto::fail_errno;
using proto::FileEntry;
using proto::FileKind;
static_assert(proto::file_bytes_max == content_bytes_max);

inline constexpr std::size_t file_queue_max = 4096;  // pieces of work that wait for a thread

// The errno of an error of the file system; those of other parts say EIO.
inline int errno_of(const Error& error) { return error.sys_errno != 0 ? error.sys_errno : EIO; }

}  // namespace hive::cell

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

using proto::FileKind;
static_assert(proto::file_bytes_max == content_bytes_max);

// What a name leads to.
struct FileEntry {
  FileKind kind = FileKind::file;
  CellId home = -1;
  FileNumber number = 0;
  bool operator==(const FileEntry&) const = default;
};

// `return fail_errno(ENOENT);`
inline Failure fail_errno(int number) {
  return fail(proto::code_of_errno(number), proto::cause::file_refused, -1, number);
}
// The errno of an error of the file system; those of other parts say EIO.
inline int errno_of(const Error& error) { return error.sys_errno != 0 ? error.sys_errno : EIO; }

}  // namespace hive::cell

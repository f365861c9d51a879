#include "base/file_lock.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>

namespace hive {

Result<UniqueFd> try_lock_file(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail(Code::host, "the file of a lock can not be made", -1, errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Code::busy, "somebody else holds the lock", -1, errno);
  }
  return file;
}

}  // namespace hive

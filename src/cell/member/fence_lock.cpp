#include "cell/member/fence_lock.h"

#include <fcntl.h>
#include <sys/file.h>

namespace hive::cell {

FenceLock::FenceLock(const std::string& path)
    : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
      held_(file_.valid() && ::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) {}

}  // namespace hive::cell

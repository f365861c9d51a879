// What a gate hands on to the files of its cell, which may take as long as a disk does.
#pragma once

#include <memory>

#include "cell/gate/gate.h"

namespace hive::cell {

class FileRequests {
 public:
  virtual ~FileRequests() = default;

  // Sees to it that a request for a file_ operation is answered once, later and by another thread.
  // Any thread; does not block.
  virtual void run(const std::shared_ptr<Gate>& gate, const TakenRequest& taken) = 0;
};

}  // namespace hive::cell

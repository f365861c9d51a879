// Where a fake cell finds out about the segments of its fellows: a file for each name in the
// directory of the machine, written when the segment has been made.
#pragma once

#include <string>

#include "cell/gate/name_service.h"
#include "cell/home/home.h"

namespace hive::test {

class FakeNames final : public cell::NameService {
 public:
  FakeNames(std::string dir, CellId self) : dir_(std::move(dir)), self_(self) {}
  void set_home(const cell::Home* home) { home_ = home; }

  void find(std::string_view name, Found done) override;
  void reserve(std::string_view name, Reserved done) override;
  void release(std::string_view name) override;

 private:
  std::string path(std::string_view name) const { return dir_ + "/name." + std::string(name); }

  const std::string dir_;
  const CellId self_;
  const cell::Home* home_ = nullptr;
};

}  // namespace hive::test

// The gates' view of names: what may block is done as an errand, off the gate workers.
#pragma once

#include <string>

#include "base/work_pool.h"
#include "cell/control/names.h"
#include "cell/gate/name_service.h"

namespace hive::cell {

class GateNames final : public NameService {
 public:
  GateNames(Names& names, WorkPool& errands) : names_(names), errands_(errands) {}

  void find(std::string_view name, Found done) override {
    const bool taken = errands_.post(
        [this, text = std::string(name), done] { done(names_.find(text)); });
    if (!taken) done(fail(Code::exhausted, "the cell has too many requests waiting"));
  }
  void reserve(std::string_view name, Reserved done) override {
    const bool taken = errands_.post(
        [this, text = std::string(name), done] { done(names_.reserve(text)); });
    if (!taken) done(fail(Code::exhausted, "the cell has too many requests waiting"));
  }
  void release(std::string_view name) override { names_.finish(name); }

 private:
  Names& names_;
  WorkPool& errands_;
};

}  // namespace hive::cell

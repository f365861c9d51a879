#include "fake_names.h"

#include <fstream>

#include "proto/causes.h"

namespace hive::test {

void FakeNames::find(std::string_view name, Found done) {
  if (home_->has_segment(name)) return done(self_);
  CellId cell = -1;
  std::ifstream file(path(name));
  if (file >> cell && cell != self_) return done(cell);
  done(fail(Code::not_found, proto::cause::no_such_name));
}

void FakeNames::reserve(std::string_view name, Reserved done) {
  if (home_->has_segment(name)) return done(fail(Code::exists, proto::cause::name_taken));
  done({});
}

void FakeNames::release(std::string_view name) {
  if (!home_->has_segment(name)) return;
  std::ofstream(path(name) + ".new") << self_;
  std::rename((path(name) + ".new").c_str(), path(name).c_str());
}

}  // namespace hive::test

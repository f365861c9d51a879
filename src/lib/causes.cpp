#include "lib/causes.h"

#include <mutex>
#include <set>
#include <string>

#include "proto/causes.h"

namespace hive::lib {
namespace {

constexpr std::size_t kept_causes_max = 64;

struct Kept {
  std::mutex mutex;
  std::set<std::string, std::less<>>
      texts;  // guarded by mutex; never shrinks: errors point into it
};

Kept& kept() {
  static Kept* const instance = new Kept;  // never destroyed: errors outlive static objects
  return *instance;
}

}  // namespace

const char* lasting_cause(std::string_view text) {
  if (text.empty()) return proto::causes[0];
  for (const char* known : proto::causes) {
    if (text == known) return known;
  }
  Kept& all = kept();
  const std::scoped_lock lock(all.mutex);
  if (const auto found = all.texts.find(text); found != all.texts.end()) return found->c_str();
  if (all.texts.size() >= kept_causes_max) return "the cell gave a reason that is not known here";
  return all.texts.emplace(text).first->c_str();
}

}  // namespace hive::lib

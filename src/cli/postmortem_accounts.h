// The accounts that survivors have written of the deaths of cells (cell/control/post_mortem.h),
// put together by death. They are files: the machine need not run.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace hive::cli {

// One death: what is the same in all accounts, and the accounts, in the order in which the
// survivors noticed it.
struct Death {
  int number = 0;  // 1 is the oldest that is kept
  std::string boot;
  int cell = -1;
  std::uint64_t incarnation = 0;
  std::uint64_t time_ms = 0;  // since 1970, of the first account
  std::vector<nlohmann::json> accounts;

  // The first account knows best why: it was there when it was noticed.
  std::string cause() const;
  std::string last_words() const;
  // Of what all survivors lost, and of what the dead left; empty arrays when nobody could read it.
  nlohmann::json ranges() const;
  nlohmann::json left(const char* what) const;  // "tasks" or "segments"
};

// Those of a machine, oldest first. Files that make no sense are passed over.
std::vector<Death> read_deaths(const std::string& state_dir);

}  // namespace hive::cli

#include "cell/control/post_mortem.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/safe_copy.h"
#include "base/time.h"
#include "cell/boot/panic_record.h"
#include "cell/boot/published.h"
#include "cell/control/cell_list.h"
#include "machine/node_header.h"

namespace hive::cell {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Json votes_of(const Membership::Loss& loss) {
  Json votes = Json::array();
  for (const Vote& vote : loss.votes) {
    votes.push_back({{"by", vote.by},
                     {"verdict", verdict_name(vote.verdict)},
                     {"accuser", vote.accuser},
                     {"saw", vote.hint == Hint::none ? "" : cause_of(vote.hint)}});
  }
  return votes;
}

Json lost_of(const HomeLoss& loss) {
  Json tasks = Json::array();
  for (const HomeLoss::Task& task : loss.tasks) {
    tasks.push_back({{"task", task.task}, {"program", task.program}});
  }
  Json ranges = Json::array();
  for (const HomeLoss::Range& range : loss.ranges) {
    ranges.push_back({{"segment", range.segment},
                      {"offset", range.offset},
                      {"bytes", range.bytes},
                      {"task", range.task},
                      {"put_back", range.put_back}});
  }
  return {{"tasks", tasks}, {"ranges", ranges}, {"locks", loss.locks}};
}

}  // namespace

void PostMortem::note(CellId dead, HomeLoss loss) {
  std::string words = read_panic_record(config_.panic_path(dead));
  std::uint32_t state = 0;
  (void)safe_load32(&machine::node_header(config_.layout, dead)->state, state);
  const std::scoped_lock lock(mutex_);
  Noted& noted = noted_[dead];
  noted.ended_as_ordered = state == static_cast<std::uint32_t>(CellState::ending);
  noted.home.add(std::move(loss));
  if (!words.empty()) noted.last_words = std::move(words);
}

PostMortem::Noted PostMortem::take(CellId dead) {
  const std::scoped_lock lock(mutex_);
  return std::exchange(noted_[dead], {});
}

Result<void> PostMortem::write(const Membership::Loss& loss, CellSet survivors) {
  const Noted noted = take(loss.cell);
  if (noted.ended_as_ordered) return {};
  const std::uint64_t time_ms = static_cast<std::uint64_t>(wall_clock_ns()) / ns_per_ms;
  Json account = {{"boot", config_.boot_id},
                  {"machine", config_.machine},
                  {"cell", loss.cell},
                  {"incarnation", loss.incarnation},
                  {"by", config_.self},
                  {"epoch", loss.epoch},
                  {"survivors", list_of(survivors)},
                  {"time_ms", time_ms},
                  {"cause", loss.cause},
                  {"last_words", noted.last_words},
                  {"times_ns",
                   {{"noticed", loss.noticed_ns},
                    {"known_off", loss.known_off_ns},
                    {"closed", loss.closed_ns},
                    {"passed", loss.passed_ns},
                    {"discarded", loss.discarded_ns},
                    {"settled", loss.done_ns}}},
                  {"votes", votes_of(loss)},
                  {"lost_here", lost_of(noted.home)}};
  if (survivors.lowest() == config_.self) account["left_behind"] = survey_.left_by(loss.cell);

  const std::string directory = config_.state_dir + "/postmortem";
  std::error_code error;
  fs::create_directories(directory, error);
  const std::string path = fmt::format("{}/{:013}-{}-{}.{}-by{}.json", directory, time_ms,
                                       config_.boot_id, loss.cell, loss.incarnation, config_.self);
  // Whole or not at all: this cell may be the next one to die.
  const std::string half = path + ".half";
  std::ofstream file(half);
  file << account.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
  file.close();
  if (!file || std::rename(half.c_str(), path.c_str()) != 0) {
    fs::remove(half, error);
    return fail(Code::host, "the post-mortem can not be written to the state directory");
  }
  remove_oldest(directory);
  return {};
}

void PostMortem::remove_oldest(const std::string& directory) const {
  const std::string mine = fmt::format("-by{}.json", config_.self);
  std::vector<fs::path> accounts;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().filename().string().ends_with(mine)) accounts.push_back(entry.path());
  }
  if (accounts.size() <= accounts_max) return;
  std::ranges::sort(accounts);  // their names begin with the time
  accounts.resize(accounts.size() - accounts_max);
  for (const fs::path& account : accounts) fs::remove(account, error);
}

}  // namespace hive::cell

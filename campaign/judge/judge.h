// Decides after each fault whether it was contained, from the plan and the logs of the load, which
// never went through Hive. What the kernels say of themselves is used for two things only: that
// their accounts add up with what the plan says they must be, and how long their phases took.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "campaign/judge/evidence.h"
#include "campaign/judge/files.h"
#include "campaign/judge/pages.h"
#include "campaign/judge/shared.h"

namespace hive::campaign {

class Judge {
 public:
  Judge(Plan plan, std::string dir)
      : plan_(std::move(plan)), reader_(std::move(dir)), pages_(plan_) {}

  // {"fault", "verdict": contained | escaped, "escapes": [{what, evidence}], "times_ms"}.
  // Throws Json::exception for what makes no sense.
  Json decide(const Json& told);

 private:
  struct Case;  // one fault
  void escape(Case& now, const std::string& what, const std::string& evidence) const;
  void judge_cells(Case& now) const;
  void judge_components(Case& now) const;
  void learn(Case& now);       // what was done
  void judge_logs(Case& now);  // what was seen
  void judge_the_voted_out(Case& now) const;
  void judge_error(Case& now, const Witnessed& by, const Event& event) const;
  void judge_audit(Case& now, const Witnessed& by, const Event& event);
  void judge_accounts(Case& now) const;
  // judge_files.cpp
  void judge_files(Case& now);
  void judge_file_error(Case& now, const Witnessed& by, const Event& event) const;
  void judge_old_file(Case& now, const Witnessed& by, const Event& event) const;
  void take_times(Case& now) const;

  const Plan plan_;
  EvidenceReader reader_;
  Pages pages_;
  Shared shared_;
  Files files_;
};

}  // namespace hive::campaign

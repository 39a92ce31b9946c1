// What a person is shown: `.status` from what was seen and decided. Pure. The one place where it is
// made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crd/oms_upgrade.h"
#include "reconcilers/decide/planner.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/observe/site.h"
#include "reconcilers/show/plan.h"
#include "reconcilers/steps/state.h"

namespace oms::show {

struct ViewInput {
  const crd::OmsUpgrade& resource;
  const observe::Site& site;
  const model::OperationRecord* record = nullptr;  // The open operation, or the last one.
  const model::Facts* facts = nullptr;
  const steps::State* state = nullptr;          // Of an open operation.
  const steps::StepState* preflight = nullptr;  // When no operation is open and one is wanted.
  const Plan* plan = nullptr;                   // Of what is wanted and not opened yet.
  // Operations' folders of which the backups were removed: history names them no more.
  std::vector<std::string> pruned = {};
  decide::Decision decision = {};
  base::WallTime now = {};
  base::SteadyTime steady_now = {};
};

// From the status before: what is kept are transition times, history and tokens.
crd::Status BuildStatus(crd::Status status, const ViewInput& in);

// How far the downtime of an open operation has come towards spec.strategy.downtimeBudget.
enum class DowntimeLevel { kWell, kNear, kOver };
DowntimeLevel DowntimeLevelOf(const crd::Spec& spec, const model::OperationRecord& record,
                              base::WallTime now);
// What a person is told of it; empty while it is well. The same text as long as the level is.
std::string DowntimeText(const crd::Spec& spec, DowntimeLevel level);

// What is left for a person once the operation is closed (guide, steps 6 and 7).
struct FollowUp {
  bool warning = false;  // Something does not run, and will not by itself.
  std::string text;
};
std::vector<FollowUp> FollowUpsOf(const model::OperationRecord& record);

// The same but for what only counts bytes or time: progress, downtime, bytes of phases.
bool SameButForProgress(const crd::Status& a, const crd::Status& b);

}  // namespace oms::show

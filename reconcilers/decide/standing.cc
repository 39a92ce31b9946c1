#include "reconcilers/decide/standing.h"

#include <fmt/format.h>

#include "crd/reasons.h"
#include "reconcilers/steps/accept.h"

namespace oms::decide {
namespace {

using Kind = Decision::Kind;

// What the last operation came to, where that is what runs.
Decision WhatItCameTo(const StandingView& view) {
  Decision decision{Kind::kIdle, model::Step::kPreflight, crd::reason::kUpToDate,
                    "OMS runs version " + view.running.ToString()};
  if (view.last == nullptr) return decision;
  const model::OperationRecord& last = *view.last;
  if (last.outcome == model::OperationOutcome::kSucceeded && last.to == view.running) {
    decision.reason = crd::reason::kSucceeded;
    decision.message = fmt::format("upgraded from {} to {}", last.from, last.to);
  }
  if (last.outcome == model::OperationOutcome::kRolledBack && last.from == view.running) {
    decision.reason = crd::reason::kRolledBackByRequest;
    decision.message =
        !last.undoes
            ? fmt::format("the upgrade from {} to {} was rolled back; OMS runs {}", last.from,
                          last.to, last.from)
            : fmt::format("rolled back from {} to {}, with the data from before the upgrade",
                          last.to, last.from);
  }
  return decision;
}

}  // namespace

bool LeftDataUnknown(const model::OperationRecord& record) {
  if (record.outcome != model::OperationOutcome::kAbandoned || record.said_whole) return false;
  const bool back = record.direction == model::Direction::kRollback;
  const bool touched = record.Passed(record.undoes ? model::PointKind::kRollbackStopping
                                                   : model::PointKind::kNewStarting);
  return touched && !record.Seen(back ? model::Step::kAwaitOldHealth : model::Step::kAwaitHealth);
}

Decision DecideStanding(const StandingView& view) {
  Decision decision = WhatItCameTo(view);
  if (view.ha_off) decision.message += "; HA is off: components that stop are not restarted";
  if (view.not_running) {
    decision.kind = Kind::kHold;
    decision.warning = true;
    decision.reason = view.not_running->reason;
    decision.message += "; but " + view.not_running->message;
    return decision;
  }
  if (view.data_unknown && view.last != nullptr) {
    decision.kind = Kind::kHold;
    decision.reason = crd::reason::kAbandoned;
    decision.message += fmt::format(
        "; but the operation from {} to {} was abandoned midway, so it is unknown whether the "
        "databases are intact. See RESTORE.md in {}; after you have checked that OMS is intact, "
        "annotate {}={}",
        view.last->from, view.last->to, view.last->folder, crd::kAccept,
        steps::AcceptToken(*view.last, crd::reason::kAbandoned));
    return decision;
  }
  if (view.unwell_begun) decision.wait = kLookAgainAtTrouble;
  if (view.unwell.empty()) return decision;
  decision.kind = Kind::kHold;
  decision.warning = true;
  decision.reason = crd::reason::kOmsUnhealthy;
  decision.message += fmt::format(
      "; but OMS is not healthy: {}; the controller does not change it: repair OMS", view.unwell);
  return decision;
}

}  // namespace oms::decide

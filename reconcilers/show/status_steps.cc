#include "reconcilers/show/status_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "crd/reasons.h"
#include "reconcilers/steps/table.h"

namespace oms::show {
namespace {

using Kind = decide::Decision::Kind;
using crd::StepCondition;

std::vector<const model::StepInfo*> StepsBehind(StepCondition condition,
                                                model::Direction direction) {
  std::vector<const model::StepInfo*> steps;
  for (const auto& info : model::StepsOf(direction)) {
    if (info.condition == condition) steps.push_back(&info);
  }
  return steps;
}

// How one condition's steps stand together.
struct Joined {
  steps::Verdict verdict = steps::Verdict::kDone;
  std::string reason = crd::reason::kDone;
  std::string message;
  bool begun = false;
  uint64_t done = 0, total = 0;
};

Joined Join(const std::vector<const model::StepInfo*>& steps, const steps::State& state,
            model::Step current) {
  Joined joined;
  bool all_skipped = !steps.empty();
  for (const auto* info : steps) {
    const steps::StepState& at = steps::At(state, info->step);
    all_skipped = all_skipped && at.verdict == steps::Verdict::kSkipped;
    if (info->step == current || at.complete()) joined.begun = true;
    if (at.complete()) {
      if (joined.message.empty()) joined.message = at.message;
      continue;
    }
    if (joined.verdict == steps::Verdict::kDone) {
      joined = {at.verdict, at.reason, at.message, joined.begun || info->step == current,
                at.done,    at.total};
    }
  }
  if (joined.verdict == steps::Verdict::kDone && all_skipped) {
    joined.verdict = steps::Verdict::kSkipped;
    joined.reason = crd::reason::kSkipped;
  }
  return joined;
}

class StepsView {
 public:
  StepsView(crd::Status& status, const ViewInput& in, const crd::Stamp& stamp)
      : in_(in), status_(status), stamp_(stamp) {}

  void Show();

 private:
  model::Direction direction() const { return in_.record->direction; }
  bool GoneBack() const { return in_.record->outcome == model::OperationOutcome::kRolledBack; }
  void StepOfOpenOperation(StepCondition condition, crd::PhaseStatus& phase);
  void StepOfClosedOperation(StepCondition condition, crd::PhaseStatus& phase);
  void RollbackAsAWhole(StepCondition condition, crd::PhaseStatus& phase);
  void WhatWasReverted();
  void PreflightOnly();
  void Times(StepCondition condition, crd::PhaseStatus& phase) const;

  const ViewInput& in_;
  crd::Status& status_;
  const crd::Stamp& stamp_;
};

// A step begins when the one before it in the order of work has ended.
void StepsView::Times(StepCondition condition, crd::PhaseStatus& phase) const {
  const model::OperationRecord& record = *in_.record;
  std::optional<base::WallTime> before = record.started;
  bool first = true;
  for (const auto& info : model::StepsOf(direction())) {
    const auto seen = record.Progress(info.step).seen;
    if (info.condition == condition) {
      if (first) phase.started_at = before;
      first = false;
      phase.finished_at = seen;
    }
    before = seen;
  }
  const int begun = record.Progress(StepsBehind(condition, direction()).front()->step).begun;
  if (begun > 0) phase.attempts = begun;
}

void StepsView::StepOfOpenOperation(StepCondition condition, crd::PhaseStatus& phase) {
  const Joined joined = Join(StepsBehind(condition, direction()), *in_.state, in_.decision.step);
  Times(condition, phase);
  phase.message = joined.message;
  phase.bytes_done = static_cast<int64_t>(joined.done);
  phase.bytes_total = static_cast<int64_t>(joined.total);
  switch (joined.verdict) {
    case steps::Verdict::kDone:
    case steps::Verdict::kSkipped:
      phase.state = joined.verdict == steps::Verdict::kDone ? crd::PhaseState::kDone
                                                            : crd::PhaseState::kSkipped;
      if (joined.message.empty()) phase.message = steps::SummaryOf(*in_.record, condition);
      crd::MarkTrue(status_.conditions, condition, joined.reason, phase.message, stamp_);
      return;
    case steps::Verdict::kFailed:
      phase.state = crd::PhaseState::kFailed;
      crd::MarkFalse(status_.conditions, condition,
                     joined.reason.empty() ? crd::reason::kFailed : joined.reason, joined.message,
                     stamp_);
      return;
    case steps::Verdict::kRunning:
    case steps::Verdict::kPending: break;
  }
  phase.finished_at.reset();
  if (condition == model::InfoOf(in_.decision.step).condition) {
    phase.state = crd::PhaseState::kRunning;
    const std::string& why = in_.decision.kind == Kind::kRun || in_.decision.kind == Kind::kWait
                                 ? crd::reason::kInProgress
                                 : in_.decision.reason;
    crd::MarkFalse(status_.conditions, condition, why, joined.message, stamp_);
  } else {
    phase.state = crd::PhaseState::kPending;
    phase.started_at.reset();
    crd::MarkUnknown(status_.conditions, condition, crd::reason::kNotStarted, "", stamp_);
  }
}

void StepsView::RollbackAsAWhole(StepCondition condition, crd::PhaseStatus& phase) {
  const model::OperationRecord& record = *in_.record;
  const std::string why = record.turns.empty() ? "" : record.turns.back().why;
  if (condition == crd::kRollbackNeeded) {
    phase.state = crd::PhaseState::kDone;
    if (!record.turns.empty()) phase.started_at = phase.finished_at = record.turns.back().at;
    phase.message = why;
    crd::MarkTrue(status_.conditions, condition,
                  why.empty() ? std::string(crd::reason::kDone) : why,
                  fmt::format("from {} back to {}", record.to, record.from), stamp_);
    return;
  }
  phase.finished_at = record.ended;
  if (!GoneBack()) {
    crd::MarkUnknown(status_.conditions, condition, crd::reason::kNotStarted, "", stamp_);
    return;
  }
  phase.state = crd::PhaseState::kDone;
  crd::MarkTrue(status_.conditions, condition, crd::reason::kDone,
                fmt::format("OMS runs {} again", record.from), stamp_);
}

// Of the upgrade's own conditions; those that serve both ways tell of the way back.
void StepsView::WhatWasReverted() {
  const auto& back = crd::RollbackSteps();
  for (const auto condition : crd::UpgradeSteps()) {
    if (std::find(back.begin(), back.end(), condition) != back.end()) continue;
    if (condition == crd::kComponentUpgraded) continue;  // Nothing takes it back.
    if (crd::IsTrue(status_.conditions, condition)) {
      crd::MarkFalse(status_.conditions, condition, crd::reason::kReverted, "rolled back", stamp_);
    }
  }
}

void StepsView::StepOfClosedOperation(StepCondition condition, crd::PhaseStatus& phase) {
  Times(condition, phase);
  const bool done = phase.finished_at.has_value();
  // It was not seen to its end, so nothing is claimed that was not seen.
  const bool whole = in_.record->outcome == model::OperationOutcome::kSucceeded || GoneBack();
  if (!whole && !done) {
    phase.state = crd::PhaseState::kPending;
    phase.started_at.reset();
    crd::MarkUnknown(
        status_.conditions, condition, crd::reason::kNotStarted,
        in_.record->outcome == model::OperationOutcome::kAbandoned ? "abandoned" : "cancelled",
        stamp_);
    return;
  }
  phase.state = done ? crd::PhaseState::kDone : crd::PhaseState::kSkipped;
  // A step that was skipped keeps the words that said why.
  const kube::Condition* known = crd::FindCondition(status_.conditions, condition.type);
  if (known != nullptr && known->reason == crd::reason::kSkipped) {
    phase.state = crd::PhaseState::kSkipped;
    phase.message = known->message;
    return;
  }
  phase.message = steps::SummaryOf(*in_.record, condition);
  crd::MarkTrue(status_.conditions, condition, done ? crd::reason::kDone : crd::reason::kSkipped,
                phase.message, stamp_);
}

void StepsView::PreflightOnly() {
  const steps::StepState& preflight = *in_.preflight;
  if (preflight.verdict == steps::Verdict::kFailed) {
    crd::MarkFalse(status_.conditions, crd::kPreflightPassed, preflight.reason, preflight.message,
                   stamp_);
  } else if (preflight.complete()) {
    crd::MarkTrue(status_.conditions, crd::kPreflightPassed, crd::reason::kDone, "", stamp_);
  } else {
    crd::MarkFalse(status_.conditions, crd::kPreflightPassed, crd::reason::kInProgress,
                   preflight.message, stamp_);
  }
}

void StepsView::Show() {
  crd::InitConditions(status_.conditions, stamp_);
  if (in_.record == nullptr || (!in_.record->open() && in_.preflight != nullptr)) {
    if (in_.preflight != nullptr) {
      // A new operation is about to begin: the conditions of the one before are history.
      if (in_.record != nullptr && (crd::IsTrue(status_.conditions, crd::kContainersStopped) ||
                                    crd::IsTrue(status_.conditions, crd::kRollbackNeeded))) {
        crd::ResetSteps(status_.conditions, stamp_);
        status_.phases.clear();
      }
      PreflightOnly();
    }
    return;
  }
  if (in_.record->open() && in_.state == nullptr) return;  // Nothing new was seen.
  status_.phases.clear();
  const bool back = direction() == model::Direction::kRollback;
  for (const auto condition : back ? crd::RollbackSteps() : crd::UpgradeSteps()) {
    crd::PhaseStatus phase;
    phase.name = std::string(condition.type);
    if (condition == crd::kRollbackNeeded || condition == crd::kRollbackCompleted) {
      RollbackAsAWhole(condition, phase);
    } else if (const char* why = steps::LeftOut(*in_.record, condition)) {
      phase.state = crd::PhaseState::kSkipped;
      crd::MarkTrue(status_.conditions, condition, crd::reason::kSkipped, why, stamp_);
    } else if (in_.record->open()) {
      StepOfOpenOperation(condition, phase);
    } else {
      StepOfClosedOperation(condition, phase);
    }
    status_.phases.push_back(std::move(phase));
  }
  if (GoneBack()) WhatWasReverted();
}

}  // namespace

void ShowSteps(crd::Status& status, const ViewInput& in, const crd::Stamp& stamp) {
  StepsView(status, in, stamp).Show();
}

}  // namespace oms::show

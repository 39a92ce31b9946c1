#include "crd/conditions.h"

#include <algorithm>

#include "controller/base/text.h"
#include "crd/reasons.h"

namespace oms::crd {
namespace {

using kube::Condition;
using kube::ConditionStatus;

Condition* Find(Conditions& conditions, std::string_view type) {
  const auto found = std::find_if(conditions.begin(), conditions.end(),
                                  [&](const Condition& c) { return c.type == type; });
  return found == conditions.end() ? nullptr : &*found;
}

void Set(Conditions& conditions, std::string_view type, ConditionStatus status,
         std::string_view why, std::string_view message, const Stamp& stamp) {
  Condition* condition = Find(conditions, type);
  if (condition == nullptr) {
    condition = &conditions.emplace_back();
    condition->type = type;
    condition->status = status;
    condition->last_transition_time = stamp.now;
  }
  if (condition->status != status) {
    condition->status = status;
    condition->last_transition_time = stamp.now;
  }
  condition->reason = why;
  condition->message = base::CutText(message, kMaxMessageBytes);
  condition->observed_generation = stamp.generation;
}

// Every type, in the order in which a reader sees them.
const std::vector<std::string_view>& AllTypes() {
  static const auto* const types = [] {
    auto* const all = new std::vector<std::string_view>{kReady, kReconciling, kStalled};
    for (const auto& steps : {UpgradeSteps(), RollbackSteps()}) {
      for (const auto& step : steps) {
        if (std::find(all->begin(), all->end(), step.type) == all->end()) all->push_back(step.type);
      }
    }
    return all;
  }();
  return *types;
}

bool IsSummary(std::string_view type) {
  return type == kReady || type == kReconciling || type == kStalled;
}

}  // namespace

const std::vector<StepCondition>& UpgradeSteps() {
  static const auto* const steps = new std::vector<StepCondition>{
      kPreflightPassed,   kImageLoaded,        kHaDisabled,        kComponentUpgraded,
      kContainersStopped, kHeartbeatCompacted, kDatabasesBackedUp, kConfigBackedUp,
      kConfigRewritten,   kContainersStarted,  kSchemaCorrected,   kMetadataInitialized,
      kUpgradeScriptRun,  kServicesHealthy,    kHaEnabled};
  return *steps;
}

const std::vector<StepCondition>& RollbackSteps() {
  static const auto* const steps = new std::vector<StepCondition>{
      kRollbackNeeded,     kBackupsVerified,   kHaDisabled,       kNewContainersStopped,
      kUpgradedStateSaved, kDatabasesRestored, kConfigRestored,   kOldContainersRestarted,
      kServicesHealthy,    kHaEnabled,         kRollbackCompleted};
  return *steps;
}

void InitConditions(Conditions& conditions, const Stamp& stamp) {
  Conditions ordered;
  ordered.reserve(AllTypes().size());
  for (const std::string_view type : AllTypes()) {
    if (Condition* existing = Find(conditions, type)) {
      ordered.push_back(std::move(*existing));
      continue;
    }
    Set(ordered, type, ConditionStatus::kUnknown, reason::kNotStarted, "", stamp);
  }
  conditions = std::move(ordered);
}

void ResetSteps(Conditions& conditions, const Stamp& stamp) {
  for (const std::string_view type : AllTypes()) {
    if (!IsSummary(type)) {
      Set(conditions, type, ConditionStatus::kUnknown, reason::kNotStarted, "", stamp);
    }
  }
}

void MarkTrue(Conditions& conditions, StepCondition type, std::string_view why,
              std::string_view message, const Stamp& stamp) {
  Set(conditions, type.type, ConditionStatus::kTrue, why, message, stamp);
}

void MarkFalse(Conditions& conditions, StepCondition type, std::string_view why,
               std::string_view message, const Stamp& stamp) {
  Set(conditions, type.type, ConditionStatus::kFalse, why, message, stamp);
}

void MarkUnknown(Conditions& conditions, StepCondition type, std::string_view why,
                 std::string_view message, const Stamp& stamp) {
  Set(conditions, type.type, ConditionStatus::kUnknown, why, message, stamp);
}

const Condition* FindCondition(const Conditions& conditions, std::string_view type) {
  const auto found = std::find_if(conditions.begin(), conditions.end(),
                                  [&](const Condition& c) { return c.type == type; });
  return found == conditions.end() ? nullptr : &*found;
}

bool IsTrue(const Conditions& conditions, std::string_view type) {
  const Condition* const found = FindCondition(conditions, type);
  return found != nullptr && found->status == ConditionStatus::kTrue;
}

void Summarize(Conditions& conditions, const Verdict& verdict, const Stamp& stamp) {
  struct Row {
    ConditionStatus ready, reconciling, stalled;
  };
  constexpr auto kT = ConditionStatus::kTrue;
  constexpr auto kF = ConditionStatus::kFalse;
  constexpr auto kU = ConditionStatus::kUnknown;
  Row row{};
  switch (verdict.standing) {
    case Standing::kCurrent: row = {kT, kF, kF}; break;
    case Standing::kInProgress: row = {kF, kT, kF}; break;
    case Standing::kHeld: row = {kF, kF, kF}; break;
    case Standing::kFailed: row = {kF, kF, kT}; break;
    case Standing::kUnknown: row = {kU, kT, kF}; break;
  }
  const std::string_view given = verdict.reason;
  const std::string_view why = given.empty() ? reason::kAsExpected : given;
  Set(conditions, kReady, row.ready, why, verdict.message, stamp);
  for (const auto& [type, status] :
       {std::pair{kReconciling, row.reconciling}, std::pair{kStalled, row.stalled}}) {
    if (status == kT) {
      Set(conditions, type, status, why, verdict.message, stamp);
    } else {
      Set(conditions, type, status, reason::kAsExpected, "", stamp);
    }
  }
  for (auto& condition : conditions) condition.observed_generation = stamp.generation;
}

}  // namespace oms::crd

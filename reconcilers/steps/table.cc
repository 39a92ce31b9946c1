#include "reconcilers/steps/table.h"

#include <algorithm>
#include <array>

#include "reconcilers/steps/backup.h"
#include "reconcilers/steps/compaction.h"
#include "reconcilers/steps/component.h"
#include "reconcilers/steps/config.h"
#include "reconcilers/steps/ha.h"
#include "reconcilers/steps/health.h"
#include "reconcilers/steps/image.h"
#include "reconcilers/steps/new_containers.h"
#include "reconcilers/steps/old_containers.h"
#include "reconcilers/steps/preflight.h"
#include "reconcilers/steps/restore.h"
#include "reconcilers/steps/scripts.h"
#include "reconcilers/steps/verify.h"

namespace oms::steps {

namespace {

// Gates (suspend, window, approval) are asked before DisableHa. Downtime begins with
// StopContainers, and ends with EnableHa.
constexpr std::array kUpgrade{
    SpecOf<Preflight>(),          SpecOf<LoadImage>(),        SpecOf<SaveOldImage>(),
    SpecOf<LoadAssistant>(),      SpecOf<BackUpConfig>(),     SpecOf<RewriteConfig>(),
    SpecOf<CreateContainers>(),   SpecOf<DisableHa>(),        SpecOf<UpgradeComponents>(),
    SpecOf<StopContainers>(),     SpecOf<CompactHeartbeat>(), SpecOf<BackUpDatabases>(),
    SpecOf<EditConfig>(),         SpecOf<StartContainers>(),  SpecOf<CorrectSchema>(),
    SpecOf<InitializeMetadata>(), SpecOf<RunUpgradeScript>(), SpecOf<AwaitHealth>(),
    SpecOf<EnableHa>(),
};

// One way from StopNewContainers on. Downtime ends with RestoreHa.
constexpr std::array kRollback{
    SpecOf<VerifyBackups>(),    SpecOf<SwitchHaOff>(),       SpecOf<StopNewContainers>(),
    SpecOf<CompareDatabases>(), SpecOf<SaveUpgradedState>(), SpecOf<RestoreDatabases>(),
    SpecOf<SettleDatabases>(),  SpecOf<RestoreConfig>(),     SpecOf<StartOldContainers>(),
    SpecOf<AwaitOldHealth>(),   SpecOf<RestoreHa>(),
};

// Each step of the direction once, in the order of model/steps.h. (What each has, SpecOf sees to.)
template <size_t N>
consteval bool IsWhole(const std::array<StepSpec, N>& table, model::Direction direction) {
  const auto steps = model::StepsOf(direction);
  if (steps.size() != N) return false;
  for (size_t i = 0; i < N; ++i) {
    if (table[i].step != steps[i].step) return false;
  }
  return true;
}
static_assert(IsWhole(kUpgrade, model::Direction::kUpgrade));
static_assert(IsWhole(kRollback, model::Direction::kRollback));

consteval bool NamesDiffer() {
  for (const auto& one : model::kSteps) {
    int same = 0;
    for (const auto& other : model::kSteps) same += one.name == other.name ? 1 : 0;
    if (same != 1) return false;
  }
  return true;
}
static_assert(NamesDiffer());  // They are keys of the record.

}  // namespace

std::span<const StepSpec> SpecsOf(model::Direction direction) {
  if (direction == model::Direction::kUpgrade) return kUpgrade;
  return kRollback;
}

const StepSpec& SpecOf(model::Step step) {
  const auto at = static_cast<size_t>(step);
  return at < kUpgrade.size() ? kUpgrade[at] : kRollback[at - kUpgrade.size()];
}

State JudgeSteps(const StepInput& in) {
  State state;
  for (const StepSpec& spec : SpecsOf(in.record.direction)) At(state, spec.step) = spec.judge(in);
  return state;
}

std::string SummaryOf(const model::OperationRecord& record, crd::StepCondition condition) {
  for (const StepSpec& spec : SpecsOf(record.direction)) {
    if (model::InfoOf(spec.step).condition != condition || spec.summary == nullptr) continue;
    if (std::string text = spec.summary(record); !text.empty()) return text;
  }
  return {};
}

const char* LeftOut(const model::OperationRecord& record, crd::StepCondition condition) {
  for (const StepSpec& spec : SpecsOf(record.direction)) {
    if (model::InfoOf(spec.step).condition == condition && spec.left_out != nullptr)
      return spec.left_out(record);
  }
  return nullptr;
}

}  // namespace oms::steps

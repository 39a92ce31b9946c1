// The steps of both directions, each in the order in which they are done.
//
// This is not the order of conditions: everything that can be done before the
// stop of OMS is done before it. Two steps may share a condition; it is True when both are done.
// Going back is the same loop over other steps; what need not be undone is skipped there.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "crd/conditions.h"

namespace oms::model {

enum class Direction { kUpgrade, kRollback };

enum class Step {
  // Forward.
  kPreflight,
  kLoadImage,
  kSaveOldImage,
  kLoadAssistant,  // deployment.keepTasksRunning only, as is kUpgradeComponents.
  kBackUpConfig,
  kRewriteConfig,
  kCreateContainers,
  kDisableHa,          // Gates (suspend, window, approval) are asked before this one.
  kUpgradeComponents,  // While their tasks go on; there is no way back for them.
  kStopContainers,     // Downtime begins.
  kCompactHeartbeat,
  kBackUpDatabases,
  kEditConfig,  // deployment.config: InPlace. The old container must not meet it while it may
                // start.
  kStartContainers,
  kCorrectSchema,  // From below 4.0.1 only, as is the next one.
  kInitializeMetadata,
  kRunUpgradeScript,
  kAwaitHealth,
  kEnableHa,  // Downtime ends.
  // Back.
  kVerifyBackups,
  kSwitchHaOff,
  kStopNewContainers,  // One way from here on; the new containers are removed, their image stays.
  kCompareDatabases,   // Which of them differ from their backup at all?
  kSaveUpgradedState,
  kRestoreDatabases,
  kSettleDatabases,  // Compaction and settings of the server, where no database was restored.
  kRestoreConfig,
  kStartOldContainers,
  kAwaitOldHealth,
  kRestoreHa,  // Downtime ends.
};

struct StepInfo {
  Step step;
  std::string_view name;  // In logs, attempts, evidence and names of tasks.
  crd::StepCondition condition;
};

inline constexpr std::array<StepInfo, 30> kSteps{{
    {Step::kPreflight, "Preflight", crd::kPreflightPassed},
    {Step::kLoadImage, "LoadImage", crd::kImageLoaded},
    {Step::kSaveOldImage, "SaveOldImage", crd::kImageLoaded},
    {Step::kLoadAssistant, "LoadAssistant", crd::kComponentUpgraded},
    {Step::kBackUpConfig, "BackUpConfig", crd::kConfigBackedUp},
    {Step::kRewriteConfig, "RewriteConfig", crd::kConfigRewritten},
    {Step::kCreateContainers, "CreateContainers", crd::kContainersStarted},
    {Step::kDisableHa, "DisableHA", crd::kHaDisabled},
    {Step::kUpgradeComponents, "UpgradeComponents", crd::kComponentUpgraded},
    {Step::kStopContainers, "StopContainers", crd::kContainersStopped},
    {Step::kCompactHeartbeat, "CompactHeartbeat", crd::kHeartbeatCompacted},
    {Step::kBackUpDatabases, "BackUpDatabases", crd::kDatabasesBackedUp},
    {Step::kEditConfig, "EditConfig", crd::kConfigRewritten},
    {Step::kStartContainers, "StartContainers", crd::kContainersStarted},
    {Step::kCorrectSchema, "CorrectSchema", crd::kSchemaCorrected},
    {Step::kInitializeMetadata, "InitializeMetadata", crd::kMetadataInitialized},
    {Step::kRunUpgradeScript, "RunUpgradeScript", crd::kUpgradeScriptRun},
    {Step::kAwaitHealth, "AwaitHealth", crd::kServicesHealthy},
    {Step::kEnableHa, "EnableHA", crd::kHaEnabled},
    {Step::kVerifyBackups, "VerifyBackups", crd::kBackupsVerified},
    {Step::kSwitchHaOff, "SwitchHAOff", crd::kHaDisabled},
    {Step::kStopNewContainers, "StopNewContainers", crd::kNewContainersStopped},
    {Step::kCompareDatabases, "CompareDatabases", crd::kUpgradedStateSaved},
    {Step::kSaveUpgradedState, "SaveUpgradedState", crd::kUpgradedStateSaved},
    {Step::kRestoreDatabases, "RestoreDatabases", crd::kDatabasesRestored},
    {Step::kSettleDatabases, "SettleDatabases", crd::kDatabasesRestored},
    {Step::kRestoreConfig, "RestoreConfig", crd::kConfigRestored},
    {Step::kStartOldContainers, "StartOldContainers", crd::kOldContainersRestarted},
    {Step::kAwaitOldHealth, "AwaitOldHealth", crd::kServicesHealthy},
    {Step::kRestoreHa, "RestoreHA", crd::kHaEnabled},
}};
inline constexpr size_t kUpgradeStepCount = static_cast<size_t>(Step::kVerifyBackups);

constexpr std::span<const StepInfo> StepsOf(Direction direction) {
  const std::span<const StepInfo> all(kSteps);
  return direction == Direction::kUpgrade ? all.first(kUpgradeStepCount)
                                          : all.subspan(kUpgradeStepCount);
}

constexpr const StepInfo& InfoOf(Step step) { return kSteps[static_cast<size_t>(step)]; }
constexpr std::string_view NameOf(Step step) { return InfoOf(step).name; }

}  // namespace oms::model

#include "reconcilers/phases/phases.h"

namespace oms::upgrade {

std::optional<StepLimit> LimitOf(const crd::Timeouts& timeouts, Step step) {
  switch (step) {
    case Step::kDisableHa:
    case Step::kEnableHa:
    case Step::kSwitchHaOff:
    case Step::kRestoreHa: return StepLimit{timeouts.ha_switch, "haSwitch"};
    case Step::kBackUpConfig:
    case Step::kRewriteConfig:
    case Step::kEditConfig:
    case Step::kRestoreConfig: return StepLimit{timeouts.config, "config"};
    case Step::kCompactHeartbeat:
    case Step::kSettleDatabases: return StepLimit{timeouts.compact, "compact"};
    case Step::kCreateContainers:
    case Step::kStartContainers:
    case Step::kStartOldContainers: return StepLimit{timeouts.start, "start"};
    default: return std::nullopt;
  }
}

base::Status RunStep(const base::Context& ctx, Step step, OperationSession& op) {
  switch (step) {
    case Step::kPreflight: return base::Ok();  // Only looked at.
    case Step::kLoadImage: return LoadImage(ctx, op);
    case Step::kSaveOldImage: return SaveOldImage(ctx, op);
    case Step::kLoadAssistant: return LoadAssistant(ctx, op);
    case Step::kBackUpConfig: return BackUpConfig(ctx, op);
    case Step::kRewriteConfig: return RewriteConfig(ctx, op);
    case Step::kCreateContainers: return CreateContainers(ctx, op);
    case Step::kDisableHa: return DisableHaSwitch(ctx, op);
    case Step::kUpgradeComponents: return UpgradeComponents(ctx, op);
    case Step::kStopContainers: return StopContainers(ctx, op);
    case Step::kCompactHeartbeat: return CompactHeartbeat(ctx, op);
    case Step::kBackUpDatabases: return BackUpDatabases(ctx, op);
    case Step::kEditConfig: return EditConfig(ctx, op);
    case Step::kStartContainers: return StartContainers(ctx, op);
    case Step::kCorrectSchema: return CorrectSchema(ctx, op);
    case Step::kInitializeMetadata: return InitializeMetadata(ctx, op);
    case Step::kRunUpgradeScript: return RunUpgradeScript(ctx, op);
    case Step::kAwaitHealth: return AcceptHealth(ctx, op);
    case Step::kEnableHa: return EnableHaSwitch(ctx, op);
    case Step::kVerifyBackups: return VerifyBackups(ctx, op);
    case Step::kSwitchHaOff: return SwitchHaOffForRollback(ctx, op);
    case Step::kStopNewContainers: return StopNewContainers(ctx, op);
    case Step::kCompareDatabases: return CompareDatabases(ctx, op);
    case Step::kSaveUpgradedState: return SaveUpgradedState(ctx, op);
    case Step::kRestoreDatabases: return RestoreDatabases(ctx, op);
    case Step::kSettleDatabases: return SettleDatabases(ctx, op);
    case Step::kRestoreConfig: return RestoreConfig(ctx, op);
    case Step::kStartOldContainers: return StartOldContainers(ctx, op);
    case Step::kAwaitOldHealth: return AcceptOldHealth(ctx, op);
    case Step::kRestoreHa: return RestoreHa(ctx, op);
  }
  return base::MakeError(base::Code::kInternal, "no such step");
}

}  // namespace oms::upgrade

#include "reconcilers/steps/phases.h"

namespace oms::steps {

std::optional<StepLimit> LimitOf(const crd::Timeouts& timeouts, model::Step step) {
  switch (step) {
    case model::Step::kDisableHa:
    case model::Step::kEnableHa:
    case model::Step::kSwitchHaOff:
    case model::Step::kRestoreHa: return StepLimit{timeouts.ha_switch, "haSwitch"};
    case model::Step::kBackUpConfig:
    case model::Step::kRewriteConfig:
    case model::Step::kEditConfig:
    case model::Step::kRestoreConfig: return StepLimit{timeouts.config, "config"};
    case model::Step::kCompactHeartbeat:
    case model::Step::kSettleDatabases: return StepLimit{timeouts.compact, "compact"};
    case model::Step::kCreateContainers:
    case model::Step::kStartContainers:
    case model::Step::kStartOldContainers: return StepLimit{timeouts.start, "start"};
    default: return std::nullopt;
  }
}

base::Status RunStep(const base::Context& ctx, model::Step step, OperationSession& op) {
  switch (step) {
    case model::Step::kPreflight: return base::Ok();  // Only looked at.
    case model::Step::kLoadImage: return LoadImage(ctx, op);
    case model::Step::kSaveOldImage: return SaveOldImage(ctx, op);
    case model::Step::kLoadAssistant: return LoadAssistant(ctx, op);
    case model::Step::kBackUpConfig: return BackUpConfig(ctx, op);
    case model::Step::kRewriteConfig: return RewriteConfig(ctx, op);
    case model::Step::kCreateContainers: return CreateContainers(ctx, op);
    case model::Step::kDisableHa: return DisableHaSwitch(ctx, op);
    case model::Step::kUpgradeComponents: return UpgradeComponents(ctx, op);
    case model::Step::kStopContainers: return StopContainers(ctx, op);
    case model::Step::kCompactHeartbeat: return CompactHeartbeat(ctx, op);
    case model::Step::kBackUpDatabases: return BackUpDatabases(ctx, op);
    case model::Step::kEditConfig: return EditConfig(ctx, op);
    case model::Step::kStartContainers: return StartContainers(ctx, op);
    case model::Step::kCorrectSchema: return CorrectSchema(ctx, op);
    case model::Step::kInitializeMetadata: return InitializeMetadata(ctx, op);
    case model::Step::kRunUpgradeScript: return RunUpgradeScript(ctx, op);
    case model::Step::kAwaitHealth: return AcceptHealth(ctx, op);
    case model::Step::kEnableHa: return EnableHaSwitch(ctx, op);
    case model::Step::kVerifyBackups: return VerifyBackups(ctx, op);
    case model::Step::kSwitchHaOff: return SwitchHaOffForRollback(ctx, op);
    case model::Step::kStopNewContainers: return StopNewContainers(ctx, op);
    case model::Step::kCompareDatabases: return CompareDatabases(ctx, op);
    case model::Step::kSaveUpgradedState: return SaveUpgradedState(ctx, op);
    case model::Step::kRestoreDatabases: return RestoreDatabases(ctx, op);
    case model::Step::kSettleDatabases: return SettleDatabases(ctx, op);
    case model::Step::kRestoreConfig: return RestoreConfig(ctx, op);
    case model::Step::kStartOldContainers: return StartOldContainers(ctx, op);
    case model::Step::kAwaitOldHealth: return AcceptOldHealth(ctx, op);
    case model::Step::kRestoreHa: return RestoreHa(ctx, op);
  }
  return base::MakeError(base::Code::kInternal, "no such step");
}

}  // namespace oms::steps

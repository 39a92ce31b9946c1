// The phases: one function per step, one file each. All have the same shape.
//
// A phase is called when its step is Pending (state.h). It writes its intent, acts, and returns;
// whether the step is done is then seen by the next look. It never waits for long work: it starts
// it. It may be called again at any time, by any process, after a crash on either side of any of
// its writes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/steps/operation_session.h"

namespace oms::steps {

base::Status LoadImage(const base::Context& ctx, OperationSession& op);
base::Status LoadAssistant(const base::Context& ctx, OperationSession& op);
base::Status SaveOldImage(const base::Context& ctx, OperationSession& op);
base::Status BackUpConfig(const base::Context& ctx, OperationSession& op);
base::Status RewriteConfig(const base::Context& ctx, OperationSession& op);
base::Status CreateContainers(const base::Context& ctx, OperationSession& op);
base::Status DisableHaSwitch(const base::Context& ctx, OperationSession& op);
base::Status PutHaBack(const base::Context& ctx,
                       OperationSession& op);  // Only what we switched off.
base::Status RestoreHaSwitch(const base::Context& ctx,
                             OperationSession& op);  // Held too long before the stop.
base::Status UpgradeComponents(const base::Context& ctx, OperationSession& op);
base::Status StopContainers(const base::Context& ctx, OperationSession& op);
base::Status CompactHeartbeat(const base::Context& ctx, OperationSession& op);
// OMS is stopped: whoever still speaks to its databases would write into the middle of the dump.
base::Status EndForeignConnections(const base::Context& ctx, OperationSession& op);
base::Status BackUpDatabases(const base::Context& ctx, OperationSession& op);
base::Status EditConfig(const base::Context& ctx, OperationSession& op);
base::Status StartContainers(const base::Context& ctx, OperationSession& op);
base::Status CorrectSchema(const base::Context& ctx, OperationSession& op);
base::Status InitializeMetadata(const base::Context& ctx, OperationSession& op);
base::Status RunUpgradeScript(const base::Context& ctx, OperationSession& op);
base::Status AcceptHealth(const base::Context& ctx, OperationSession& op);
base::Status EnableHaSwitch(const base::Context& ctx, OperationSession& op);

// How long one try of a step that is done within the pass may take, and the field that says so;
// nullopt: the step starts a task with a deadline of its own, or waits for the world.
struct StepLimit {
  base::Duration limit;
  std::string_view field;
};
std::optional<StepLimit> LimitOf(const crd::Timeouts& timeouts, model::Step step);

// The way back.
base::Status VerifyBackups(const base::Context& ctx, OperationSession& op);
base::Status SwitchHaOffForRollback(const base::Context& ctx, OperationSession& op);
base::Status StopNewContainers(const base::Context& ctx, OperationSession& op);
base::Status CompareDatabases(const base::Context& ctx, OperationSession& op);
base::Status SaveUpgradedState(const base::Context& ctx, OperationSession& op);
base::Status RestoreDatabases(const base::Context& ctx, OperationSession& op);
base::Status SettleDatabases(const base::Context& ctx, OperationSession& op);
base::Status RestoreConfig(const base::Context& ctx, OperationSession& op);
base::Status StartOldContainers(const base::Context& ctx, OperationSession& op);
base::Status AcceptOldHealth(const base::Context& ctx, OperationSession& op);
base::Status RestoreHa(const base::Context& ctx, OperationSession& op);

// The file beside config.yaml, which nothing reads any more once OMS is back; it holds a password.
base::Status RemoveRewrittenConfig(const base::Context& ctx, OperationSession& op);

// The ends; `resource` is what is latched. A turn is one-way: an edit that goes forward again waits
// for the end of the rollback.
base::Status TurnBack(const base::Context& ctx, OperationSession& op, const std::string& why,
                      const model::ResourceMark& resource);
base::Status CloseOperation(const base::Context& ctx, OperationSession& op,
                            const model::ResourceMark& resource);
// Of an undo that has stopped nothing yet. False: HA was put back, and must be seen to be.
base::Result<bool> CallOffUndo(const base::Context& ctx, OperationSession& op,
                               const std::string& why, const model::ResourceMark& resource);
base::Status AbandonOperation(const base::Context& ctx, OperationSession& op,
                              const model::ResourceMark& resource);
void MarkAbandoned(model::OperationRecord& record, const model::ResourceMark& resource,
                   base::WallTime now);

// `supervisorctl <verb> oms_console` in a container. kTransient "ConsoleNotSwitched" if it refuses.
base::Status SwitchConsole(const base::Context& ctx, OperationSession& op, const std::string& node,
                           const std::string& container, const std::string& verb);

// The same with "start", on a node where the script does not run: also at its next start.
base::Status LetConsoleStart(const base::Context& ctx, OperationSession& op,
                             const std::string& node, const std::string& container);

// One of the scripts that run once, in `container` of `node`: claims the last attempt that was
// begun and is not seen, or begins the next one.
base::Status RunScriptOnce(const base::Context& ctx, OperationSession& op, model::Step at,
                           const model::FrozenNode& node, const std::string& container);
// The component runs this operation's version from now on.
base::Status NoteUpgradedComponent(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node);

// The one for `step`.
base::Status RunStep(const base::Context& ctx, model::Step step, OperationSession& op);

}  // namespace oms::steps

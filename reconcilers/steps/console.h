// oms_console, in supervisord's words: held back beside the scripts that restructure the databases,
// and let go again.
#pragma once

#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/steps/operation_session.h"

namespace oms::steps {

// The console, in supervisord's words.
inline constexpr char kConsole[] = "oms_console";
// It runs or may run in a moment: the correction jar must not be begun beside it.
bool ConsoleMoves(const model::HealthFacts& health);

// On the script's node it was stopped for the jar; on the others IS_UPGRADE has held it back, and
// nobody else starts it. Asked after the upgrade script.
bool ConsoleStillHeld(const product::PathSteps& path, const model::OperationRecord& record,
                      const model::NodeFacts& node);

// An old container that an earlier upgrade made: its script ran on another node, or in a container
// that is gone and was made again.
bool OldConsoleHeld(const model::NodeFacts& node);

// `supervisorctl <verb> oms_console` in a container. kTransient "ConsoleNotSwitched" if it refuses.
base::Status SwitchConsole(const base::Context& ctx, OperationSession& op, const std::string& node,
                           const std::string& container, const std::string& verb);

// The same with "start", on a node where the script does not run: also at its next start.
base::Status LetConsoleStart(const base::Context& ctx, OperationSession& op,
                             const std::string& node, const std::string& container);

}  // namespace oms::steps

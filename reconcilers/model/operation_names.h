// How a record spells what it is made of. Pure.
#pragma once

#include <string_view>
#include <utility>

#include "crd/oms_upgrade.h"
#include "reconcilers/model/operation.h"

namespace oms::model {

inline constexpr std::pair<PointKind, std::string_view> kPointNames[] = {
    {PointKind::kHaDisabling, "HADisabling"},
    {PointKind::kStopping, "Stopping"},
    {PointKind::kNewStarting, "NewStarting"},
    {PointKind::kScriptStarting, "ScriptStarting"},
    {PointKind::kRollbackStopping, "RollbackStopping"},
    {PointKind::kFirstDrop, "FirstDrop"},
    {PointKind::kOldStarting, "OldStarting"},
    {PointKind::kComponentUpgrading, "ComponentUpgrading"},
};

inline constexpr std::pair<OperationOutcome, std::string_view> kOutcomeNames[] = {
    {OperationOutcome::kOpen, "Open"},
    {OperationOutcome::kSucceeded, "Succeeded"},
    {OperationOutcome::kRolledBack, "RolledBack"},
    {OperationOutcome::kAbandoned, "Abandoned"},
    {OperationOutcome::kCalledOff, "CalledOff"},
};

inline constexpr std::pair<crd::NodeRole, std::string_view> kRoleNames[] = {
    {crd::NodeRole::kAll, "All"},
    {crd::NodeRole::kManagement, "Management"},
    {crd::NodeRole::kComponent, "Component"},
};

inline constexpr std::pair<Direction, std::string_view> kDirectionNames[] = {
    {Direction::kUpgrade, "Upgrade"},
    {Direction::kRollback, "Rollback"},
};

}  // namespace oms::model

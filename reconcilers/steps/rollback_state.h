// The rows of a rollback (design section 5). Pure, as state.h.
//
// What need not be undone, by the points passed, is Skipped; so the cheapest way back is no way of
// its own.
//
//   none, HADisabling   what was created is removed, HA back to what it was
//   Stopping            compaction carried to an end; the old container started; HA
//   NewStarting         all of it
#pragma once

#include <string>
#include <string_view>

#include "reconcilers/model/operation.h"
#include "reconcilers/steps/state_rows.h"

namespace oms::steps {

State DetermineRollback(const rows::Input& in);

// How often a restore or the saving of the upgraded state is tried before a person is asked.
inline constexpr int kMaxLoads = 2;
inline constexpr int kMaxSaves = 2;

// A component that a rollback leaves running, as it touches no database.
bool GoesOn(const model::OperationRecord& record, const model::FrozenNode& node);

// What a person writes into the annotation oms.oceanbase.com/accept to accept `reason` for this
// operation, and for no other.
std::string AcceptToken(const model::OperationRecord& record, const std::string& reason);
// The same for the difference of one database, as it was found last: it accepts that one alone.
// There must be one.
std::string AcceptDifference(const model::OperationRecord& record, const std::string& database);

// Tries to save the upgraded state since the last reset token; their folders go on counting.
int SavesTried(const model::OperationRecord& record);
inline constexpr char kSavesForgiven[] = "SaveUpgradedState/forgiven";

// An old container that an earlier upgrade made: its script ran on another node, or in a container
// that is gone and was made again.
bool OldConsoleHeld(const model::NodeFacts& node);

// Below this folder of the operation lies what was kept of the upgraded state.
std::string UpgradedFolder(int attempt);
// Names of tasks and attempts, per database.
std::string RestoreTask(const std::string& database);
// The attempts of which the database still differed afterwards.
inline constexpr std::string_view kDiffered = "/differed";
std::string DifferingLoads(const std::string& database);

}  // namespace oms::steps

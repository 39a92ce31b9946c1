// A dump of databases of this operation, as the long task of one step: before the new version
// starts, and of the upgraded state before it is dropped.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reconcilers/act/backup_job.h"
#include "reconcilers/steps/operation_session.h"

namespace oms::steps {

// Of these databases, by name, into `folder` below the operation's; as spec.backup says, but for
// the tool, which StartDump chooses.
act::BackupPlan DumpPlan(const OperationSession& op, const std::string& folder,
                         const std::vector<std::string>& databases);

// The global ob_query_timeout of each server as it was before the dump raised it; nullopt: it was
// not touched, or there is no such server.
struct QueryTimeouts {
  std::optional<uint64_t> rm, cm;
};
QueryTimeouts RememberedTimeouts(const model::OperationRecord& record);
// Both are tried, whatever the first comes to.
base::Status RestoreQueryTimeouts(const base::Context& ctx, const World& world,
                                  const QueryTimeouts& timeouts);

// Chooses the tool by the databases as they are now. Counts the attempt in the record first.
// Foreign connections have been ended by the caller. kTerminal "DumpUnsupported": no tool can dump
// them whole.
base::Status StartDump(const base::Context& ctx, OperationSession& op, model::Step step,
                       int attempt, act::BackupPlan plan);

}  // namespace oms::steps

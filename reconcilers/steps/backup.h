// The three databases are dumped side by side, with their sums beside the dump (guide step 2.3).
// Each attempt has a folder of its own; a manifest that is whole and read back makes it a backup.
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct BackUpDatabases {
  static constexpr model::Step kStep = model::Step::kBackUpDatabases;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// There is one, and nothing that it holds was written since.
bool BackupHolds(const StepInput& in);

}  // namespace oms::steps

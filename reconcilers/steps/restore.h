// The upgraded state is kept, then each database that differs is brought back from the backup, side
// by side. Before the first drop every file is compared with its checksum once more; each database
// has its marks in the record, so a half-loaded one is begun again.
#pragma once

#include <string>
#include <string_view>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct SaveUpgradedState {
  static constexpr model::Step kStep = model::Step::kSaveUpgradedState;
  static void Forgive(model::OperationRecord& record, bool at_hand);
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct RestoreDatabases {
  static constexpr model::Step kStep = model::Step::kRestoreDatabases;
  static void Forgive(model::OperationRecord& record, bool at_hand);
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// How often a restore or the saving of the upgraded state is tried before a person is asked.
inline constexpr int kMaxLoads = 2;
inline constexpr int kMaxSaves = 2;

// Tries to save the upgraded state since the last reset token; their folders go on counting.
int SavesTried(const model::OperationRecord& record);

// Below this folder of the operation lies what was kept of the upgraded state.
std::string UpgradedFolder(int attempt);
// The name of the task of one database; of "": of the comparison before the first drop.
std::string RestoreTask(const std::string& database);

}  // namespace oms::steps

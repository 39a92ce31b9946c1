// The way back begins with looking: are the backups what was written, and which databases differ
// from them at all?
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct VerifyBackups {
  static constexpr model::Step kStep = model::Step::kVerifyBackups;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct CompareDatabases {
  static constexpr model::Step kStep = model::Step::kCompareDatabases;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
};

}  // namespace oms::steps

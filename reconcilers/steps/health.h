// All services answer, and the restart policy is as it was; on the way back of the old containers.
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct AwaitHealth {
  static constexpr model::Step kStep = model::Step::kAwaitHealth;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
};

struct AwaitOldHealth {
  static constexpr model::Step kStep = model::Step::kAwaitOldHealth;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
};

}  // namespace oms::steps

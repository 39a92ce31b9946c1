// The old containers: stopped, which is where the downtime begins (guide step 2.1: "stop the
// container and record the time as T1"), and on the way back started, or made again from their
// inspect document and image where they are gone.
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct StopContainers {
  static constexpr model::Step kStep = model::Step::kStopContainers;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct StartOldContainers {
  static constexpr model::Step kStep = model::Step::kStartOldContainers;
  static constexpr StepLimit kLimit{&crd::Timeouts::start, "start"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// OMS is stopped, and the old container was removed before the new one was started. The step of the
// stop says so; what the new one is made from is of no use any more.
bool OldOneIsGone(const StepInput& in, const model::NodeFacts& node);
// "<container id> <StartedAt>" of the old container.
std::string RunOf(const model::NodeFacts& node);
// Some old container that is replaced runs.
bool OldOneRuns(const StepInput& in);

}  // namespace oms::steps

// The new containers: created before the stop, started after the dump (guide step 5), and on the
// way back stopped and removed, so that a late start of them meets a 404. Each is known by our
// labels, and of the image whose id was written down, which it is asked for by its name, so that
// `docker ps` shows that.
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct CreateContainers {
  static constexpr model::Step kStep = model::Step::kCreateContainers;
  static constexpr StepLimit kLimit{&crd::Timeouts::start, "start"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
};

struct StartContainers {
  static constexpr model::Step kStep = model::Step::kStartContainers;
  static constexpr StepLimit kLimit{&crd::Timeouts::start, "start"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// The point from which a rollback is one-way. Logs and settings are kept, and the image.
struct StopNewContainers {
  static constexpr model::Step kStep = model::Step::kStopNewContainers;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// Nothing of the new container is there any more that could run, or be removed.
bool NewOneIsGone(const model::OperationRecord& record, const model::NodeFacts& node);
// It ran, or runs, and may have written the databases.
bool HasRun(const ports::ContainerInfo& container);

}  // namespace oms::steps

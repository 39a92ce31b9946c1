// The scripts that run once in the new container: the correction jar and add_resource (from below
// 4.0.1 only), and docker_upgrade.sh. Each exactly once, on one node (guide step 6, second part
// steps 7 to 9).
//
// The point is written first; then a wrapper makes the attempt's folder with a plain mkdir, so that
// only one can ever win. A successor that finds the point but no folder makes that folder itself:
// if it wins, that attempt never ran and never can, and it goes on with the next.
#pragma once

#include <string>

#include "reconcilers/model/scripts.h"
#include "reconcilers/steps/step.h"

namespace oms::steps {

struct CorrectSchema {
  static constexpr model::Step kStep = model::Step::kCorrectSchema;
  static const char* LeftOut(const model::OperationRecord& record);
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct InitializeMetadata {
  static constexpr model::Step kStep = model::Step::kInitializeMetadata;
  static const char* LeftOut(const model::OperationRecord& record);
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct RunUpgradeScript {
  static constexpr model::Step kStep = model::Step::kRunUpgradeScript;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// What became of a script that runs once, of which an attempt was begun. `back`: how a person goes
// on where it failed, as the end of a sentence.
StepState JudgeScript(const StepInput& in, model::Step at, const model::FrozenNode& frozen,
                      const model::NodeFacts* node, const std::string& back);

// One of the scripts that run once, in `container` of `node`: claims the last attempt that was
// begun and is not seen, or begins the next one.
base::Status RunScriptOnce(const base::Context& ctx, OperationSession& op, model::Step at,
                           const model::FrozenNode& node, const std::string& container);

}  // namespace oms::steps

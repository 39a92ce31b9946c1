// The component containers of a separated deployment whose tasks keep running
// (deployment.keepTasksRunning; guide step 2.1, note), one after the other.
//
//   the assistant's image is loaded                                LoadAssistant, before HA is off
//   the assistant runs with <host folder of /home/ds/run>/rpm:/root/rpm   UpgradeComponents, ...
//   support_upgrade_action.sh runs in the component, once          ... one component after the
//   other the assistant's container and image are removed
//
// The guide knows no way back from any of it, so it all is done before OMS is stopped: a failure
// leaves an OMS that runs. Management containers run all the while.
#pragma once

#include <string>

#include "reconcilers/model/scripts.h"
#include "reconcilers/steps/step.h"

namespace oms::steps {

// Whether the assistant has put its packages into the component's folder. The guide does not say
// whether its container ends then, or stays: one that ended well is done; one that runs is taken
// for done once the script is there and it has had the time.
struct AssistantState {
  enum class Kind { kNotYet, kCopies, kArrived, kFailed };
  Kind kind = Kind::kNotYet;
  std::string why;  // Of kFailed.
};
inline constexpr base::Duration kAssistantTakes = std::chrono::seconds(30);
AssistantState AssistantStateOf(const crd::Spec& spec, const model::OperationRecord& record,
                                const model::FrozenNode& frozen, const model::NodeFacts& node,
                                base::WallTime now);

// While their tasks go on.
struct UpgradeComponents {
  static constexpr model::Step kStep = model::Step::kUpgradeComponents;
  static const char* LeftOut(const model::OperationRecord& record);
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

inline constexpr char kNoneKept[] = "only with spec.deployment.keepTasksRunning";

// The spec's assistant is gone, and is still needed.
StepState NoAssistant();

// A component that a rollback leaves running, as it touches no database.
bool StaysRunning(const model::OperationRecord& record, const model::FrozenNode& node);

// The component runs this operation's version from now on.
base::Status NoteUpgradedComponent(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node);

// The upgrade of a component was begun, and turned back: its script cannot be stopped, and HA does
// not come back beside it. Nullopt: there is nothing to wait for.
std::optional<StepState> AwaitComponentScript(const StepInput& in, const model::FrozenNode& frozen,
                                              const model::NodeFacts& node);
// What the upgrade had begun in a component when it was turned back: an attempt that nobody has
// seen is claimed, so that it cannot begin late; one that ended well is remembered, as nothing
// takes it back and nothing may run it again.
base::Status SettleComponentScript(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node, const model::NodeFacts& facts);

}  // namespace oms::steps

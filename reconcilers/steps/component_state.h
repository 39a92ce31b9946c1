// The component containers of a separated deployment whose tasks keep running
// (deployment.keepTasksRunning; guide step 2.1, note): how far the upgrade of each has come. Pure.
//
//   the assistant's image is loaded                                LoadAssistant, before HA is off
//   the assistant runs with <host folder of /home/ds/run>/rpm:/root/rpm   UpgradeComponents, ...
//   support_upgrade_action.sh runs in the component, once          ... one component after the
//   other the assistant's container and image are removed
//
// The guide knows no way back from any of it, so it all is done before OMS is stopped: a failure
// leaves an OMS that runs.
#pragma once

#include <string>

#include "reconcilers/model/scripts.h"
#include "reconcilers/steps/state_rows.h"

namespace oms::steps {

// Whether the assistant has put its packages into the component's folder. The guide does not say
// whether its container ends then, or stays: one that ended well is done; one that runs is taken
// for done once the script is there and it has had the time.
struct Arrival {
  enum class Kind { kNotYet, kCopies, kArrived, kFailed };
  Kind kind = Kind::kNotYet;
  std::string why;  // Of kFailed.
};
inline constexpr base::Duration kAssistantTakes = std::chrono::seconds(30);
Arrival ArrivalOf(const crd::Spec& spec, const model::OperationRecord& record,
                  const model::FrozenNode& frozen, const model::NodeFacts& node,
                  base::WallTime now);

StepState LoadAssistant(const rows::Input& in);
StepState UpgradeComponents(const rows::Input& in);

inline constexpr char kNoneKept[] = "only with spec.deployment.keepTasksRunning";

}  // namespace oms::steps

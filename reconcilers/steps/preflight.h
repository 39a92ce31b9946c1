// Preflight: what must hold before anything of OMS is touched.
//
// Pure. Each finding says what is wrong and what to do, and is one word for the condition. The
// first one is shown; the count of the others is added.
#pragma once

#include <string>
#include <vector>

#include "controller/base/result.h"
#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/steps/step.h"

namespace oms::steps {

struct Preflight {
  static constexpr model::Step kStep = model::Step::kPreflight;
  static StepState Judge(const StepInput& in);
  static std::string Plan(const UpgradeSubject& plan);
};

// The same when no operation is open yet.
StepState PreflightState(const crd::Spec& spec, const crd::Version& from, const crd::Version& to,
                         const model::Facts& facts);

// What the spec says of the path beside its two versions.
product::PathOptions PathOptionsOf(const crd::Spec& spec);

// All that stands in the way, the facts' own troubles first. `from` is what runs.
std::vector<model::Trouble> CheckPreflight(const crd::Spec& spec, const crd::Version& from,
                                           const crd::Version& to, const model::Facts& facts);

// What a person should see to before OMS is stopped and nothing waits for (overview_limits.h), a
// sentence each; less what spec.acknowledge has.
std::vector<std::string> AdvisoriesBeforeStart(const crd::Spec& spec, const crd::Version& from,
                                               const crd::Version& to, const model::Facts& facts);

// True while the look is not complete (the heartbeat has not been seen to move yet) and nothing is
// wrong so far.
bool PreflightStillLooking(const model::Facts& facts);

}  // namespace oms::steps

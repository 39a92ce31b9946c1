// Trials: what only a try can tell, before OMS is stopped. Each makes something of ours on an
// engine or in the MetaDB, looks at what comes of it, and takes it away again.
//
// In preflight's name: nothing is made before all that can be had for a look is as it should be,
// and nothing at all while a person has said that nothing is to be touched (mode Plan, suspend),
// but for helpers of an operation that is open.
#pragma once

#include <map>
#include <set>
#include <string>

#include "controller/base/context.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/observe/observer.h"
#include "reconcilers/steps/operation_session.h"

namespace oms::steps {

// What was tried by this process, so that nothing is tried twice. Losing it costs a few seconds. It
// holds for one world (WorldOf).
struct TrialMemory {
  std::string of;
  bool fence_proved = false, rights_proved = false, rename_proved = false;
  bool query_timeout_proved = false, rows_fit_proved = false;
  std::map<std::string, bool> script_in_image;  // By image id and path.
  // Of an operation, a node and a file on its host: looked at, and free to be written.
  std::set<std::string> config_places;
};

// Adds to what was observed: script_in_image and missing_in_image, config_in_the_way and
// config_link of the nodes, and a trouble for each try that has failed.
//
// `world`: what `look` was taken of.
void TryOut(const base::Context& ctx, const observe::Look& look, const World& world,
            TrialMemory& memory, model::Facts& facts);

}  // namespace oms::steps

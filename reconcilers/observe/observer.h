// Observer: from a reached site to facts. It looks at what the state of things asks for, and no
// more. It is given reading halves alone; what only a try can tell is tried by trials.h.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/observe/site.h"
#include "reconcilers/oms/version_path.h"

namespace oms::observe {

// What a process remembers between two looks, to see movement. Losing it costs a few seconds. It
// holds for one world (WorldOf).
struct ProofCache {
  struct Beat {
    std::string modified;
    uint64_t sequence_max = 0;
    base::SteadyTime since;
    bool moved = false;
  };
  std::string of;
  std::map<std::string, Beat> beats;  // By node.
  // To ask takes several calls for each task, and a pass may follow the other at once.
  std::optional<std::vector<ports::OmsTask>> oms_tasks;
  base::SteadyTime oms_tasks_until;
};

struct Look {
  const crd::Spec& spec;
  const Site& site;
  const product::PathSteps& path;
  crd::Version from, to;
};

// Which MetaDB, as it is reached, and after which operation: what was seen or proved of another
// says nothing.
std::string WorldOf(const Site& site);

// Before an operation is open, or while it has not passed Stopping: everything preflight asks for.
// After that: what the steps of the downtime ask for.
//
// `tasks`: the long tasks of the open operation, by the name without its id; looked at before the
// call. One that is seen to have ended must be seen to have had its effect, or an image that was
// loaded in between counts as not loaded.
model::Facts Observe(const base::Context& ctx, const Views& views, const Look& look,
                     std::map<std::string, model::TaskView> tasks, ProofCache& proofs);

// With no operation open: how the containers that stand for OMS feel. Cheap, and nothing else.
model::Facts ObserveIdle(const base::Context& ctx, const Views& views, const Look& look);

}  // namespace oms::observe

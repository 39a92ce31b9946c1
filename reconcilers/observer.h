// Observer: from a reached site to facts. It looks at what the state of things asks for, and no
// more; it writes nothing of OMS (two proofs of preflight make and undo something of ours, once per
// process: see Memo).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/facts.h"
#include "reconcilers/long_tasks.h"
#include "reconcilers/site.h"

namespace oms::upgrade {

// What a process remembers between two looks, to see movement and not to prove the same thing
// twice. Losing it costs a few seconds. It holds for one MetaDB, as it is reached, and for one
// operation: what was proved of another says nothing.
struct Memo {
  struct Beat {
    std::string modified;
    uint64_t sequence_max = 0;
    base::SteadyTime since;
    bool moved = false;
  };
  std::string of;                     // Which MetaDB, and after which operation.
  std::map<std::string, Beat> beats;  // By node.
  bool fence_proved = false, rights_proved = false, rename_proved = false;
  bool query_timeout_proved = false, rows_fit_proved = false;
  std::map<std::string, bool> script_in_image;  // By image id and path.
  // Of an operation, a node and a file on its host: looked at, and free to be written.
  std::set<std::string> config_places;
  // To ask takes several calls for each task, and a pass may follow the other at once.
  std::optional<std::vector<OmsTask>> oms_tasks;
  base::SteadyTime oms_tasks_until;
};

struct Look {
  const crd::Spec& spec;
  const Site& site;
  const PathSteps& path;
  crd::Version from, to;
};

// Before an operation is open, or while it has not passed Stopping: everything preflight asks for.
// After that: what the steps of the downtime ask for.
Facts Observe(const base::Context& ctx, const Ports& ports, const Look& look,
              const LongTasks& tasks, Memo& memo);

// With no operation open: how the containers that stand for OMS feel. Cheap, and nothing else.
Facts ObserveIdle(const base::Context& ctx, const Ports& ports, const Look& look);

}  // namespace oms::upgrade

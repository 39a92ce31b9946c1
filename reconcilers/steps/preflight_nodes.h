// What preflight asks of the nodes: their containers, images, certificates, hosts and addresses. Each
// adds what it finds. Pure.
#pragma once

#include <vector>

#include "controller/base/clock.h"
#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/facts.h"

namespace oms::steps {

using Troubles = std::vector<model::Trouble>;

void CheckNode(const model::NodeFacts& node, Troubles& found);

// The guide's certificate mounts: both or none, and such as nginx can still use after the upgrade.
void CheckHttps(const crd::Spec& spec, const model::NodeFacts& node, base::WallTime now,
                Troubles& found);

// As far as it can be told without loading anything: what the archive holds is looked at by the
// step that loads it.
void CheckTargetImage(const crd::Spec& spec, const crd::Version& to, const model::Facts& facts,
                      Troubles& found);

// spec.deployment.keepTasksRunning: what the upgrade of a component in place needs (guide step 2.1,
// note).
void CheckComponents(const crd::Spec& spec, const crd::Version& from, const crd::Version& to,
                     const model::Facts& facts, Troubles& found);

// spec.nodes has several entries: are they the nodes of one OMS?
void CheckNodesTogether(const crd::Version& from, const crd::Version& to, const model::Facts& facts,
                        Troubles& found);

// "The CM database for each region is as expected" (guide, step 4): OMS finds its own hosts by
// these addresses. That the databases are reached, and have names of their own, is looked at
// elsewhere. A host name may be any address, so a list that holds one is not judged.
void CheckCmNodes(const model::Facts& facts, Troubles& found);

void CheckHosts(const model::Facts& facts, Troubles& found);

}  // namespace oms::steps

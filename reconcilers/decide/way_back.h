// Which upgrade has led to what is there, so that it can be taken back. Pure.
#pragma once

#include "reconcilers/decide/planner.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/observe/site.h"

namespace oms::decide {

// The upgrade that led to what runs, by its new container's label; null: none of ours did.
const model::OperationRecord* RunsNewOf(const observe::Site& site);

// The upgrade that led to what the databases are, where its new container is gone on some node and
// the old one has not run there since; null: none.
const model::OperationRecord* NewContainerGoneOf(const observe::Site& site);
// That it is so: to start the old one would put the old version on databases of the new.
Decision NewContainerGone(const model::OperationRecord& upgraded, const observe::Site& site,
                          const crd::Strategy& strategy);

}  // namespace oms::decide

// From a resource to its site: engines, containers, config.yaml, the MetaDB, the row and the record.
// Only looks.
#pragma once

#include "controller/base/context.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/observe/record_trust.h"
#include "reconcilers/observe/site.h"

namespace oms::observe {

// `shown`: what the status says of its operation; used where the row is gone, and held against it.
// No folder that row or status names is read, and no record there is believed, but by `trust`.
Site ReachSite(const base::Context& ctx, const Views& views, const crd::OmsUpgrade& resource,
               const crd::OperationStatus& shown, const RecordTrust& trust);

}  // namespace oms::observe

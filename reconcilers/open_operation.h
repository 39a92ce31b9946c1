// The first record of an operation: everything that will be stopped, replaced or hidden, frozen
// before the first act (design section 3). Pure but for the reading of the volume's identity, which
// is in the facts.
#pragma once

#include <optional>
#include <string>

#include "controller/base/context.h"
#include "controller/kube/meta.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/facts.h"
#include "reconcilers/operation.h"
#include "reconcilers/ports/ownership.h"
#include "reconcilers/site.h"
#include "reconcilers/version_path.h"

namespace oms::upgrade {

struct NewOperation {
  std::string id;
  kube::ObjectKey key;
  Owner owner;
  uint64_t epoch = 0;
  std::string from, to;
  ResourceMark resource;
  std::string plan_hash;
  std::string follows;                 // The id of the last operation.
  std::vector<base::WallTime> recent;  // Of operations of this OMS before, within the hour.
};

// kInvalid if the facts lack what must be frozen.
base::Result<OperationRecord> FirstRecord(const base::Context& ctx, const crd::Spec& spec,
                                          const Site& site, const Facts& facts,
                                          const NewOperation& operation);

// The first record of an undo: what the succeeded operation has frozen and passed, under an id and
// in a folder of its own, with the direction Rollback. Its backups stay where they are.
OperationRecord UndoRecord(const base::Context& ctx, const OperationRecord& undone,
                           const NewOperation& operation);

// T1, the earliest of: the stop as it was intended, the end that the engines tell (where it is of
// this run), and the last heartbeat (as an age by the server's own clock). Nullopt while a
// container still runs.
std::optional<base::WallTime> DowntimeStart(const OperationRecord& record, const Facts& facts);

// spec.deployment.upgradeScript over the table of versions.
void ApplyOverrides(const crd::Spec& spec, PathSteps& path);

}  // namespace oms::upgrade

// The first record of an operation: everything that will be stopped, replaced or hidden, frozen
// before the first act. Pure.
#pragma once

#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "controller/kube/meta.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/observe/site.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/ports/ownership.h"

namespace oms::record {

struct NewOperation {
  std::string id;
  base::WallTime now;
  kube::ObjectKey key;
  ports::Owner owner;
  uint64_t epoch = 0;
  crd::Version from, to;
  model::ResourceMark resource;
  std::string plan_hash;
  std::string follows;                 // The id of the last operation.
  std::vector<base::WallTime> recent;  // Of operations of this OMS before, within the hour.
};

// kInvalid if the facts lack what must be frozen.
base::Result<model::OperationRecord> FirstRecord(const crd::Spec& spec, const observe::Site& site,
                                                 const model::Facts& facts,
                                                 const NewOperation& operation);

// The first record of an undo: what the succeeded operation has frozen and passed, under an id and
// in a folder of its own, with the direction Rollback. Its backups stay where they are.
model::OperationRecord UndoRecord(const model::OperationRecord& undone,
                                  const NewOperation& operation);

// T1, the earliest of: the stop as it was intended, the end that the engines tell (where it is of
// this run), and the last heartbeat (as an age by the server's own clock). Nullopt while a
// container still runs.
std::optional<base::WallTime> DowntimeStart(const model::OperationRecord& record,
                                            const model::Facts& facts);

// spec.deployment.upgradeScript over the table of versions.
void ApplyOverrides(const crd::Spec& spec, product::PathSteps& path);

}  // namespace oms::record

// RecordTrust: whether the record in a folder is to be believed.
//
// The row in the MetaDB and the status name a folder. Who may write either of them may name any;
// what lies there says what is dropped, from what it is loaded, and with which settings a container
// is made. So the folder must be one that this controller may use, on the volume that is meant, and
// the record must be of this resource, or of one that it was taken over from.
#pragma once

#include <optional>
#include <string>

#include "controller/base/result.h"
#include "reconcilers/model/limits.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/model/record_cache.h"
#include "reconcilers/ports/ownership.h"
#include "reconcilers/ports/record_store.h"

namespace oms::observe {

struct RecordTrust {
  const model::Limits& limits;
  ports::Owner me;
  std::string take_over;  // By annotation, the object of the owner that a person gives up.
  model::RecordCache& cache;

  // Asked before the folder is read. kInvalid "BackupDirectoryNotAllowed".
  base::Status CheckPlace(const std::string& folder) const;
  // Of what lies there. `identity`: of the volume, as its own file says; never empty. kInvalid
  // "WrongBackupVolume", kDenied "OperationOwnedByAnother".
  base::Status Check(const model::OperationRecord& record, const std::string& folder,
                     const std::string& identity) const;
};

struct FoundRecord {
  model::OperationRecord record;
  int last_n = 0;
};

// The record of a folder, if it is to be believed: both checks, and what the volume says of itself.
// kNotFound: no such folder, or no record in it. `others`, where it is given: whose it is, if it is
// closed and that alone is why it is not believed.
base::Result<FoundRecord> ReadTrusted(ports::RecordStoreView& store, const std::string& folder,
                                      const RecordTrust& trust,
                                      std::optional<ports::Owner>* others = nullptr);

}  // namespace oms::observe

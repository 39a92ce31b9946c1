// BackupPruning: removes what old operations have backed up, and keeps their records, as
// decide/retention.h says.
//
// Once for each closed operation and each edit of the spec, and when a kept one falls due: all
// other idle passes write nothing, and read no folder. What this remembers of one resource saves
// that look alone; it is one worker's at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/decide/retention.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/ports/record_store.h"

namespace oms::pass {

// What was done before it failed is told as well.
struct Pruned {
  std::vector<std::string> paths;  // That hold no payload any more.
  std::vector<std::string>
      folders;         // Of which some was removed now; with the reason, for a person.
  uint64_t bytes = 0;  // Of those.
  base::Status status;
};
// For an event: short, however many folders there are.
std::string TextOf(const Pruned& pruned);

class BackupPruning {
 public:
  // `last`: the last operation, which is closed. `generation`: of the spec. Nullopt: it is not due.
  std::optional<Pruned> Run(const base::Context& ctx, ports::RecordStore& store,
                            const std::string& directory, const model::OperationRecord& last,
                            const decide::RetentionRule& rule, int64_t generation);

 private:
  std::string done_for_;                 // Which operation and which spec.
  std::optional<base::WallTime> again_;  // When it is worth another look.
};

}  // namespace oms::pass

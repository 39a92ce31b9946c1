// Which old backups may go: spec.backup.retain, and never a way back that is still in use. Pure.
//
// What may go is the payload of an operation's folder: the dumps, the saved state, the saved images
// and the traces of a removed container (RecordStore::RemovePayload). Its records and its copy of
// config.yaml always stay: they are small and tell the history.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/ports/ownership.h"

namespace oms::decide {

// One operation's folder, as it lies below spec.backup.directory.
struct OperationFolder {
  std::string path;  // Absolute.
  // Nullopt: it cannot be read, or is of a newer format. Refused, not guessed at.
  std::optional<model::OperationRecord> record;
};

struct RetentionRule {
  ports::Owner owner;
  int retain = 2;                  // spec.backup.retain: closed operations, newest first.
  base::Duration rollback_window;  // spec.strategy.rollbackWindow
};

struct PrunableFolder {
  std::string path;
  std::string why;  // In words for a person.
};

struct Retention {
  std::vector<PrunableFolder> remove;      // Oldest first.
  std::optional<base::WallTime> next_due;  // When one that is kept for its window alone may go.
};

// `current` is the operation that the row names: the open one, or the last. Kept are
//   - its folder, and what it undoes or restores from; the same of every open operation; and,
//     unless it succeeded, the upgrade before it;
//   - every open operation, and the `retain` newest closed ones by their end;
//   - one that succeeded and may still be gone back from without being asked (rollback_window);
//   - one that did not succeed, until a later one has: its dump may be the last whole state;
//   - what cannot be read, says that it lies elsewhere, or is another owner's or another OMS's.
Retention PrunableFolders(const std::vector<OperationFolder>& folders,
                          const model::OperationRecord& current, const RetentionRule& rule,
                          base::WallTime now);

}  // namespace oms::decide

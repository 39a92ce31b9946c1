#include "reconcilers/decide/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace oms::decide {
namespace {

// What an operation needs: where its backup and its images lie (in an undo: in the folder of the
// operation that it undoes), and that one by its id.
struct Needs {
  std::set<std::string> operations;
  std::vector<std::string> files;  // Absolute.

  void Add(const model::OperationRecord& record) {
    operations.insert(record.id);
    if (record.undoes) operations.insert(record.undoes->id);
    // Once this one is taken back, the one before it can be.
    if (record.outcome != model::OperationOutcome::kSucceeded && record.previous)
      operations.insert(record.previous->id);
    if (record.backup) files.push_back(record.backup->folder);
    for (const auto& [node, file] : record.image_backups) files.push_back(file.path);
  }
  bool Contain(const OperationFolder& folder) const {
    return operations.contains(folder.record->id) ||
           std::any_of(files.begin(), files.end(), [&](const std::string& file) {
             return file.starts_with(folder.path + "/");
           });
  }
};

bool SameOms(const model::OperationRecord& a, const model::OperationRecord& b) {
  return std::equal(a.databases.begin(), a.databases.end(), b.databases.begin(), b.databases.end(),
                    [](const model::FrozenDatabase& x, const model::FrozenDatabase& y) {
                      return x.role == y.role && x.name == y.name && x.server == y.server;
                    });
}

std::string Why(const model::OperationRecord& record, int retain) {
  return fmt::format("{} {} to {}, {} {}, older than the {} newest that spec.backup.retain keeps",
                     record.undoes ? "undo of the upgrade from" : "upgrade from", record.from,
                     record.to, model::ToString(record.outcome), base::FormatTime(*record.ended),
                     retain);
}

}  // namespace

Retention PrunableFolders(const std::vector<OperationFolder>& folders,
                          const model::OperationRecord& current, const RetentionRule& rule,
                          base::WallTime now) {
  Needs needs;
  needs.Add(current);
  std::vector<const OperationFolder*> closed;  // Of this owner and OMS.
  for (const auto& folder : folders) {
    if (!folder.record || folder.record->folder != folder.path) continue;
    const model::OperationRecord& record = *folder.record;
    if (record.open()) {
      needs.Add(record);
    } else if (record.ended && SameOms(record, current) &&
               ports::Owner{record.owner_cluster, record.owner_object} == rule.owner) {
      closed.push_back(&folder);
    }
  }
  std::stable_sort(closed.begin(), closed.end(), [](const auto* a, const auto* b) {
    return std::pair(*a->record->ended, a->record->started) >
           std::pair(*b->record->ended, b->record->started);
  });
  Retention result;
  bool later_succeeded = false;
  int newer = 0;
  for (const auto* folder : closed) {
    const model::OperationRecord& record = *folder->record;
    const bool succeeded = record.outcome == model::OperationOutcome::kSucceeded;
    const bool may_go =
        newer++ >= rule.retain && !needs.Contain(*folder) && (succeeded || later_succeeded);
    later_succeeded = later_succeeded || succeeded;
    if (!may_go) continue;
    if (const auto due = *record.ended + rule.rollback_window; succeeded && now <= due) {
      if (!result.next_due || due < *result.next_due) result.next_due = due;
      continue;
    }
    result.remove.push_back({folder->path, Why(record, rule.retain)});
  }
  std::reverse(result.remove.begin(), result.remove.end());
  return result;
}

}  // namespace oms::decide

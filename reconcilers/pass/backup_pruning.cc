#include "reconcilers/pass/backup_pruning.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "controller/base/human.h"
#include "reconcilers/model/record_cache.h"

namespace oms::pass {
namespace {

constexpr base::Duration kAgainAfterTrouble = std::chrono::hours(1);
constexpr size_t kMaxNamedFolders = 5;  // An event's message is short.

// What cannot be read is listed without a record.
base::Result<std::vector<decide::OperationFolder>> OperationFolders(const base::Context& ctx,
                                                                    ports::RecordStore& store,
                                                                    const std::string& directory) {
  OMS_ASSIGN(const auto paths, store.List(directory));
  std::vector<decide::OperationFolder> folders;
  for (const auto& path : paths) {
    OMS_TRY(ctx.Check());
    decide::OperationFolder folder{path.string(), std::nullopt};
    std::vector<std::string> texts;
    if (auto entries = store.Read(path); entries.ok()) {
      for (auto& entry : *entries) texts.push_back(std::move(entry.text));
    }
    if (auto record = model::FoldRecords(std::move(texts)); record.ok())
      folder.record = *std::move(record);
    folders.push_back(std::move(folder));
  }
  return folders;
}

Pruned Prune(const base::Context& ctx, ports::RecordStore& store,
             const std::vector<decide::PrunableFolder>& prunable) {
  Pruned pruned;
  for (const auto& folder : prunable) {
    if (pruned.status = ctx.Check(); !pruned.status.ok()) break;
    const auto removed = store.RemovePayload(folder.path);
    if (!removed.ok()) {
      pruned.status = removed.error();
      break;
    }
    pruned.paths.push_back(folder.path);
    if (removed->files == 0) continue;
    pruned.bytes += removed->bytes;
    pruned.folders.push_back(fmt::format("{} ({})", folder.path, folder.why));
  }
  return pruned;
}

}  // namespace

std::string TextOf(const Pruned& pruned) {
  const size_t named = std::min(pruned.folders.size(), kMaxNamedFolders);
  const std::vector<std::string> first(pruned.folders.begin(), pruned.folders.begin() + named);
  return fmt::format("removed {} of old backups, and kept their records: {}{}",
                     base::Human(pruned.bytes), fmt::join(first, "; "),
                     named < pruned.folders.size()
                         ? fmt::format("; and {} more", pruned.folders.size() - named)
                         : "");
}

std::optional<Pruned> BackupPruning::Run(const base::Context& ctx, ports::RecordStore& store,
                                         const std::string& directory,
                                         const model::OperationRecord& last,
                                         const decide::RetentionRule& rule, int64_t generation) {
  const base::WallTime now = ctx.clock().Wall();
  const std::string mark = fmt::format("{} {}", last.id, generation);
  if (done_for_ == mark && (!again_ || now <= *again_)) return std::nullopt;
  done_for_ = mark;
  again_ = now + kAgainAfterTrouble;
  const auto folders = OperationFolders(ctx, store, directory);
  if (!folders.ok()) return Pruned{.status = folders.error()};
  const decide::Retention retention = decide::PrunableFolders(*folders, last, rule, now);
  Pruned pruned = Prune(ctx, store, retention.remove);
  if (pruned.status.ok()) again_ = retention.next_due;
  return pruned;
}

}  // namespace oms::pass

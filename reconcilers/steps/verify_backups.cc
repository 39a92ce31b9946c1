// The way back begins with looking: are the backups what was written, and which databases differ
// from them at all? (design section 5)
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "controller/base/json.h"
#include "reconcilers/act/restore_job.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

std::filesystem::path BackupFolder(const model::OperationRecord& record) {
  return std::filesystem::path(record.folder) / record.backup->folder;
}

}  // namespace

base::Status VerifyBackups(const base::Context& ctx, OperationSession& op) {
  op.Start(ctx, TaskName(model::Step::kVerifyBackups, ""), op.spec().strategy.timeouts.restore,
           [world = op.world(), folder = BackupFolder(op.record()),
            sha256 = op.record().backup->manifest_sha256](
               const base::Context&, ports::ByteProgress&) -> base::Result<std::string> {
             OMS_TRY(act::VerifyForRestore(*world->store, folder, sha256, ""));
             return std::string();
           });
  return base::Ok();
}

base::Status CompareDatabases(const base::Context& ctx, OperationSession& op) {
  const std::string task = TaskName(model::Step::kCompareDatabases, "");
  if (const model::TaskView* view = op.facts().Task(task);
      view != nullptr && view->state == model::TaskView::State::kSucceeded) {
    OMS_ASSIGN(const auto differences, base::ParseJson(view->output));
    std::vector<std::string> differing;
    for (const auto& [database, how] : differences.items()) {
      if (!how.get<std::string>().empty()) differing.push_back(database);
      ctx.log().Info("database {}: {}", database,
                     how.get<std::string>().empty() ? "equals its backup" : how.get<std::string>());
    }
    return op.Save(ctx, [&](model::OperationRecord& record) { record.differing = differing; });
  }
  OMS_TRY(EndForeignConnections(ctx, op));
  op.Start(ctx, task, op.spec().strategy.timeouts.restore,
           [world = op.world(), folder = BackupFolder(op.record())](
               const base::Context& task_ctx, ports::ByteProgress&) -> base::Result<std::string> {
             OMS_ASSIGN(const auto differences,
                        act::CompareWithBackup(task_ctx, folder, world->meta, *world->store));
             return nlohmann::json(differences).dump();
           });
  return base::Ok();
}

}  // namespace oms::steps

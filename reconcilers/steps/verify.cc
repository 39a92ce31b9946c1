#include "reconcilers/steps/verify.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "controller/base/human.h"
#include "controller/base/json.h"
#include "crd/reasons.h"
#include "reconcilers/act/restore_job.h"
#include "reconcilers/steps/compaction.h"

namespace oms::steps {

namespace {

std::filesystem::path BackupFolder(const model::OperationRecord& record) {
  return std::filesystem::path(record.folder) / record.backup->folder;
}

}  // namespace

StepState VerifyBackups::Judge(const StepInput& in) {
  if (!in.Passed(model::PointKind::kNewStarting)) return Skipped("no database has to be restored");
  if (in.Seen(model::Step::kVerifyBackups)) return Done();
  if (!in.record.backup) {
    return Failed(crd::reason::kBackupCorrupt,
                  "the operation's record names no backup although the new container was started; "
                  "nothing is dropped");
  }
  const model::TaskView* task = in.facts.Task(TaskName(model::Step::kVerifyBackups, ""));
  if (task == nullptr) return Pending();
  if (task->state == model::TaskView::State::kSucceeded) return Done();
  StepState state = FromTask(*task, "comparing the backup's files with their checksums");
  if (state.verdict == Verdict::kFailed && in.record.undoes) {
    state.message +=
        fmt::format("; or set spec.version to {} again, which OMS still runs", in.record.to);
  }
  return state;
}

base::Status VerifyBackups::Act(const base::Context& ctx, OperationSession& op) {
  op.Start(ctx, TaskName(model::Step::kVerifyBackups, ""), op.spec().strategy.timeouts.restore,
           [world = op.world(), folder = BackupFolder(op.record()),
            sha256 = op.record().backup->manifest_sha256](
               const base::Context&, ports::ByteProgress&) -> base::Result<std::string> {
             OMS_TRY(act::VerifyForRestore(*world->store, folder, sha256, ""));
             return std::string();
           });
  return base::Ok();
}

std::string VerifyBackups::Plan(const RollbackSubject& plan) {
  return fmt::format(
      "compare every file of {} ({}) with its sha256; nothing is changed unless all of them match",
      plan.folder, base::Human(plan.undone.backup->bytes));
}

std::string VerifyBackups::Summary(const model::OperationRecord& record) {
  if (!record.backup) return {};
  return fmt::format("{} databases, {}, unchanged, in {}", record.backup->databases.size(),
                     base::Human(record.backup->bytes), record.backup->folder);
}

StepState CompareDatabases::Judge(const StepInput& in) {
  if (!in.Passed(model::PointKind::kNewStarting))
    return Skipped("the new container was never started");
  if (in.record.differing) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  const model::TaskView* task = in.facts.Task(TaskName(model::Step::kCompareDatabases, ""));
  if (task == nullptr || task->state == model::TaskView::State::kSucceeded) return Pending();
  return FromTask(*task, "comparing the databases with their backup");
}

base::Status CompareDatabases::Act(const base::Context& ctx, OperationSession& op) {
  const std::string task = TaskName(model::Step::kCompareDatabases, "");
  if (const model::TaskView* view = op.facts().Task(task);
      view != nullptr && view->state == model::TaskView::State::kSucceeded) {
    OMS_ASSIGN(const auto differences, base::ParseJson(view->output));
    std::vector<std::string> differing;
    for (const auto& [database, how] : differences.items()) {
      if (!how.get<std::string>().empty()) differing.push_back(database);
      ctx.log().Info(
          "database {}: {}", database,
          how.get<std::string>().empty() ? "matches its backup" : how.get<std::string>());
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

std::string CompareDatabases::Plan(const RollbackSubject& plan) {
  return fmt::format(
      "compare rows, sums and schema of {} with the backup; one that matches it is not changed",
      List(plan.databases));
}

}  // namespace oms::steps

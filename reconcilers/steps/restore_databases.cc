// The upgraded state is kept, then each database that differs is brought back from the backup, side
// by side (design section 5). Before the first drop every file is compared with its checksum once
// more; each database has its marks in the record, so a half-loaded one is begun again.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "reconcilers/act/restore_job.h"
#include "reconcilers/oms/heartbeat.h"
#include "reconcilers/steps/dump_task.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/rollback_state.h"

namespace oms::steps {
namespace {

namespace fs = std::filesystem;

// "A moment before" the first drop; a hold in between may have been long.
constexpr base::Duration kVerifiedForMost = std::chrono::minutes(5);

int Attempts(const OperationSession& op, const std::string& what) {
  const auto found = op.record().attempts.find(what);
  return found == op.record().attempts.end() ? 0 : found->second;
}

bool Succeeded(const model::TaskView* view) {
  return view != nullptr && view->state == model::TaskView::State::kSucceeded;
}

// The last attempt whose end is in the record, so that one end is counted once.
std::string Concluded(const std::string& database) { return RestoreTask(database) + "/concluded"; }

base::Status VerifyOnceMore(const base::Context& ctx, OperationSession& op) {
  op.Start(ctx, RestoreTask(""), op.spec().strategy.timeouts.restore,
           [world = op.world(), folder = fs::path(op.record().folder) / op.record().backup->folder,
            sha256 = op.record().backup->manifest_sha256](
               const base::Context&, ports::ByteProgress&) -> base::Result<std::string> {
             OMS_TRY(act::VerifyForRestore(*world->store, folder, sha256, ""));
             return std::string();
           });
  return base::Ok();
}

// What a finished load of this database has come to.
base::Status Conclude(const base::Context& ctx, OperationSession& op, const std::string& database,
                      const std::string& difference) {
  const base::WallTime now = ctx.clock().Wall();
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
    if (difference.empty()) {
      record.restored[database] = now;
      record.restore_differs.erase(database);
    } else {
      record.restore_differs[database] = difference;
      ++record.attempts[DifferingLoads(database)];
    }
    record.attempts[Concluded(database)] = Attempts(op, RestoreTask(database));
  }));
  if (difference.empty()) {
    op.Event("DatabaseRestored", fmt::format("database {} equals its backup again", database));
  } else {
    op.Warn(crd::reason::kRestoreDiffers,
            fmt::format("database {} was loaded and differs from its backup: {}", database,
                        difference));
  }
  return base::Ok();
}

// A person takes it as it is; in what it differs stays written down.
base::Status Accept(const base::Context& ctx, OperationSession& op, const std::string& database) {
  const base::WallTime now = ctx.clock().Wall();
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) { record.restored[database] = now; }));
  op.Warn("DifferenceAccepted",
          fmt::format("database {} differs from its backup, and is taken as it is: {}", database,
                      op.record().restore_differs.at(database)));
  return base::Ok();
}

base::Status BeginRestore(const base::Context& ctx, OperationSession& op,
                          const std::string& database) {
  const std::string task = RestoreTask(database);
  const int attempt = Attempts(op, task) + 1;
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) { record.attempts[task] = attempt; }));
  op.Start(ctx, task, op.spec().strategy.timeouts.restore,
           [world = op.world(),
            request = act::RestoreRequest{fs::path(op.record().folder) / op.record().backup->folder,
                                          database, op.record().backup->manifest_sha256}](
               const base::Context& task_ctx, ports::ByteProgress& progress) {
             return act::RestoreDatabase(task_ctx, request, world->meta, *world->backup_tool,
                                         *world->fence, *world->store, progress);
           });
  return base::Ok();
}

// The scheduled events of what is about to be dropped, for who has to create them again. Best
// effort: the way back does not hang on it.
std::vector<std::string> EventsIn(const base::Context& ctx, const OperationSession& op,
                                  const std::vector<std::string>& databases) {
  std::vector<std::string> names;
  for (const auto& database : op.record().databases) {
    if (std::find(databases.begin(), databases.end(), database.name) == databases.end()) continue;
    const auto events = op.world()->meta.For(database.role)->Events(ctx, database.name);
    if (!events.ok()) {
      ctx.log().Warn("the events of {} are not known: {}", database.name, events.error().message);
      continue;
    }
    for (const auto& event : *events) names.push_back(database.name + "." + event);
  }
  return names;
}

base::Status Unsaved(const base::Context& ctx, OperationSession& op, const std::string& why) {
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
    record.upgraded_state = model::SavedState{
        UpgradedFolder(Attempts(op, std::string(model::NameOf(model::Step::kSaveUpgradedState)))),
        false, why};
  }));
  op.Warn("UpgradedStateUnsaved",
          "the upgraded databases could not be dumped whole before they are dropped: " + why);
  return base::Ok();
}

}  // namespace

base::Status SaveUpgradedState(const base::Context& ctx, OperationSession& op) {
  if (!op.record().differing) return base::Ok();
  const std::string key(model::NameOf(model::Step::kSaveUpgradedState));
  const int last = Attempts(op, key);
  const model::TaskView* view = op.facts().Task(TaskName(model::Step::kSaveUpgradedState, ""));
  if (Succeeded(view) && last > 0) {
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      record.upgraded_state = model::SavedState{UpgradedFolder(last), true, {}};
    }));
    op.Event("UpgradedStateSaved", fmt::format("the upgraded databases are kept in {}/{}",
                                               op.record().folder, UpgradedFolder(last)));
    return base::Ok();
  }
  if (SavesTried(op.record()) >= kMaxSaves &&
      (view == nullptr || view->state == model::TaskView::State::kFailed)) {
    const bool used = op.record().Seen(std::string(model::NameOf(model::Step::kAwaitHealth)));
    const bool accepted = op.facts().accept == AcceptToken(op.record(), "UpgradedStateUnsaved");
    if (!used || accepted) {
      return Unsaved(ctx, op, view == nullptr ? "its dump was cut off" : view->error.message);
    }
  }
  OMS_TRY(EndForeignConnections(ctx, op));
  act::BackupPlan plan = DumpPlan(op, UpgradedFolder(last + 1), *op.record().differing);
  plan.from = op.record().to;
  plan.container_name = op.record().ScriptNode().new_name;
  return StartDump(ctx, op, model::Step::kSaveUpgradedState, last + 1, std::move(plan));
}

base::Status RestoreDatabases(const base::Context& ctx, OperationSession& op) {
  if (!op.record().differing || !op.record().backup) return base::Ok();
  if (!op.record().Passed(model::PointKind::kFirstDrop)) {
    const model::TaskView* verified = op.facts().Task(RestoreTask(""));
    if (!Succeeded(verified) || op.facts().steady_now - verified->ended > kVerifiedForMost) {
      return VerifyOnceMore(ctx, op);
    }
    const auto events = EventsIn(ctx, op, *op.record().differing);
    if (events != op.record().dropped_events) {
      OMS_TRY(
          op.Save(ctx, [&](model::OperationRecord& record) { record.dropped_events = events; }));
    }
    OMS_TRY(op.Pass(ctx, model::PointKind::kFirstDrop));
  }
  OMS_TRY(EndForeignConnections(ctx, op));
  const std::vector<std::string> differing = *op.record().differing;
  for (const auto& database : differing) {
    if (op.record().restored.contains(database)) continue;
    const std::string task = RestoreTask(database);
    const model::TaskView* view = op.facts().Task(task);
    if (view != nullptr && view->state == model::TaskView::State::kRunning) continue;
    if (Succeeded(view) && Attempts(op, Concluded(database)) < Attempts(op, task)) {
      OMS_TRY(Conclude(ctx, op, database, view->output));
      if (view->output.empty()) continue;
    }
    if (Attempts(op, DifferingLoads(database)) >= kMaxLoads) {
      const bool accepted = op.facts().accept == AcceptDifference(op.record(), database);
      if (accepted) OMS_TRY(Accept(ctx, op, database));
      continue;
    }
    OMS_TRY(BeginRestore(ctx, op, database));
  }
  return base::Ok();
}

base::Status SettleDatabases(const base::Context& ctx, OperationSession& op) {
  OMS_TRY(PutBack(ctx, *op.world(), RememberedTimeouts(op.record())));
  if (!op.record().Passed(model::PointKind::kNewStarting)) {
    const ports::SequenceTables& tables = op.facts().meta->sequence;
    // A table that nothing was begun on is left as it is.
    if (!tables.base.exists || tables.bak.exists || tables.bak2.exists) {
      OMS_TRY(CompactHeartbeat(ctx, op));
    }
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    record.evidence.emplace(model::NameOf(model::Step::kSettleDatabases), seen);
  });
}

}  // namespace oms::steps

#include "reconcilers/steps/restore.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "controller/base/human.h"
#include "crd/reasons.h"
#include "reconcilers/act/restore_job.h"
#include "reconcilers/steps/accept.h"
#include "reconcilers/steps/compaction.h"
#include "reconcilers/steps/dump_task.h"

namespace oms::steps {

namespace {

namespace fs = std::filesystem;

// "A moment before" the first drop; a hold in between may have been long.
constexpr base::Duration kVerifiedForMost = std::chrono::minutes(5);

bool Succeeded(const model::TaskView* view) {
  return view != nullptr && view->state == model::TaskView::State::kSucceeded;
}

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
    model::DatabaseRestore& restore = record.restores[database];
    restore.difference = difference;
    if (difference.empty()) {
      restore.restored = now;
    } else {
      ++restore.differed;
    }
    restore.concluded = restore.begun;
  }));
  if (difference.empty()) {
    op.Event(crd::reason::kDatabaseRestored,
             fmt::format("database {} matches its backup again", database));
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
  OMS_TRY(op.Save(
      ctx, [&](model::OperationRecord& record) { record.restores[database].restored = now; }));
  op.Warn(crd::reason::kDifferenceAccepted,
          fmt::format("database {} differs from its backup, and is accepted as it is: {}", database,
                      op.record().Restore(database).difference));
  return base::Ok();
}

base::Status BeginRestore(const base::Context& ctx, OperationSession& op,
                          const std::string& database) {
  const std::string task = RestoreTask(database);
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) { ++record.restores[database].begun; }));
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
    const auto events = op.world()->meta.For(database.role).server->Events(ctx, database.name);
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
        UpgradedFolder(record.Progress(model::Step::kSaveUpgradedState).begun), false, why};
  }));
  op.Warn(crd::reason::kUpgradedStateUnsaved,
          "the upgraded databases could not be dumped whole before they are dropped: " + why);
  return base::Ok();
}

}  // namespace

StepState SaveUpgradedState::Judge(const StepInput& in) {
  if (!in.record.differing) {
    return in.Passed(model::PointKind::kNewStarting)
               ? Pending()
               : Skipped("the new container was never started");
  }
  if (in.record.differing->empty()) return Skipped("every database still matches its backup");
  if (in.record.upgraded_state) {
    return in.record.upgraded_state->complete
               ? Done()
               : Done("incomplete: " + in.record.upgraded_state->why);
  }
  if (in.Passed(model::PointKind::kFirstDrop)) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  const model::TaskView* task = in.facts.Task(TaskName(model::Step::kSaveUpgradedState, ""));
  if (task == nullptr || task->state == model::TaskView::State::kSucceeded) return Pending();
  StepState state = FromTask(*task, "dumping the upgraded databases before they are dropped");
  if (state.verdict != Verdict::kFailed || SavesTried(in.record) < kMaxSaves) {
    state.retryable = true;  // Any failure: a half-migrated schema is just where dumps fail.
    state.retries_at_least = kMaxSaves;
    return state;
  }
  // Nobody has used that state: the rollback goes on without it. The phase writes that down.
  if (!in.Seen(model::Step::kAwaitHealth))
    return Pending("giving up the dump of the upgraded state");
  const std::string token = AcceptToken(in.record, crd::reason::kUpgradedStateUnsaved);
  if (in.facts.accept == token) return Pending("a person continues without it");
  return Failed(
      crd::reason::kUpgradedStateUnsaved,
      fmt::format("the upgraded databases, which were in use, cannot be dumped before they are "
                  "dropped: {}; correct that and annotate {}, or continue without it with {}={}",
                  state.message, crd::kResetAt, crd::kAccept, token));
}

base::Status SaveUpgradedState::Act(const base::Context& ctx, OperationSession& op) {
  if (!op.record().differing) return base::Ok();
  const int last = op.record().Progress(kStep).begun;
  const model::TaskView* view = op.facts().Task(TaskName(model::Step::kSaveUpgradedState, ""));
  if (Succeeded(view) && last > 0) {
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      record.upgraded_state = model::SavedState{UpgradedFolder(last), true, {}};
    }));
    op.Event(crd::reason::kUpgradedStateSaved,
             fmt::format("the upgraded databases are kept in {}/{}", op.record().folder,
                         UpgradedFolder(last)));
    return base::Ok();
  }
  if (SavesTried(op.record()) >= kMaxSaves &&
      (view == nullptr || view->state == model::TaskView::State::kFailed)) {
    const bool used = op.record().Seen(model::Step::kAwaitHealth);
    const bool accepted =
        op.facts().accept == AcceptToken(op.record(), crd::reason::kUpgradedStateUnsaved);
    if (!used || accepted) {
      return Unsaved(ctx, op, view == nullptr ? "its dump was cut off" : view->error.message);
    }
  }
  OMS_TRY(EndForeignConnections(ctx, op));
  act::BackupPlan plan = DumpPlan(op, UpgradedFolder(last + 1), *op.record().differing);
  plan.from = op.record().to.ToString();
  plan.container_name = op.record().ScriptNode().new_name;
  return StartDump(ctx, op, model::Step::kSaveUpgradedState, last + 1, std::move(plan));
}

std::string SaveUpgradedState::Plan(const RollbackSubject& plan) {
  return fmt::format(
      "dump their current content{} into {} with {}, before anything is dropped",
      plan.database_bytes ? fmt::format(" ({})", base::Human(*plan.database_bytes)) : "",
      plan.spec.backup.directory, NameOfTool(plan.spec, nullptr));
}

std::string SaveUpgradedState::Summary(const model::OperationRecord& record) {
  return record.upgraded_state ? record.folder + "/" + record.upgraded_state->folder
                               : std::string();
}

// One that was tried once may still be given up after its second try.
void SaveUpgradedState::Forgive(model::OperationRecord& record, bool) {
  if (SavesTried(record) < kMaxSaves) return;
  model::StepProgress& saves = record.steps[kStep];
  saves.forgiven = saves.begun;
}

StepState RestoreDatabases::Judge(const StepInput& in) {
  if (!in.record.differing) {
    return in.Passed(model::PointKind::kNewStarting)
               ? Pending()
               : Skipped("the new container was never started");
  }
  if (in.record.differing->empty()) return Skipped("every database still matches its backup");
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  StepState loading = Done();
  for (const auto& database : *in.record.differing) {
    const model::DatabaseRestore restore = in.record.Restore(database);
    if (restore.restored) continue;
    const model::TaskView* task = in.facts.Task(RestoreTask(database));
    if (!restore.difference.empty() && restore.differed >= kMaxLoads &&
        (task == nullptr || task->state != model::TaskView::State::kRunning)) {
      const std::string token = AcceptDifference(in.record, database);
      if (in.facts.accept == token) return Pending("a person accepts the difference");
      return Failed(
          crd::reason::kRestoreDiffers,
          fmt::format(
              "database {} was loaded twice and still differs from its backup: {}; see RESTORE.md "
              "in {}, then annotate {} to load it again, or accept the difference with {}={}",
              database, restore.difference, in.record.folder, crd::kResetAt, crd::kAccept, token));
    }
    if (task == nullptr || task->state == model::TaskView::State::kSucceeded) {
      if (loading.complete()) loading = Pending();
      continue;
    }
    StepState state = FromTask(*task, fmt::format("restoring {}", database));
    if (state.verdict == Verdict::kFailed) return state;
    state.done += loading.done;
    state.total += loading.total;
    // One that is still to be begun goes before the wait for another.
    if (loading.verdict == Verdict::kPending) {
      loading.done = state.done;
      loading.total = state.total;
    } else {
      loading = std::move(state);
    }
  }
  if (!loading.complete() && loading.verdict == Verdict::kPending) {
    const model::TaskView* verify = in.facts.Task(RestoreTask(""));
    if (verify != nullptr && !in.Passed(model::PointKind::kFirstDrop) &&
        verify->state != model::TaskView::State::kSucceeded) {
      return FromTask(*verify, "comparing the backup's files with their checksums again");
    }
  }
  return loading;
}

base::Status RestoreDatabases::Act(const base::Context& ctx, OperationSession& op) {
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
    OMS_TRY(op.RecordPoint(ctx, model::PointKind::kFirstDrop));
  }
  OMS_TRY(EndForeignConnections(ctx, op));
  const std::vector<std::string> differing = *op.record().differing;
  for (const auto& database : differing) {
    if (op.record().Restore(database).restored) continue;
    const std::string task = RestoreTask(database);
    const model::TaskView* view = op.facts().Task(task);
    if (view != nullptr && view->state == model::TaskView::State::kRunning) continue;
    const model::DatabaseRestore before = op.record().Restore(database);
    if (Succeeded(view) && before.concluded < before.begun) {
      OMS_TRY(Conclude(ctx, op, database, view->output));
      if (view->output.empty()) continue;
    }
    if (op.record().Restore(database).differed >= kMaxLoads) {
      const bool accepted = op.facts().accept == AcceptDifference(op.record(), database);
      if (accepted) OMS_TRY(Accept(ctx, op, database));
      continue;
    }
    OMS_TRY(BeginRestore(ctx, op, database));
  }
  return base::Ok();
}

std::string RestoreDatabases::Plan(const RollbackSubject& plan) {
  std::vector<std::string> sizes;
  for (const auto& name : plan.databases) {
    const auto& parts = plan.undone.backup->databases;
    const auto part = std::find_if(parts.begin(), parts.end(),
                                   [&](const model::BackupPart& p) { return p.name == name; });
    sizes.push_back(part == parts.end() ? name
                                        : fmt::format("{} ({})", name, base::Human(part->bytes)));
  }
  return fmt::format("drop {}, create them again and load {}; then compare again", List(sizes),
                     plan.folder);
}

std::string RestoreDatabases::Summary(const model::OperationRecord& record) {
  std::vector<std::string> equal;
  std::string accepted;
  for (const auto& [name, restore] : record.restores) {
    if (!restore.restored) continue;
    if (restore.difference.empty()) {
      equal.push_back(name);
    } else {
      accepted += fmt::format("; {} was accepted as it is: {}", name, restore.difference);
    }
  }
  if (equal.empty() && accepted.empty()) return {};
  return fmt::format("{} match{} {}{}", fmt::join(equal, ", "), equal.size() == 1 ? "es" : "",
                     equal.size() == 1 ? "its backup" : "their backups", accepted);
}

void RestoreDatabases::Forgive(model::OperationRecord& record, bool at_hand) {
  for (auto& [name, restore] : record.restores) {
    restore.differed = 0;
    if (at_hand) restore.difference.clear();
  }
}

int SavesTried(const model::OperationRecord& record) {
  const model::StepProgress saves = record.Progress(model::Step::kSaveUpgradedState);
  return saves.begun - saves.forgiven;
}

std::string UpgradedFolder(int attempt) { return fmt::format("upgraded/{}", attempt); }

std::string RestoreTask(const std::string& database) {
  return TaskName(model::Step::kRestoreDatabases, database.empty() ? "verify" : "db:" + database);
}

}  // namespace oms::steps

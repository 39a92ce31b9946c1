#include "reconcilers/steps/rollback_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "controller/base/sha256.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/oms/heartbeat.h"

namespace oms::steps {
namespace {

using namespace rows;  // NOLINT(google-build-using-namespace): made for this file and one more.

bool Restores(const Input& in) { return in.Passed(model::PointKind::kNewStarting); }
bool Stopped(const Input& in) { return in.Passed(model::PointKind::kStopping); }
bool Seen(const Input& in, model::Step step) {
  return in.record.Seen(std::string(model::NameOf(step)));
}

StepState VerifyBackups(const Input& in) {
  if (!Restores(in)) return Skipped("no database has to be restored");
  if (Seen(in, model::Step::kVerifyBackups)) return Done();
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

// Of an undo: HA as it is now counts, not as it was before the upgrade; a person may have switched
// it since. The phase writes that down.
StepState SwitchHaOffForUndo(const Input& in) {
  const bool unread = !in.facts.meta || !in.facts.meta->ha_raw;
  if (in.facts.meta && !in.facts.meta->ha_unreadable.empty())
    return Done("ha.config cannot be read: " + in.facts.meta->ha_unreadable);
  if (unread && (!in.facts.meta || !in.facts.troubles.empty())) {
    return Running("waiting for the MetaDB");
  }
  if (unread) return Done("there is no ha.config any more");
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Done(ha.error().message);
  if (ha->enabled != in.record.ha_was_on) return Pending();
  if (!ha->enabled) return Skipped("HA is off and stays off");
  return in.spec.ha.control == crd::HaControl::kManual ? AwaitsHaSwitch(false) : Pending();
}

// Best effort: the table may be gone, and what runs is stopped next in any case.
StepState SwitchHaOff(const Input& in) {
  if (!Stopped(in)) return Skipped("OMS was not stopped");
  const bool past =
      Seen(in, model::Step::kSwitchHaOff) || in.Passed(model::PointKind::kRollbackStopping);
  if (!past && in.record.undoes && !in.Passed(model::PointKind::kHaDisabling)) {
    return SwitchHaOffForUndo(in);
  }
  if (!in.record.ha_was_on) return Skipped("HA was off before");
  if (past) return Done();
  if (!in.facts.meta || !in.facts.meta->ha_raw) return Done("ha.config cannot be read");
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Done(ha.error().message);
  if (!ha->enabled) return Done();
  if (in.spec.ha.control == crd::HaControl::kManual) {
    // A person can switch it only where the console was well.
    return Seen(in, model::Step::kAwaitHealth)
               ? AwaitsHaSwitch(false)
               : Done("spec.ha.control is Manual: HA was left as it is");
  }
  return Pending();
}

// Whether the stop of the old container, which the upgrade had begun, may still be under way.
bool StopUnfinished(const Input& in, const model::FrozenNode& frozen,
                    const model::NodeFacts& node) {
  return !frozen.kept && Stopped(in) && node.old_container && node.old_container->running &&
         node.old_container->started_at == frozen.old_started_at;
}

// The upgrade of a component was begun, and turned back: its script cannot be stopped, and HA does
// not come back beside it. Nullopt: there is nothing to wait for.
std::optional<StepState> ComponentScript(const Input& in, const model::FrozenNode& frozen,
                                         const model::NodeFacts& node) {
  if (!frozen.kept || in.record.ComponentUpgraded(frozen)) return std::nullopt;
  const bool runs = node.old_container && node.old_container->running;
  if (!node.script) {
    const int begun =
        in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name,
                              std::string(model::NameOf(model::Step::kUpgradeComponents)));
    // It could not be looked at, which is no word on whether it runs.
    if (begun == 0 || !node.old_container) return std::nullopt;
    return Running(
        fmt::format("waiting for the engine of node {}: whether the upgrade script of "
                    "the component '{}' runs is not known",
                    frozen.name, frozen.old_name));
  }
  switch (node.script->kind) {
    case model::ScriptState::Kind::kRunning: {
      StepState waiting = Running(
          fmt::format("the upgrade script of the component '{}' on node {} runs, and is waited for",
                      frozen.old_name, frozen.name));
      return waiting;
    }
    case model::ScriptState::Kind::kNoFolder:
      return runs ? std::optional(Pending("an attempt that nobody has seen is claimed"))
                  : std::nullopt;
    case model::ScriptState::Kind::kEnded:
      return node.script->exit_code == 0 ? std::optional(Pending()) : std::nullopt;
    case model::ScriptState::Kind::kNeverRan:
    case model::ScriptState::Kind::kUnknown: break;
  }
  return std::nullopt;
}

StepState StopNewContainers(const Input& in) {
  return EachOf(
      in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (auto script = ComponentScript(in, frozen, node)) return *std::move(script);
        // Whatever it is, it may be OMS: no database is dropped beside it, and nothing started.
        if (Restores(in) && node.planned_name_runs) {
          return Failed(
              "NameTaken",
              fmt::format("node {}: a container '{}' runs that is not known to be of this "
                          "operation; stop and remove it, then annotate {}",
                          frozen.name, frozen.new_name, crd::kResetAt));
        }
        // From the first old one's start on the databases are back: none is stopped any more.
        const bool old_started = in.Passed(model::PointKind::kOldStarting);
        const bool old_must_stand =
            !old_started && (StopUnfinished(in, frozen, node) ||
                             (Restores(in) && node.old_container && node.old_container->running));
        if (NewOneIsGone(in.record, node) && node.helpers.empty() && !old_must_stand &&
            (!Restores(in) || in.Passed(model::PointKind::kRollbackStopping))) {
          return Done();
        }
        if (const model::TaskView* task =
                in.facts.Task(TaskName(model::Step::kStopNewContainers, frozen.name));
            task != nullptr && task->state != model::TaskView::State::kSucceeded) {
          return FromTask(*task,
                          fmt::format("stopping OMS {} on node {}", in.record.to, frozen.name));
        }
        return Pending();
      });
}

StepState CompareDatabases(const Input& in) {
  if (!Restores(in)) return Skipped("the new container was never started");
  if (in.record.differing) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  const model::TaskView* task = in.facts.Task(TaskName(model::Step::kCompareDatabases, ""));
  if (task == nullptr || task->state == model::TaskView::State::kSucceeded) return Pending();
  return FromTask(*task, "comparing the databases with their backup");
}

int Attempts(const Input& in, const std::string& what) {
  const auto found = in.record.attempts.find(what);
  return found == in.record.attempts.end() ? 0 : found->second;
}

StepState SaveUpgradedState(const Input& in) {
  if (!in.record.differing) {
    return Restores(in) ? Pending() : Skipped("the new container was never started");
  }
  if (in.record.differing->empty()) return Skipped("every database still equals its backup");
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
  if (!Seen(in, model::Step::kAwaitHealth))
    return Pending("giving the dump of the upgraded state up");
  const std::string token = AcceptToken(in.record, "UpgradedStateUnsaved");
  if (in.facts.accept == token) return Pending("a person goes on without it");
  return Failed(
      "UpgradedStateUnsaved",
      fmt::format("the upgraded databases, which were in use, cannot be dumped before they are "
                  "dropped: {}; mend that and annotate {}, or go on without it by {}={}",
                  state.message, crd::kResetAt, crd::kAccept, token));
}

StepState RestoreDatabases(const Input& in) {
  if (!in.record.differing) {
    return Restores(in) ? Pending() : Skipped("the new container was never started");
  }
  if (in.record.differing->empty()) return Skipped("every database still equals its backup");
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  StepState loading = Done();
  for (const auto& database : *in.record.differing) {
    if (in.record.restored.contains(database)) continue;
    const model::TaskView* task = in.facts.Task(RestoreTask(database));
    const auto differs = in.record.restore_differs.find(database);
    if (differs != in.record.restore_differs.end() &&
        Attempts(in, DifferingLoads(database)) >= kMaxLoads &&
        (task == nullptr || task->state != model::TaskView::State::kRunning)) {
      const std::string token = AcceptDifference(in.record, database);
      if (in.facts.accept == token) return Pending("a person accepts the difference");
      return Failed(crd::reason::kRestoreDiffers,
                    fmt::format("database {} was loaded twice and still differs from its backup: "
                                "{}; look at RESTORE.md in {}, then annotate {} to load it again, "
                                "or accept the difference by {}={}",
                                database, differs->second, in.record.folder, crd::kResetAt,
                                crd::kAccept, token));
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
      return FromTask(*verify, "comparing the backup's files with their checksums once more");
    }
  }
  return loading;
}

bool OldOneRuns(const Input& in) {
  return std::any_of(in.facts.nodes.begin(), in.facts.nodes.end(),
                     [](const model::NodeFacts& node) {
                       return !node.kept && node.old_container && node.old_container->running;
                     });
}

// What the upgrade had begun and no restore replaces: copies of the compaction go, and a global
// setting is put back.
StepState SettleDatabases(const Input& in) {
  const bool set = in.record.global_query_timeout || in.record.cm_global_query_timeout;
  if (!Stopped(in) || (Restores(in) && !set)) {
    return Skipped("nothing was begun in the databases");
  }
  if (Seen(in, model::Step::kSettleDatabases)) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  // Somebody has started it: its tables are its own again, once it has them.
  if (OldOneRuns(in) && in.facts.meta->sequence.base.exists && !set)
    return Skipped("the old container runs already");
  return Pending();
}

StepState RestoreConfig(const Input& in) {
  const auto& nodes = in.record.nodes;
  const bool edited = std::any_of(nodes.begin(), nodes.end(), [&](const model::FrozenNode& node) {
    return in.record.ConfigEditedInPlace(node);
  });
  if (!edited)
    return Skipped("config.yaml was not touched; the new version read a file of its own");
  return Seen(in, model::Step::kRestoreConfig) ? Done() : Pending();
}

StepState StartOldContainers(const Input& in) {
  if (!Stopped(in)) return Skipped("OMS was not stopped");
  if (Seen(in, model::Step::kAwaitOldHealth)) return Done();
  return EachOf(
      in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (GoesOn(in.record, frozen)) return Done();
        if (node.old_container && node.old_container->running &&
            in.record.Passed(model::PointKind::kOldStarting, frozen.name)) {
          return Done();
        }
        if (node.old_container && in.record.Passed(model::PointKind::kOldStarting, frozen.name) &&
            node.old_container->status == "exited" &&
            node.old_container->started_at != frozen.old_started_at) {
          StepState died = Failed(
              "OldContainerDied",
              fmt::format(
                  "node {}: the old container '{}', started at {}, has ended (exit code {}); "
                  "see `docker logs {}`",
                  frozen.name, frozen.old_name, node.old_container->started_at,
                  node.old_container->exit_code, frozen.old_name));
          died.retryable = died.repeatable = true;
          return died;
        }
        if (!node.old_container && node.old_name_taken) {
          return Failed(
              "NameTaken",
              fmt::format("node {}: the old container '{}' is gone, and another one of that "
                          "name is in its place; rename or remove it, then annotate {}",
                          frozen.name, frozen.old_name, crd::kResetAt));
        }
        if (node.old_container || !node.old_image_gone) return Pending();
        if (!in.record.image_backups.contains(frozen.name)) {
          return Failed(
              "OldImageGone",
              fmt::format("node {}: the container '{}' and its image {} are gone, and no "
                          "copy of the image was kept; load the image again, then annotate "
                          "{}",
                          frozen.name, frozen.old_name, frozen.old_image, crd::kResetAt));
        }
        if (const model::TaskView* task =
                in.facts.Task(TaskName(model::Step::kStartOldContainers, frozen.name));
            task != nullptr && task->state != model::TaskView::State::kSucceeded) {
          return FromTask(*task, fmt::format("bringing the image of {} back on node {}",
                                             in.record.from, frozen.name));
        }
        return Pending();
      });
}

StepState AwaitOldHealth(const Input& in) {
  if (!Stopped(in)) return Skipped("OMS was not stopped");
  if (Seen(in, model::Step::kAwaitOldHealth)) return Done();
  StepState all =
      EachOf(in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (GoesOn(in.record, frozen)) return Done();
        if (!node.health) return Running("waiting for node " + frozen.name);
        const std::string missing = node.health->Missing();
        if (missing.empty()) return Done();
        // It may be an earlier upgrade's new one, whose console its IS_UPGRADE holds back.
        if (OldConsoleHeld(node))
          return Pending(fmt::format("oms_console is to be started on node {}", frozen.name));
        const auto since = in.record.PassedAt(model::PointKind::kOldStarting, frozen.name);
        if (since && in.facts.now - *since > in.spec.strategy.timeouts.healthy) {
          StepState late = Failed(
              "ServicesNotHealthy",
              fmt::format(
                  "node {}: the old container '{}' is not healthy {} after it was started: {}; "
                  "see `docker logs {}`; it is still looked at",
                  frozen.name, frozen.old_name,
                  base::FormatDuration(in.spec.strategy.timeouts.healthy), missing,
                  frozen.old_name));
          return late;
        }
        StepState waiting = Running(fmt::format("node {}: {}", frozen.name, missing));
        waiting.look_again = std::chrono::milliseconds(300);  // OMS is down meanwhile.
        return waiting;
      });
  return all.complete() ? Pending("all services answer") : all;
}

StepState RestoreHa(const Input& in) {
  if (!in.record.ha_was_on) return Skipped("HA was off before and stays off");
  if (Seen(in, model::Step::kRestoreHa)) return Done();
  if (!in.Passed(model::PointKind::kHaDisabling) && !Stopped(in))
    return Skipped("HA was not touched");
  // Until then the table may be gone, which is no failure of this step.
  if (Stopped(in) && !Seen(in, model::Step::kAwaitOldHealth)) return Pending();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (!in.facts.meta->ha_unreadable.empty()) {
    return Failed("HAConfigUnreadable",
                  "ha.config cannot be read: " + in.facts.meta->ha_unreadable +
                      "; mend oms_normal_config, then annotate " + std::string(crd::kResetAt));
  }
  if (!in.facts.meta->ha_raw) {
    // A row that could not be read must not pass for one that is gone.
    if (!in.facts.troubles.empty()) return Running("waiting for the MetaDB");
    if (!Stopped(in)) return Pending();
    return Failed("HAConfigMissing", "oms_normal_config has no row ha.config any more");
  }
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Failed(ha.error().reason, ha.error().message);
  if (in.spec.ha.control == crd::HaControl::kManual && !ha->enabled) return AwaitsHaSwitch(true);
  return Pending();
}

}  // namespace

bool OldConsoleHeld(const model::NodeFacts& node) {
  return node.old_container && node.health &&
         node.old_container->EnvValue("IS_UPGRADE") == "true" &&
         node.health->Program(kConsole) == "STOPPED";
}

bool GoesOn(const model::OperationRecord& record, const model::FrozenNode& node) {
  return node.kept && !record.Passed(model::PointKind::kNewStarting);
}

std::string AcceptToken(const model::OperationRecord& record, const std::string& reason) {
  return reason + "-" + record.id.substr(0, 8);
}

std::string AcceptDifference(const model::OperationRecord& record, const std::string& database) {
  const std::string& difference = record.restore_differs.at(database);
  return fmt::format("{}-{}-{}", AcceptToken(record, crd::reason::kRestoreDiffers), database,
                     base::Sha256Hex(difference).substr(0, 8));
}

int SavesTried(const model::OperationRecord& record) {
  const auto begun =
      record.attempts.find(std::string(model::NameOf(model::Step::kSaveUpgradedState)));
  const auto forgiven = record.attempts.find(kSavesForgiven);
  return (begun == record.attempts.end() ? 0 : begun->second) -
         (forgiven == record.attempts.end() ? 0 : forgiven->second);
}

std::string UpgradedFolder(int attempt) { return fmt::format("upgraded/{}", attempt); }

std::string RestoreTask(const std::string& database) {
  return TaskName(model::Step::kRestoreDatabases, database.empty() ? "verify" : "db:" + database);
}

std::string DifferingLoads(const std::string& database) {
  return RestoreTask(database) + std::string(kDiffered);
}

State DetermineRollback(const Input& in) {
  State state;
  At(state, model::Step::kVerifyBackups) = VerifyBackups(in);
  At(state, model::Step::kSwitchHaOff) = SwitchHaOff(in);
  At(state, model::Step::kStopNewContainers) = StopNewContainers(in);
  At(state, model::Step::kCompareDatabases) = CompareDatabases(in);
  At(state, model::Step::kSaveUpgradedState) = SaveUpgradedState(in);
  At(state, model::Step::kRestoreDatabases) = RestoreDatabases(in);
  At(state, model::Step::kSettleDatabases) = SettleDatabases(in);
  At(state, model::Step::kRestoreConfig) = RestoreConfig(in);
  At(state, model::Step::kStartOldContainers) = StartOldContainers(in);
  At(state, model::Step::kAwaitOldHealth) = AwaitOldHealth(in);
  At(state, model::Step::kRestoreHa) = RestoreHa(in);
  return state;
}

}  // namespace oms::steps

#include "reconcilers/steps/state.h"

#include <fmt/format.h>

#include <algorithm>

#include "controller/base/sha256.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/oms/heartbeat.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/steps/component_state.h"
#include "reconcilers/steps/preflight.h"
#include "reconcilers/steps/rollback_state.h"
#include "reconcilers/steps/state_rows.h"

namespace oms::steps {
namespace {

using namespace rows;  // NOLINT(google-build-using-namespace): made for this file and one more.

StepState Preflight(const Input& in) {
  if (in.Passed(model::PointKind::kStopping)) return Done("passed before OMS was stopped");
  const auto from = crd::Version::Parse(in.record.from);
  const auto to = crd::Version::Parse(in.record.to);
  if (!from.ok()) return Failed(from.error().reason, from.error().message);
  if (!to.ok()) return Failed(to.error().reason, to.error().message);
  return PreflightState(in.spec, *from, *to, in.facts);
}

// OMS is stopped, and the old container was removed before the new one was started. The step of the
// stop says so; what the new one is made from is of no use any more.
bool OldOneIsGone(const Input& in, const model::NodeFacts& node) {
  // One that could not be asked is not gone.
  return in.Passed(model::PointKind::kStopping) && !in.Passed(model::PointKind::kNewStarting) &&
         !node.old_container && in.facts.troubles.empty();
}

// It ran, or runs, and may have written the databases.
bool HasRun(const ports::ContainerInfo& container) {
  return container.running || container.status == "exited" || container.status == "paused" ||
         container.status == "restarting";
}

// Its image is what it is now, by its id: from when the new container is made from it on.
StepState LoadImageOn(const Input& in, const model::FrozenNode& frozen,
                      const model::NodeFacts& node) {
  if (OldOneIsGone(in, node)) return Done();
  const crd::Image& image = in.spec.image;
  const std::string loading = TaskName(model::Step::kLoadImage, model::LoaderOf(in.record, frozen));
  const model::TaskView* task = in.facts.Task(loading);
  if (!model::IsBrought(in.record, frozen, node.target_image, image)) {
    if (task != nullptr && task->state != model::TaskView::State::kSucceeded) {
      return FromTask(*task, fmt::format("loading {} on node {}", image.reference, frozen.name));
    }
    // Nowhere else to look for the image that spec.image.id asks for.
    const bool other = node.target_image && !model::IsWantedImage(*node.target_image, image);
    if (other && (image.archive.empty() || model::LoadedFor(in.record, frozen, image) != nullptr)) {
      return Failed("ImageIDDiffers",
                    fmt::format("node {}: {} has the id {}, but spec.image.id asks for {}; load "
                                "the right archive or correct spec.image.id",
                                frozen.name, image.reference, node.target_image->id, image.id));
    }
    return Pending(fmt::format("{} is not on node {} yet, or is another image than the archive's",
                               image.reference, frozen.name));
  }
  const auto to = crd::Version::Parse(in.record.to);
  if (to.ok() && !in.Passed(model::PointKind::kStopping)) {
    const model::RunningImage running{frozen.name, frozen.old_name, frozen.old_image_id};
    if (const auto wrong = model::CheckImage(in.spec, *to, running, *node.target_image))
      return Failed(wrong->reason, wrong->message);
  }
  if (node.script_in_image == false) {
    const bool script =
        node.missing_in_image.empty() || node.missing_in_image == in.path.upgrade_script;
    return Failed(script ? "UpgradeScriptMissing" : "CorrectionJarMissing",
                  fmt::format("node {}: image {} has no {} where version {} keeps it{}; check "
                              "that it is an OMS image, or set {}",
                              frozen.name, image.reference,
                              script ? "upgrade script" : "correction jar, or no java for it,",
                              in.record.to, script ? "" : " (" + node.missing_in_image + ")",
                              script ? "spec.deployment.upgradeScript" : "spec.legacy.jarPath"));
  }
  return Done();
}

StepState LoadImage(const Input& in) {
  if (in.Passed(model::PointKind::kNewStarting)) return Done();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    return LoadImageOn(in, frozen, node);
  });
}

StepState SaveOldImage(const Input& in) {
  if (!in.spec.backup.image) return Skipped("spec.backup.image is false");
  if (in.Passed(model::PointKind::kStopping)) return Done();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts&) {
    if (in.record.image_backups.contains(frozen.name)) return Done();
    if (const model::TaskView* task =
            in.facts.Task(TaskName(model::Step::kSaveOldImage, frozen.name));
        task != nullptr && task->state != model::TaskView::State::kSucceeded) {
      return FromTask(*task, fmt::format("saving the image of version {} of node {}",
                                         in.record.from, frozen.name));
    }
    return Pending();
  });
}

StepState BackUpConfig(const Input& in) {
  if (in.Passed(model::PointKind::kStopping)) return Done();
  return EachOf(in, Which::kAll,
                [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
                  const auto kept = in.record.config_backups.find(frozen.name);
                  if (kept == in.record.config_backups.end()) return Pending();
                  // Edited since: the copy must be of what the old container reads.
                  return kept->second.sha256 == node.config_sha256
                             ? Done()
                             : Pending("config.yaml has changed since it was copied");
                });
}

// Where the container's config.yaml lies on the host; empty: there is none.
std::string ConfigSource(const std::optional<ports::ContainerInfo>& container) {
  const ports::Mount* mount = container ? container->FindMount(product::kConfigMount) : nullptr;
  return mount == nullptr ? std::string() : mount->source;
}

StepState RewriteConfig(const Input& in) {
  if (in.spec.deployment.config == crd::ConfigPlace::kInPlace) {
    return Skipped(in.facts.RewritesConfig() || !in.record.config_rewrites.empty()
                       ? "config.yaml itself is edited once OMS is stopped"
                       : "no key has to change");
  }
  if (in.Passed(model::PointKind::kNewStarting))
    return in.record.config_rewrites.empty() ? Skipped("no key had to change") : Done();
  if (!in.facts.RewritesConfig() && in.record.config_rewrites.empty())
    return Skipped("no key has to change");
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (OldOneIsGone(in, node)) return Done();
    const auto written = in.record.config_rewrites.find(frozen.name);
    if (written == in.record.config_rewrites.end())
      return node.rehearsed_config ? Pending() : Skipped("no key has to change");
    // Edited since (a password, cm_nodes): the new OMS must not start with what was.
    if (node.config && base::Sha256Hex(WantedConfig(node)) != written->second.sha256) {
      return Pending("config.yaml has changed since it was rewritten");
    }
    if (node.new_container && !node.new_container->dead &&
        ConfigSource(node.new_container) == written->second.path &&
        node.new_config_sha256 != written->second.sha256) {
      const bool changed = !node.new_config_sha256.empty() &&
                           !in.record.MeantConfig(frozen.name, node.new_config_sha256);
      if (changed) {
        return Failed(
            "ConfigFileExists",
            fmt::format("node {0}: somebody has changed {1} since it was written; put the "
                        "change into config.yaml itself and remove {1}, and it is written "
                        "again",
                        frozen.name, written->second.path));
      }
      return Pending("the rewritten config.yaml is not what was written");
    }
    return Done();
  });
}

// As the guide does it, on the file that both containers mount.
StepState EditConfig(const Input& in) {
  if (in.spec.deployment.config != crd::ConfigPlace::kInPlace)
    return Skipped("the file beside config.yaml was made before the stop");
  if (in.Passed(model::PointKind::kNewStarting))
    return in.record.config_rewrites.empty() ? Skipped("no key had to change") : Done();
  if (!in.Passed(model::PointKind::kStopping)) return Pending();  // Not looked at before.
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (!node.config) return Running("waiting for config.yaml of node " + frozen.name);
    const auto written = in.record.config_rewrites.find(frozen.name);
    if (node.rehearsed_config) return Pending();
    if (written != in.record.config_rewrites.end()) return Done("no key has to change any more");
    // A person did what the guide says, before us: the copy is what the old version reads.
    return in.record.config_meant.contains(frozen.name)
               ? Pending("config.yaml was edited by somebody")
               : Skipped("no key has to change");
  });
}

StepState CreateContainers(const Input& in) {
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    // One that was removed before its own start is made again, whatever the others have come to.
    if (in.record.Passed(model::PointKind::kNewStarting, frozen.name)) return Done();
    if (OldOneIsGone(in, node)) return Done();
    if (!node.new_container) return Pending();
    if (node.new_container->dead) {
      return Failed(
          "NameTaken",
          fmt::format("node {0}: the new container '{1}' is dead: its removal has failed, "
                      "and it can never run; remove it (docker rm {1}), and it is made "
                      "again",
                      frozen.name, node.new_container->name));
    }
    if (HasRun(*node.new_container)) {
      return Failed(
          "NewContainerStarted",
          fmt::format("node {0}: somebody started the new container '{1}' at {2}, before "
                      "its turn{3}; remove it (docker rm -f {1}), and it is made again",
                      frozen.name, node.new_container->name, node.new_container->started_at,
                      in.Passed(model::PointKind::kStopping)
                          ? " and before the databases were backed up for it"
                          : ""));
    }
    if (ConfigSource(node.new_container) != WantedConfigSource(in.record, frozen)) {
      return Pending("config.yaml is to be mounted from another file than when it was created");
    }
    // Its name had moved to another image in that moment.
    if (!model::IsOfTargetImage(*node.new_container, frozen))
      return Pending("it was made from another image than the one that was looked at");
    // An engine or a plug-in of it may have dropped one; it must be seen before the stop.
    if (const auto flags = product::CheckGuideFlags(*node.new_container); !flags.ok()) {
      return Failed(flags.error().reason,
                    fmt::format("node {}: the engine created '{}' otherwise than it was asked to: "
                                "{}",
                                frozen.name, node.new_container->name, flags.error().message));
    }
    return Done();
  });
}

// An operation may be held for days between its opening and this step: until HA has been touched,
// or OMS stopped, it is what it is now that counts. The phase writes that down.
StepState DisableUntouchedHa(const Input& in) {
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  bool on = false;
  if (in.facts.meta->ha_raw) {
    const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
    if (!ha.ok()) return Failed(ha.error().reason, ha.error().message);
    on = ha->enabled;
  }
  if (on || in.record.ha_was_on) return Pending();
  return Skipped("HA was off already");
}

StepState DisableHa(const Input& in) {
  if (!in.Passed(model::PointKind::kHaDisabling) && !in.Passed(model::PointKind::kStopping)) {
    return DisableUntouchedHa(in);
  }
  if (!in.record.ha_was_on) return Skipped("HA was off already");
  if (in.record.Seen(std::string(model::NameOf(model::Step::kAwaitHealth)))) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (!in.facts.meta->ha_raw) return Done("there is no ha.config any more");
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Failed(ha.error().reason, ha.error().message);
  // After the stop nobody but a person can have switched it on again; it is switched off again all
  // the same.
  if (!ha->enabled) return Done();
  if (in.spec.ha.control == crd::HaControl::kManual) return AwaitsHaSwitch(false);
  return Pending("ha.config is on");
}

StepState StopContainers(const Input& in) {
  if (!in.Passed(model::PointKind::kStopping)) return Pending();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (!node.old_container) {
      if (in.Passed(model::PointKind::kNewStarting)) return Done();
      // One that could not be asked is not gone.
      if (!in.facts.troubles.empty()) return Running("waiting for the engine");
      return Failed("OldContainerGone", fmt::format("node {}: the old container '{}' is gone",
                                                    frozen.name, frozen.old_name));
    }
    const ports::ContainerInfo& old = *node.old_container;
    // Once the new one was started the backup holds whatever the old one does; it must only stand.
    const bool runs_again = in.Passed(model::PointKind::kNewStarting)
                                ? old.running
                                : old.started_at != frozen.old_started_at;
    if (runs_again) {
      return Failed(
          crd::reason::kOldContainerStarted,
          fmt::format(
              "node {}: somebody started the old container '{}' again at {}; {}revert spec.version "
              "to {} to go back",
              frozen.name, old.name, old.started_at,
              in.Passed(model::PointKind::kNewStarting)
                  ? "stop it, or "
                  : fmt::format("annotate {} with a new value to have it stopped and backed up "
                                "anew, or ",
                                crd::kResetAt),
              in.record.from));
    }
    if (!old.running && (old.restart_policy == "no" || in.Passed(model::PointKind::kNewStarting)))
      return Done();
    if (const model::TaskView* task =
            in.facts.Task(TaskName(model::Step::kStopContainers, frozen.name));
        task != nullptr && task->state != model::TaskView::State::kSucceeded) {
      return FromTask(*task, fmt::format("stopping '{}' on node {}", old.name, frozen.name));
    }
    return Pending();
  });
}

bool BackupHolds(const Input& in) {
  if (!in.record.backup) return false;
  if (in.Passed(model::PointKind::kNewStarting)) return true;
  const model::BackupRef& backup = *in.record.backup;
  // Of every node: whichever of them has run since may have written. (A component that keeps
  // running has written in any case; the backup is of the moment in which it was taken.)
  for (const auto& frozen : in.record.nodes) {
    if (frozen.kept) continue;
    const model::NodeFacts* node = in.facts.Node(frozen.name);
    if (node == nullptr || !node->old_container) return false;
    // What a new one wrote that somebody started shows in the heartbeat's ids, once it is gone.
    if (node->new_container && HasRun(*node->new_container)) return false;
    const auto other = backup.other_runs.find(node->name);
    const bool lead = frozen.name == in.record.LeadNode().name;
    const bool same = lead ? node->old_container->id == backup.container_id &&
                                 node->old_container->started_at == backup.started_at
                           : other != backup.other_runs.end() && other->second == RunOf(*node);
    if (!same) return false;
  }
  return in.facts.meta &&
         (in.record.KeepsTasks() || in.facts.meta->sequence.base.max_id == backup.heartbeat_max);
}

StepState CompactHeartbeat(const Input& in) {
  if (in.Passed(model::PointKind::kNewStarting) || BackupHolds(in)) return Done();
  if (!in.Passed(model::PointKind::kStopping)) return Pending();  // Not looked at before.
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  const product::SequenceUse use = SequenceUseOf(in.record);
  // It fills again at once.
  if (use == product::SequenceUse::kWritten &&
      in.record.Seen(std::string(model::NameOf(model::Step::kCompactHeartbeat))))
    return Done();
  if (product::Compacted(in.facts.meta->sequence, use)) return Done();
  if (product::NextCompactionAct(in.facts.meta->sequence, use) == ports::CompactionAct::kNone) {
    return Failed("HeartbeatTableMissing",
                  fmt::format("database {} has no table heatbeat_sequence any more, nor one of its "
                              "copies; bring it back from a backup of your own",
                              in.record.Database("cm_hb")));
  }
  return Pending();
}

StepState BackUpDatabases(const Input& in) {
  if (BackupHolds(in)) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (const model::TaskView* task = in.facts.Task(TaskName(model::Step::kBackUpDatabases, ""));
      task != nullptr && task->state != model::TaskView::State::kSucceeded) {
    return FromTask(*task, "dumping the databases");
  }
  return Pending();
}

StepState StartContainers(const Input& in) {
  // Once all services answered, the engine restarts it by the policy that it had before.
  if (in.record.Seen(std::string(model::NameOf(model::Step::kAwaitHealth)))) return Done();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (!in.record.Passed(model::PointKind::kNewStarting, frozen.name)) return Pending();
    if (!node.new_container) {
      return Failed(crd::reason::kNewContainerDied,
                    fmt::format("node {}: the new container '{}' was started, and is gone now; "
                                "revert spec.version to "
                                "{} to go back",
                                frozen.name, frozen.new_name, in.record.from));
    }
    if (node.new_container->running) return Done();
    // Written down, but never started: we died between the point and the act. To start it now is
    // the first start.
    if (node.new_container->status == "created") return Pending();
    return Failed(crd::reason::kNewContainerDied,
                  fmt::format("node {}: the new container '{}' has ended (exit code {}); see "
                              "`docker logs {}`; it is not "
                              "started again by itself; revert spec.version to {} to go back",
                              frozen.name, node.new_container->name, node.new_container->exit_code,
                              node.new_container->name, in.record.from));
  });
}

StepState SoonReady(std::string message) {
  StepState waiting = Running(std::move(message));
  waiting.look_again = std::chrono::milliseconds(200);  // OMS is down meanwhile.
  return waiting;
}

// Cluster manager and supervisor stand before the jar is run (the guide of 4.2.2; that of 4.3.1
// does not ask for it, so it is not waited for without end).
std::optional<StepState> AwaitBase(const Input& in, const model::FrozenNode& frozen,
                                   const model::HealthFacts& health) {
  const auto started = in.record.PassedAt(model::PointKind::kNewStarting, frozen.name);
  if (started && in.facts.now - *started > in.spec.strategy.timeouts.start) return std::nullopt;
  for (const char* program : {"oms_drc_cm", "oms_drc_supervisor"}) {
    const std::string state = health.Program(program);
    if (!state.empty() && state != "RUNNING")
      return SoonReady(fmt::format("{} is {} in the new container", program, state));
  }
  return std::nullopt;
}

// One of the scripts that run once, on one node (guide step 6).
StepState RunOnce(const Input& in, model::Step at) {
  const model::FrozenNode& frozen = in.record.ScriptNode();
  const model::NodeFacts* node = in.facts.Node(frozen.name);
  const std::string step(model::NameOf(at));
  if (in.record.Seen(step)) return Done();
  const int attempt = in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name, step);
  if (attempt == 0) {
    if (node == nullptr || !node->health || !node->health->supervisor_answers)
      return SoonReady("waiting for supervisord in the new container");
    if (at == model::Step::kCorrectSchema) {
      // On every node that has a console: none may write beside the jar.
      for (const auto& each : in.record.nodes) {
        if (each.role == crd::NodeRole::kComponent) continue;
        const model::NodeFacts* facts = in.facts.Node(each.name);
        if (facts == nullptr || !facts->health || !facts->health->supervisor_answers)
          return SoonReady("waiting for supervisord in the new container of node " + each.name);
        if (auto waiting = AwaitBase(in, each, *facts->health)) return *std::move(waiting);
      }
    }
    return Pending();
  }
  return RowOfScript(in, at, frozen, node,
                     fmt::format("revert spec.version to {} to go back", in.record.from));
}

StepState LegacyScript(const Input& in, model::Step at) {
  return in.path.legacy_steps ? RunOnce(in, at) : Skipped(product::kLegacyOnly);
}

StepState AwaitHealth(const Input& in) {
  if (in.record.Seen(std::string(model::NameOf(model::Step::kAwaitHealth)))) return Done();
  StepState all =
      EachOf(in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        const bool stands = frozen.kept && node.old_container && !node.old_container->running;
        if (!node.health && !stands) return Running("waiting for node " + frozen.name);
        const std::string missing =
            stands ? "the component container does not run" : node.health->Missing();
        if (missing.empty()) return Done();
        if (ConsoleStillHeld(in.path, in.record, node))
          return Pending(fmt::format("oms_console is to be started on node {}", frozen.name));
        const auto since =
            in.record.evidence.find(std::string(model::NameOf(model::Step::kRunUpgradeScript)));
        if (since != in.record.evidence.end() &&
            in.facts.now - since->second > in.spec.strategy.timeouts.healthy) {
          return Failed(
              "ServicesNotHealthy",
              fmt::format(
                  "node {}: not healthy {} after the upgrade script: {}; revert spec.version "
                  "to {} to go back",
                  frozen.name, base::FormatDuration(in.spec.strategy.timeouts.healthy), missing,
                  in.record.from));
        }
        StepState waiting = Running(fmt::format("node {}: {}", frozen.name, missing));
        waiting.look_again = std::chrono::milliseconds(300);  // OMS is down meanwhile.
        return waiting;
      });
  // To be written down, with the restart policy.
  return all.complete() ? Pending("all services answer") : all;
}

StepState EnableHa(const Input& in) {
  if (!in.record.ha_was_on) return Skipped("HA was off before the upgrade and stays off");
  if (in.record.Seen(std::string(model::NameOf(model::Step::kEnableHa)))) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (!in.facts.meta->ha_raw)
    return Failed("HAConfigMissing", "oms_normal_config has no row ha.config any more");
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Failed(ha.error().reason, ha.error().message);
  if (in.spec.ha.control == crd::HaControl::kManual && !ha->enabled) return AwaitsHaSwitch(true);
  return Pending();
}

}  // namespace

product::SequenceUse SequenceUseOf(const model::OperationRecord& record) {
  if (record.direction == model::Direction::kRollback) return product::SequenceUse::kOnTheWayBack;
  return record.KeepsTasks() ? product::SequenceUse::kWritten : product::SequenceUse::kStandsStill;
}

std::string RunOf(const model::NodeFacts& node) {
  return node.old_container ? node.old_container->id + " " + node.old_container->started_at
                            : std::string();
}

const std::string& WantedConfig(const model::NodeFacts& node) {
  return node.rehearsed_config ? *node.rehearsed_config : node.config->content;
}

bool NewOneIsGone(const model::OperationRecord& record, const model::NodeFacts& node) {
  return !node.new_container ||
         (node.new_container->dead && record.dead_containers.contains(node.name));
}

std::string NewConfigPath(const std::string& config_source, const std::string& version) {
  const size_t name = config_source.rfind('/') + 1;  // npos + 1 is 0.
  size_t end = config_source.rfind('.');
  // A name that begins with its only dot has no ending.
  if (end == std::string::npos || end <= name) end = config_source.size();
  return config_source.substr(0, end) + "-" + version + config_source.substr(end);
}

std::string WantedConfigSource(const model::OperationRecord& record,
                               const model::FrozenNode& node) {
  const auto rewritten = record.config_rewrites.find(node.name);
  return rewritten == record.config_rewrites.end() ? node.config_source : rewritten->second.path;
}

bool ConsoleMoves(const model::HealthFacts& health) {
  const std::string state = health.Program(kConsole);
  return !state.empty() && state != "STOPPED" && state != "EXITED" && state != "FATAL";
}

bool ConsoleStillHeld(const product::PathSteps& path, const model::OperationRecord& record,
                      const model::NodeFacts& node) {
  if (node.kept) return false;
  const bool ours = path.legacy_steps || record.ScriptNode().name != node.name;
  return ours && node.health && node.health->Program(kConsole) == "STOPPED";
}

std::string TaskName(model::Step step, const std::string& node) {
  return node.empty() ? std::string(model::NameOf(step))
                      : fmt::format("{}/{}", model::NameOf(step), node);
}

StepState PreflightState(const crd::Spec& spec, const crd::Version& from, const crd::Version& to,
                         const model::Facts& facts) {
  const auto troubles = CheckPreflight(spec, from, to, facts);
  if (!troubles.empty()) {
    const model::Trouble& first = troubles.front();
    std::string message = first.message;
    if (troubles.size() > 1) {
      message += fmt::format(" ({} more: ", troubles.size() - 1);
      for (size_t i = 1; i < troubles.size(); ++i)
        message += (i > 1 ? ", " : "") + troubles[i].reason;
      message += ")";
    }
    StepState state = Failed(first.reason, std::move(message));
    state.retryable = first.passing;
    return state;
  }
  if (PreflightStillLooking(facts)) {
    StepState looking = Running("watching whether the heartbeat of this OMS moves");
    looking.look_again = std::chrono::milliseconds(500);
    return looking;
  }
  return Done();
}

State DetermineState(const crd::Spec& spec, const product::PathSteps& path,
                     const model::OperationRecord& record, const model::Facts& facts) {
  const Input in{spec, path, record, facts};
  if (record.direction == model::Direction::kRollback) return DetermineRollback(in);
  State state;
  At(state, model::Step::kPreflight) = Preflight(in);
  At(state, model::Step::kLoadImage) = LoadImage(in);
  At(state, model::Step::kSaveOldImage) = SaveOldImage(in);
  At(state, model::Step::kLoadAssistant) = LoadAssistant(in);
  At(state, model::Step::kBackUpConfig) = BackUpConfig(in);
  At(state, model::Step::kRewriteConfig) = RewriteConfig(in);
  At(state, model::Step::kCreateContainers) = CreateContainers(in);
  At(state, model::Step::kDisableHa) = DisableHa(in);
  At(state, model::Step::kUpgradeComponents) = UpgradeComponents(in);
  At(state, model::Step::kStopContainers) = StopContainers(in);
  At(state, model::Step::kCompactHeartbeat) = CompactHeartbeat(in);
  At(state, model::Step::kBackUpDatabases) = BackUpDatabases(in);
  At(state, model::Step::kEditConfig) = EditConfig(in);
  At(state, model::Step::kStartContainers) = StartContainers(in);
  At(state, model::Step::kCorrectSchema) = LegacyScript(in, model::Step::kCorrectSchema);
  At(state, model::Step::kInitializeMetadata) = LegacyScript(in, model::Step::kInitializeMetadata);
  At(state, model::Step::kRunUpgradeScript) = RunOnce(in, model::Step::kRunUpgradeScript);
  At(state, model::Step::kAwaitHealth) = AwaitHealth(in);
  At(state, model::Step::kEnableHa) = EnableHa(in);
  return state;
}

}  // namespace oms::steps

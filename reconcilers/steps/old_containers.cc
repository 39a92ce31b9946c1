#include "reconcilers/steps/old_containers.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "crd/reasons.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/steps/component.h"
#include "reconcilers/steps/new_containers.h"

namespace oms::steps {

namespace {

void LoadOldImage(const base::Context& ctx, OperationSession& op, const model::FrozenNode& node) {
  op.Start(
      ctx, TaskName(model::Step::kStartOldContainers, node.name),
      op.spec().strategy.timeouts.image_load,
      [world = op.world(), name = node.name, image = node.old_image, id = node.old_image_id,
       archive =
           std::filesystem::path(op.record().folder) / op.record().image_backups.at(node.name).path,
       sha256 = op.record().image_backups.at(node.name).sha256](
          const base::Context& task, ports::ByteProgress& progress) -> base::Result<std::string> {
        OMS_ASSIGN(const std::string found, world->store->Sha256(archive));
        if (found != sha256) {
          return base::MakeError(
              base::Code::kTerminal, crd::reason::kBackupCorrupt,
              fmt::format(
                  "the saved image {} has changed; load the image of the old version manually",
                  archive.string()));
        }
        ports::ContainerEngine& engine = *world->engines.at(name);
        OMS_TRY(engine.LoadImage(task, archive, progress));
        const auto listed = engine.InspectImage(task, id);
        if (!listed.Is(base::Code::kNotFound)) return listed.ok() ? std::string() : id;
        const auto named = engine.InspectImage(task, image);
        return base::MakeError(
            base::Code::kInvalid, crd::reason::kOldImageDiffers,
            fmt::format("node {}: the saved image {} was loaded, but the engine does not list {}, "
                        "the image of the old container{}; was the engine switched to another "
                        "image store? Switch it back, or load that image there, then annotate {}",
                        name, archive.string(), id,
                        named.ok() ? fmt::format(" ({} is {})", image, named->id) : "",
                        crd::kResetAt));
      });
}

base::Status Recreate(const base::Context& ctx, OperationSession& op,
                      const model::FrozenNode& node) {
  // By its name only where that still means this image; the tag may point elsewhere by now.
  const auto named = op.engine(node.name).InspectImage(ctx, node.old_image);
  const bool same = named.ok() && named->id == node.old_image_id;
  OMS_TRY(ctx.Check());
  const auto created = op.engine(node.name).Create(
      ctx, node.old_name,
      product::Recreate(node.old_inspect, same ? node.old_image : node.old_image_id));
  // Somebody was faster. If it was a process before us, the next look finds it by name and image.
  if (created.Is(base::Code::kAlreadyExists)) {
    return base::MakeError(base::Code::kTransient, crd::reason::kNameTaken,
                           fmt::format("node {}: the name '{}' is taken by another container",
                                       node.name, node.old_name));
  }
  if (!created.ok()) return created.error();
  op.Warn(
      crd::reason::kOldContainerRecreated,
      fmt::format("node {}: the container '{}' was missing and was created again from its settings",
                  node.name, node.old_name));
  return base::Ok();
}

}  // namespace

StepState StopContainers::Judge(const StepInput& in) {
  if (!in.Passed(model::PointKind::kStopping)) return Pending();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (!node.old_container) {
      if (in.Passed(model::PointKind::kNewStarting)) return Done();
      // One that could not be asked is not gone.
      if (!in.facts.troubles.empty()) return Running("waiting for the engine");
      return Failed(
          crd::reason::kOldContainerGone,
          fmt::format("node {}: the old container '{}' is gone", frozen.name, frozen.old_name));
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
              "to {} to roll back",
              frozen.name, old.name, old.started_at,
              in.Passed(model::PointKind::kNewStarting)
                  ? "stop it, or "
                  : fmt::format(
                        "set annotation {} to a new value to stop it and take a new backup, or ",
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

base::Status StopContainers::Act(const base::Context& ctx, OperationSession& op) {
  // What we are about to stop is looked at once more, right before the act.
  std::vector<std::string> started;
  for (const auto& node : op.record().nodes) {
    if (node.keeps_running) {
      started.push_back(node.old_started_at);
      continue;
    }
    OMS_ASSIGN(const ports::ContainerInfo old, op.engine(node.name).Inspect(ctx, node.old_id));
    if (op.record().Passed(model::PointKind::kStopping) && old.started_at != node.old_started_at) {
      return base::MakeError(
          base::Code::kTerminal, crd::reason::kOldContainerStarted,
          fmt::format("node {}: the old container '{}' was started again at {}, after it was "
                      "stopped for the upgrade",
                      node.name, old.name, old.started_at));
    }
    started.push_back(old.started_at);
  }
  if (!op.record().Passed(model::PointKind::kStopping)) {
    // Until here OMS may have been restarted by anybody; it is this run of it that we stop.
    const base::WallTime now = ctx.clock().Wall();
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      for (size_t i = 0; i < started.size(); ++i) record.nodes[i].old_started_at = started[i];
      record.points.push_back({model::PointKind::kStopping, "", std::nullopt, 0, now});
    }));
    ctx.log().With("point", "Stopping").Info("point passed");
  }
  for (const auto& node : op.record().nodes) {
    if (node.keeps_running) continue;
    const base::Duration grace = op.spec().strategy.timeouts.stop;
    op.Start(ctx, TaskName(model::Step::kStopContainers, node.name),
             grace + std::chrono::minutes(1),
             [world = op.world(), node, grace](const base::Context& task,
                                               ports::ByteProgress&) -> base::Result<std::string> {
               ports::ContainerEngine& engine = *world->engines.at(node.name);
               OMS_TRY(engine.SetRestartPolicy(task, node.old_id, "no", 0));
               OMS_TRY(task.Check());
               OMS_TRY(engine.Stop(task, node.old_id, grace));
               return std::string();
             });
  }
  return base::Ok();
}

std::string StopContainers::Plan(const UpgradeSubject& plan) {
  if (!plan.Kept()) return fmt::format("stop {} (downtime begins)", plan.OldOnes());
  return fmt::format(
      "stop {} (downtime of the console begins); {} is not stopped, and its tasks keep running",
      plan.OldOnes(), plan.Components());
}

std::string StopContainers::Summary(const model::OperationRecord& record) {
  if (!record.t1) return {};
  if (record.KeepsTasks()) {
    return fmt::format("the console has been down since {}; {} keeps running",
                       base::FormatTime(*record.t1),
                       NamesOf(record, &model::FrozenNode::old_name, true));
  }
  return "OMS has been down since " + base::FormatTime(*record.t1);
}

StepState StartOldContainers::Judge(const StepInput& in) {
  if (!in.Passed(model::PointKind::kStopping)) return Skipped("OMS was not stopped");
  if (in.Seen(model::Step::kAwaitOldHealth)) return Done();
  return EachOf(
      in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (StaysRunning(in.record, frozen)) return Done();
        if (node.old_container && node.old_container->running &&
            in.record.Passed(model::PointKind::kOldStarting, frozen.name)) {
          return Done();
        }
        if (node.old_container && in.record.Passed(model::PointKind::kOldStarting, frozen.name) &&
            node.old_container->status == "exited" &&
            node.old_container->started_at != frozen.old_started_at) {
          StepState died = Failed(
              crd::reason::kOldContainerDied,
              fmt::format(
                  "node {}: the old container '{}', started at {}, has ended (exit code {}); "
                  "see `docker logs {}`",
                  frozen.name, frozen.old_name, node.old_container->started_at,
                  node.old_container->exit_code, frozen.old_name));
          died.retryable = true;
          died.attempt = fmt::format("run {} of {}", node.old_container->started_at, frozen.name);
          return died;
        }
        if (!node.old_container && node.old_name_taken) {
          return Failed(
              crd::reason::kNameTaken,
              fmt::format("node {}: the old container '{}' is gone, and another one of that "
                          "name is in its place; rename or remove it, then annotate {}",
                          frozen.name, frozen.old_name, crd::kResetAt));
        }
        if (node.old_container || !node.old_image_gone) return Pending();
        if (!in.record.image_backups.contains(frozen.name)) {
          return Failed(
              crd::reason::kOldImageGone,
              fmt::format("node {}: the container '{}' and its image {} are gone, and no "
                          "copy of the image was kept; load the image again, then annotate "
                          "{}",
                          frozen.name, frozen.old_name, frozen.old_image, crd::kResetAt));
        }
        if (const model::TaskView* task =
                in.facts.Task(TaskName(model::Step::kStartOldContainers, frozen.name));
            task != nullptr && task->state != model::TaskView::State::kSucceeded) {
          return FromTask(*task, fmt::format("restoring the image of {} on node {}", in.record.from,
                                             frozen.name));
        }
        return Pending();
      });
}

base::Status StartOldContainers::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !NewOneIsGone(op.record(), *facts) || StaysRunning(op.record(), node))
      continue;
    if (!facts->old_container) {
      if (!facts->old_image_gone) {
        OMS_TRY(Recreate(ctx, op, node));
      } else if (op.record().image_backups.contains(node.name)) {
        LoadOldImage(ctx, op, node);
      }  // Or it is a person who has to load it; the other nodes go on.
      continue;
    }
    if (!op.record().Passed(model::PointKind::kOldStarting, node.name)) {
      const base::WallTime now = op.facts().now;
      OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
        for (auto& frozen : record.nodes) {
          // Its last run before ours, so that ours can be told from it.
          if (frozen.name == node.name) frozen.old_started_at = facts->old_container->started_at;
        }
        record.points.push_back({model::PointKind::kOldStarting, node.name, std::nullopt, 1, now});
      }));
      ctx.log().With("point", "OldStarting").Info("point passed");
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).Start(ctx, facts->old_container->id));
  }
  return base::Ok();
}

std::string StartOldContainers::Plan(const RollbackSubject& plan) {
  return fmt::format("start {}; a missing one is created again with the same settings{}",
                     plan.OldOnes(),
                     plan.Kept() ? fmt::format("; start {} again, which keeps its upgraded "
                                               "version: there is no way back for a component",
                                               plan.Components())
                                 : "");
}

std::string StartOldContainers::Summary(const model::OperationRecord& record) {
  return NamesOf(record, &model::FrozenNode::old_name);
}

bool OldOneIsGone(const StepInput& in, const model::NodeFacts& node) {
  // One that could not be asked is not gone.
  return in.Passed(model::PointKind::kStopping) && !in.Passed(model::PointKind::kNewStarting) &&
         !node.old_container && in.facts.troubles.empty();
}

std::string RunOf(const model::NodeFacts& node) {
  return node.old_container ? node.old_container->id + " " + node.old_container->started_at
                            : std::string();
}

bool OldOneRuns(const StepInput& in) {
  return std::any_of(
      in.facts.nodes.begin(), in.facts.nodes.end(), [](const model::NodeFacts& node) {
        return !node.keeps_running && node.old_container && node.old_container->running;
      });
}

}  // namespace oms::steps

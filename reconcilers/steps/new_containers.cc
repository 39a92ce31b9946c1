#include "reconcilers/steps/new_containers.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <string_view>

#include "crd/reasons.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/steps/component.h"
#include "reconcilers/steps/config.h"
#include "reconcilers/steps/old_containers.h"

namespace oms::steps {

namespace {

// From here on the image is what it is now, by its id, whatever the spec and its name come to say.
base::Status RecordImageIds(const base::Context& ctx, OperationSession& op) {
  std::map<std::string, std::string> ids;  // By node.
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts != nullptr && facts->target_image && node.target_image_id.empty()) {
      ids[node.name] = facts->target_image->id;
    }
  }
  if (ids.empty()) return base::Ok();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    for (auto& node : record.nodes) {
      if (ids.contains(node.name)) node.target_image_id = ids[node.name];
    }
  });
}

// What it mounts and is made from cannot be changed; it has never run, so another one is as good.
base::Status RemoveIfMadeOtherwise(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node,
                                   const ports::ContainerInfo& created) {
  const ports::Mount* config = created.FindMount(product::kConfigMount);
  const bool right = config != nullptr && config->source == WantedConfigSource(op.record(), node) &&
                     model::IsOfTargetImage(created, node);
  if (right || created.status != "created") return base::Ok();
  OMS_TRY(ctx.Check());
  const auto removed = op.engine(node.name).Remove(ctx, created.id, false);
  return removed.Is(base::Code::kNotFound) ? base::Ok() : removed;
}

// By its image's name where that means this image. The name may move until the engine has made the
// container: the next look sees it, and one of another image is removed and made again.
base::Status CreateOfImage(const base::Context& ctx, OperationSession& op,
                           const model::FrozenNode& node, product::CloneInput input) {
  const std::string& reference = op.record().image.reference;
  const auto named = op.engine(node.name).InspectImage(ctx, reference);
  if (!named.ok() && !named.Is(base::Code::kNotFound)) return named.error();
  const bool means_it = named.ok() && named->id == node.target_image_id;
  input.new_image = means_it ? reference : node.target_image_id;
  OMS_TRY(ctx.Check());
  const auto created =
      op.engine(node.name).Create(ctx, node.new_name, product::CloneForUpgrade(std::move(input)));
  // Somebody was faster. If it was a process before us, the next look finds it by its labels.
  if (created.Is(base::Code::kAlreadyExists)) {
    return base::MakeError(base::Code::kTransient, crd::reason::kNameTaken,
                           fmt::format("node {}: the name '{}' is taken by another container",
                                       node.name, node.new_name));
  }
  return created.ok() ? base::Ok() : base::Status(created.error());
}

// The last look at the old ones, of all nodes before the first new one: none may run together with
// a new one (both own the host's ports, and write the same databases).
base::Status NoOldOneRuns(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (node.keeps_running) continue;
    const auto old = op.engine(node.name).Inspect(ctx, node.old_id);
    // Gone meanwhile: after the first start it is the way back's to make it again.
    if (old.Is(base::Code::kNotFound) && op.record().Passed(model::PointKind::kNewStarting))
      continue;
    if (!old.ok()) return old.error().Wrap("node " + node.name);
    if (!old->running) continue;
    return base::MakeError(
        base::Code::kTransient, crd::reason::kOldContainerStarted,
        fmt::format(
            "node {}: the old container '{}' is running; the new one is not started beside it",
            node.name, old->name));
  }
  return base::Ok();
}

// Whether the stop of the old container, which the upgrade had begun, may still be under way.
bool StopUnfinished(const StepInput& in, const model::FrozenNode& frozen,
                    const model::NodeFacts& node) {
  return !frozen.keeps_running && in.Passed(model::PointKind::kStopping) && node.old_container &&
         node.old_container->running && node.old_container->started_at == frozen.old_started_at;
}

constexpr int kKeptLogLines = 10'000;

// What a person will want to read afterwards. Best effort: a container that cannot be asked is
// still stopped.
base::Status KeepTraces(const base::Context& ctx, const World& world,
                        ports::ContainerEngine& engine, const std::string& id,
                        const std::filesystem::path& folder) {
  if (const auto info = engine.Inspect(ctx, id); info.ok()) {
    OMS_TRY(world.store->WriteFile(folder / "inspect.json", info->inspect));
  }
  if (const auto logs = engine.Logs(ctx, id, kKeptLogLines); logs.ok()) {
    OMS_TRY(world.store->WriteFile(folder / "container.log", *logs));
  }
  return base::Ok();
}

base::Status StopForGood(const base::Context& ctx, ports::ContainerEngine& engine,
                         const std::string& id, base::Duration grace) {
  OMS_TRY(ctx.Check());
  OMS_TRY(engine.SetRestartPolicy(ctx, id, "no", 0));
  OMS_TRY(ctx.Check());
  return engine.Stop(ctx, id, grace);
}

// What a task says of a container that it could not remove; the engine's words follow.
constexpr std::string_view kLeftDead = "dead: ";

// Removed, so that a late start of it meets a 404. One whose removal fails and leaves it dead can
// never be started either: that is told, and nothing waits for it.
base::Result<std::string> RemoveNew(const base::Context& ctx, const World& world,
                                    ports::ContainerEngine& engine, const std::string& id,
                                    base::Duration grace, const std::filesystem::path& folder) {
  auto before = engine.Inspect(ctx, id);
  if (before.Is(base::Code::kNotFound)) return std::string();
  if (!before.ok()) return before.error();
  if (!before->dead) {
    // A script that runs in it ends with it.
    OMS_TRY(StopForGood(ctx, engine, id, grace));
    OMS_TRY(KeepTraces(ctx, world, engine, id, folder));
  }
  OMS_TRY(ctx.Check());
  const auto removed = engine.Remove(ctx, id, false);
  if (removed.ok() || removed.Is(base::Code::kNotFound)) return std::string();
  const auto after = engine.Inspect(ctx, id);
  if (after.Is(base::Code::kNotFound)) return std::string();
  if (!after.ok() || !after->dead) return removed.error();
  return std::string(kLeftDead) + removed.error().message;
}

// A task has found that it cannot be removed and is dead: written down, and told.
base::Result<bool> NoteDead(const base::Context& ctx, OperationSession& op,
                            const model::FrozenNode& node, const model::NodeFacts& facts) {
  const model::TaskView* view =
      op.facts().Task(TaskName(model::Step::kStopNewContainers, node.name));
  if (view == nullptr || view->state != model::TaskView::State::kSucceeded ||
      !facts.new_container || !facts.new_container->dead || !view->output.starts_with(kLeftDead)) {
    return false;
  }
  const std::string& name = facts.new_container->name;
  OMS_TRY(op.Save(
      ctx, [&](model::OperationRecord& record) { record.dead_containers[node.name] = name; }));
  op.Warn(crd::reason::kContainerNotRemoved,
          fmt::format("node {}: the new container '{}' is dead and could not be removed ({}); it "
                      "can never run; once the cause is corrected: docker rm {}",
                      node.name, name, view->output.substr(kLeftDead.size()), name));
  return true;
}

}  // namespace

StepState CreateContainers::Judge(const StepInput& in) {
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    // One that was removed before its own start is made again, whatever the others have come to.
    if (in.record.Passed(model::PointKind::kNewStarting, frozen.name)) return Done();
    if (OldOneIsGone(in, node)) return Done();
    if (!node.new_container) return Pending();
    if (node.new_container->dead) {
      return Failed(
          crd::reason::kNameTaken,
          fmt::format(
              "node {0}: the new container '{1}' is dead: its removal has failed, and it can never "
              "run; remove it (docker rm {1}), and the controller creates it again",
              frozen.name, node.new_container->name));
    }
    if (HasRun(*node.new_container)) {
      return Failed(
          crd::reason::kNewContainerStarted,
          fmt::format("node {0}: somebody started the new container '{1}' at {2}, before its "
                      "turn{3}; remove it (docker rm -f {1}), and the controller creates it again",
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
      return Pending("it was made from another image than the one that was checked");
    // An engine or a plug-in of it may have dropped one; it must be seen before the stop.
    if (const auto flags = product::CheckGuideFlags(*node.new_container); !flags.ok()) {
      return Failed(
          flags.error().reason,
          fmt::format("node {}: the engine did not apply the requested settings to '{}': {}",
                      frozen.name, node.new_container->name, flags.error().message));
    }
    return Done();
  });
}

base::Status CreateContainers::Act(const base::Context& ctx, OperationSession& op) {
  OMS_TRY(RecordImageIds(ctx, op));
  const model::OperationRecord& record = op.record();
  for (const auto& node : record.nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || node.target_image_id.empty()) continue;
    if (facts->new_container) {
      OMS_TRY(RemoveIfMadeOtherwise(ctx, op, node, *facts->new_container));
      continue;
    }
    product::CloneInput input;
    input.old_inspect = node.old_inspect;
    OMS_ASSIGN(const ports::ImageInfo old_image,
               op.engine(node.name).InspectImage(ctx, node.old_image_id));
    input.old_image_inspect = old_image.inspect;
    if (record.config_rewrites.contains(node.name)) {
      input.config_source = WantedConfigSource(record, node);
    }
    std::string owner = record.owner_object;
    for (auto& c : owner) c = c == '/' ? '.' : c;
    input.labels = {{model::labels::kOwner, owner},
                    {model::labels::kOperation, record.id},
                    {model::labels::kNode, node.name},
                    {model::labels::kVersion, record.to.ToString()},
                    {model::labels::kRole, "oms"}};
    OMS_TRY(CreateOfImage(ctx, op, node, std::move(input)));
  }
  return base::Ok();
}

std::string CreateContainers::Plan(const UpgradeSubject& plan) {
  return fmt::format("create, and do not start, {} from {}", plan.Nodes([](const auto& node) {
    return fmt::format("{} on {} (a copy of {})", node.new_name, node.name, node.old_name);
  }),
                     plan.spec.image.reference);
}

StepState StartContainers::Judge(const StepInput& in) {
  // Once all services answered, the engine restarts it by the policy that it had before.
  if (in.Seen(model::Step::kAwaitHealth)) return Done();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (!in.record.Passed(model::PointKind::kNewStarting, frozen.name)) return Pending();
    if (!node.new_container) {
      return Failed(crd::reason::kNewContainerDied,
                    fmt::format("node {}: the new container '{}' was started, and is gone now; "
                                "revert spec.version to {} to roll back",
                                frozen.name, frozen.new_name, in.record.from));
    }
    if (node.new_container->running) return Done();
    // Written down, but never started: we died between the point and the act. To start it now is
    // the first start.
    if (node.new_container->status == "created") return Pending();
    return Failed(
        crd::reason::kNewContainerDied,
        fmt::format(
            "node {}: the new container '{}' has ended (exit code {}); see `docker logs {}`; it is "
            "not restarted automatically; revert spec.version to {} to roll back",
            frozen.name, node.new_container->name, node.new_container->exit_code,
            node.new_container->name, in.record.from));
  });
}

base::Status StartContainers::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->new_container || facts->new_container->running) continue;
    if (!op.record().Passed(model::PointKind::kNewStarting, node.name)) {
      OMS_TRY(NoOldOneRuns(ctx, op));
      OMS_TRY(op.RecordPoint(ctx, model::PointKind::kNewStarting, node.name, std::nullopt, 1));
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).Start(ctx, facts->new_container->id));
  }
  return base::Ok();
}

std::string StartContainers::Plan(const UpgradeSubject& plan) {
  return fmt::format(
      "start {}; from here on a rollback restores the {} databases", plan.NewOnes(),
      plan.databases.size() == 3 ? "three" : fmt::format("{}", plan.databases.size()));
}

std::string StartContainers::Summary(const model::OperationRecord& record) {
  return NamesOf(record, &model::FrozenNode::new_name);
}

StepState StopNewContainers::Judge(const StepInput& in) {
  return EachOf(
      in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (auto script = AwaitComponentScript(in, frozen, node)) return *std::move(script);
        // Whatever it is, it may be OMS: no database is dropped beside it, and nothing started.
        if (in.Passed(model::PointKind::kNewStarting) && node.planned_name_runs) {
          return Failed(
              crd::reason::kNameTaken,
              fmt::format("node {}: a container '{}' runs that is not known to be of this "
                          "operation; stop and remove it, then annotate {}",
                          frozen.name, frozen.new_name, crd::kResetAt));
        }
        // From the first old one's start on the databases are back: none is stopped any more.
        const bool old_started = in.Passed(model::PointKind::kOldStarting);
        const bool old_must_stand =
            !old_started && (StopUnfinished(in, frozen, node) ||
                             (in.Passed(model::PointKind::kNewStarting) && node.old_container &&
                              node.old_container->running));
        if (NewOneIsGone(in.record, node) && node.helpers.empty() && !old_must_stand &&
            (!in.Passed(model::PointKind::kNewStarting) ||
             in.Passed(model::PointKind::kRollbackStopping))) {
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

base::Status StopNewContainers::Act(const base::Context& ctx, OperationSession& op) {
  if (op.record().Passed(model::PointKind::kNewStarting) &&
      !op.record().Passed(model::PointKind::kRollbackStopping)) {
    const base::WallTime now = ctx.clock().Wall();
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      record.points.push_back({model::PointKind::kRollbackStopping, "", std::nullopt, 0, now});
      if (!record.t3) record.t3 = now;
    }));
    ctx.log().With("point", "RollbackStopping").Info("point passed");
  }
  const base::Duration grace = op.spec().strategy.timeouts.stop;
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr) continue;
    for (const auto& helper : facts->helpers) {
      OMS_TRY(ctx.Check());
      const auto removed = op.engine(node.name).Remove(ctx, helper, true);
      if (removed.ok() || removed.Is(base::Code::kNotFound)) continue;
      const auto left = op.engine(node.name).Inspect(ctx, helper);
      if (!left.ok() || !left->dead) return removed.error();
    }
    if (node.keeps_running) OMS_TRY(SettleComponentScript(ctx, op, node, *facts));
    const bool started = op.record().Passed(model::PointKind::kOldStarting);
    // A component stands only for as long as databases are brought back.
    const bool stands = op.record().Passed(node.keeps_running ? model::PointKind::kNewStarting
                                                              : model::PointKind::kStopping);
    const std::string old =
        facts->old_container && facts->old_container->running && !started && stands
            ? facts->old_container->id
            : std::string();
    OMS_ASSIGN(const bool noted, NoteDead(ctx, op, node, *facts));
    if (noted) continue;
    const std::string fresh =
        NewOneIsGone(op.record(), *facts) ? std::string() : facts->new_container->id;
    if (old.empty() && fresh.empty()) continue;
    op.Start(ctx, TaskName(model::Step::kStopNewContainers, node.name),
             2 * grace + std::chrono::minutes(1),
             [world = op.world(), name = node.name, old, fresh, grace,
              folder = std::filesystem::path(op.record().folder) / "rollback" / node.name](
                 const base::Context& task, ports::ByteProgress&) -> base::Result<std::string> {
               ports::ContainerEngine& engine = *world->engines.at(name);
               std::string left;
               if (!fresh.empty()) {
                 OMS_ASSIGN(left, RemoveNew(task, *world, engine, fresh, grace, folder));
               }
               // The upgrade's own stop may still be under way, or a person has started it: it must
               // stand while its databases are brought back.
               if (!old.empty()) OMS_TRY(StopForGood(task, engine, old, grace));
               return left;
             });
  }
  return base::Ok();
}

std::string StopNewContainers::Plan(const RollbackSubject& plan) {
  return fmt::format(
      "stop and remove {} (downtime begins; no way back from here on); its image {} stays{}",
      plan.NewOnes(), plan.undone.image.reference,
      plan.Kept() ? fmt::format("; stop {} as well, which interrupts its tasks", plan.Components())
                  : "");
}

std::string StopNewContainers::Summary(const model::OperationRecord& record) {
  if (record.nodes.empty() || !record.t3) return {};
  return fmt::format("{} {} removed; {} and settings are in {}/rollback",
                     NamesOf(record, &model::FrozenNode::new_name),
                     record.nodes.size() > 1 ? "are" : "is",
                     record.nodes.size() > 1 ? "their logs" : "its log", record.folder);
}

bool NewOneIsGone(const model::OperationRecord& record, const model::NodeFacts& node) {
  return !node.new_container ||
         (node.new_container->dead && record.dead_containers.contains(node.name));
}

bool HasRun(const ports::ContainerInfo& container) {
  return container.running || container.status == "exited" || container.status == "paused" ||
         container.status == "restarting";
}

}  // namespace oms::steps

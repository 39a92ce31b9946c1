// The point from which a rollback is one-way: the new containers are stopped and removed, so that a
// late start of them meets a 404. Their logs and settings are kept, and their image.
#include <fmt/format.h>

#include <filesystem>
#include <string_view>

#include "reconcilers/act/once_script.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/observe/script_look.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

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

// What the upgrade had begun in a component when it was turned back: an attempt that nobody has
// seen is claimed, so that it cannot begin late; one that ended well is remembered, as nothing
// takes it back and nothing may run it again.
base::Status SettleComponentScript(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node, const model::NodeFacts& facts) {
  if (!facts.script || !facts.old_container || op.record().ComponentUpgraded(node))
    return base::Ok();
  if (facts.script->kind == model::ScriptState::Kind::kEnded && facts.script->exit_code == 0)
    return NoteUpgradedComponent(ctx, op, node);
  if (facts.script->kind != model::ScriptState::Kind::kNoFolder || !facts.old_container->running)
    return base::Ok();
  const int attempt =
      op.record().LastAttempt(model::PointKind::kScriptStarting, node.name,
                              std::string(model::NameOf(model::Step::kUpgradeComponents)));
  OMS_ASSIGN(const std::string marker,
             observe::MarkerPath(op.record().id, model::kComponentScript.mark, attempt));
  OMS_TRY(ctx.Check());
  const auto claimed =
      act::ClaimAttempt(ctx, op.engine(node.name), facts.old_container->id, marker);
  return claimed.ok() ? base::Ok() : base::Status(claimed.error());
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
  op.Warn(
      "ContainerNotRemoved",
      fmt::format("node {}: the new container '{}' is dead, which is as good as gone, and could "
                  "not be removed ({}); once that is mended: docker rm {}",
                  node.name, name, view->output.substr(kLeftDead.size()), name));
  return true;
}

}  // namespace

base::Status StopNewContainers(const base::Context& ctx, OperationSession& op) {
  if (op.record().Passed(model::PointKind::kNewStarting) &&
      !op.record().Passed(model::PointKind::kRollbackStopping)) {
    const base::WallTime now = ctx.clock().Wall();
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      record.points.push_back({model::PointKind::kRollbackStopping, "", "", 0, now});
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
    if (node.kept) OMS_TRY(SettleComponentScript(ctx, op, node, *facts));
    const bool started = op.record().Passed(model::PointKind::kOldStarting);
    // A component stands only for as long as databases are brought back.
    const bool stands = op.record().Passed(node.kept ? model::PointKind::kNewStarting
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

}  // namespace oms::steps

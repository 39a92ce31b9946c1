#include "reconcilers/steps/health.h"

#include <fmt/format.h>

#include "crd/reasons.h"
#include "reconcilers/steps/component.h"
#include "reconcilers/steps/console.h"

namespace oms::steps {
namespace {

// Of a component that was not stopped by us. Empty: it runs, or could not be looked at.
std::string WhyItStands(const model::NodeFacts& node) {
  if (node.old_gone) return "the component container was removed";
  const bool stands = node.old_container && !node.old_container->running;
  return stands ? "the component container is not running" : "";
}

}  // namespace

StepState AwaitHealth::Judge(const StepInput& in) {
  if (in.Seen(model::Step::kAwaitHealth)) return Done();
  StepState all =
      EachOf(in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        const std::string stands = frozen.keeps_running ? WhyItStands(node) : std::string();
        if (!node.health && stands.empty()) return Running("waiting for node " + frozen.name);
        const std::string missing = stands.empty() ? node.health->Missing() : stands;
        if (missing.empty()) return Done();
        if (ConsoleStillHeld(in.path, in.record, node))
          return Pending(fmt::format("oms_console is to be started on node {}", frozen.name));
        const auto since = in.record.Progress(model::Step::kRunUpgradeScript).seen;
        if (since && in.facts.now - *since > in.spec.strategy.timeouts.healthy) {
          return Failed(
              crd::reason::kServicesNotHealthy,
              fmt::format("node {}: not healthy {} after the upgrade script: {}; revert "
                          "spec.version to {} to roll back",
                          frozen.name, base::FormatDuration(in.spec.strategy.timeouts.healthy),
                          missing, in.record.from));
        }
        StepState waiting = Running(fmt::format("node {}: {}", frozen.name, missing));
        waiting.look_again = std::chrono::milliseconds(300);  // OMS is down meanwhile.
        return waiting;
      });
  // To be written down, with the restart policy.
  return all.complete() ? Pending("all services answer") : all;
}

base::Status AwaitHealth::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->new_container ||
        !ConsoleStillHeld(op.path(), op.record(), *facts))
      continue;
    if (op.record().ScriptNode().name == node.name)
      return SwitchConsole(ctx, op, node.name, facts->new_container->id, "start");
    return LetConsoleStart(ctx, op, node.name, facts->new_container->id);
  }
  for (const auto& node : op.record().nodes) {
    if (node.keeps_running) continue;  // Its policy was never another one.
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->new_container) return base::Ok();
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).SetRestartPolicy(
        ctx, facts->new_container->id, node.old_restart_policy, node.old_restart_retries));
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    record.NoteSeen(kStep, seen);
    // Where HA stays off, OMS is back as soon as it is healthy.
    if (!record.ha_was_on) record.t2 = seen;
  });
}

std::string AwaitHealth::Plan(const UpgradeSubject& plan) {
  return fmt::format("wait until all services answer on {}, then restart policy as it was ({}){}",
                     plan.NodeNames(),
                     plan.Nodes([](const auto& node) { return node.old_restart_policy; }),
                     plan.ha_on ? "" : " (downtime ends)");
}

StepState AwaitOldHealth::Judge(const StepInput& in) {
  if (!in.Passed(model::PointKind::kStopping)) return Skipped("OMS was not stopped");
  if (in.Seen(model::Step::kAwaitOldHealth)) return Done();
  StepState all =
      EachOf(in, Which::kAll, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (StaysRunning(in.record, frozen)) return Done();
        if (!node.health) return Running("waiting for node " + frozen.name);
        const std::string missing = node.health->Missing();
        if (missing.empty()) return Done();
        // It may be an earlier upgrade's new one, whose console its IS_UPGRADE holds back.
        if (OldConsoleHeld(node))
          return Pending(fmt::format("oms_console is to be started on node {}", frozen.name));
        const auto since = in.record.PassedAt(model::PointKind::kOldStarting, frozen.name);
        if (since && in.facts.now - *since > in.spec.strategy.timeouts.healthy) {
          StepState late = Failed(
              crd::reason::kServicesNotHealthy,
              fmt::format("node {}: the old container '{}' is not healthy {} after it was started: "
                          "{}; see `docker logs {}`; the controller keeps checking it",
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

base::Status AwaitOldHealth::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts != nullptr && OldConsoleHeld(*facts))
      return LetConsoleStart(ctx, op, node.name, facts->old_container->id);
  }
  for (const auto& node : op.record().nodes) {
    if (StaysRunning(op.record(), node)) continue;
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->old_container) return base::Ok();
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).SetRestartPolicy(
        ctx, facts->old_container->id, node.old_restart_policy, node.old_restart_retries));
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    record.NoteSeen(kStep, seen);
    if (!record.ha_was_on) record.t2 = seen;
  });
}

std::string AwaitOldHealth::Plan(const RollbackSubject& plan) {
  return fmt::format("wait until all services answer, then restart policy as it was ({}){}",
                     plan.Nodes([](const auto& node) { return node.old_restart_policy; }),
                     plan.undone.ha_was_on ? "" : " (downtime ends)");
}

}  // namespace oms::steps

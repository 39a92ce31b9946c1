// Step 13 and the ends: the restart policy as it was, once all services answer; an operation is
// turned, closed or given up.
#include <algorithm>

#include "reconcilers/phases/phases.h"
#include "reconcilers/state.h"

namespace oms::upgrade {

base::Status AcceptHealth(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->new_container || !ConsoleStillHeld(op.path(), *facts)) continue;
    return SwitchConsole(ctx, op, node.name, facts->new_container->id, "start");
  }
  for (const auto& node : op.record().nodes) {
    const NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->new_container) return base::Ok();
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).SetRestartPolicy(
        ctx, facts->new_container->id, node.old_restart_policy, node.old_restart_retries));
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](OperationRecord& record) {
    record.evidence.emplace(NameOf(Step::kAwaitHealth), seen);
    // Where HA stays off, OMS is back as soon as it is healthy (design section 4, row 14).
    if (!record.ha_was_on) record.t2 = seen;
  });
}

base::Status TurnBack(const base::Context& ctx, OperationSession& op, const std::string& why) {
  const base::WallTime now = ctx.clock().Wall();
  return op.Save(ctx, [&](OperationRecord& record) {
    record.direction = Direction::kRollback;
    record.turns.push_back({Direction::kRollback, why, now});
    record.recent.push_back(now);
  });
}

base::Status CloseOperation(const base::Context& ctx, OperationSession& op) {
  const base::WallTime now = ctx.clock().Wall();
  return op.Save(ctx, [&](OperationRecord& record) {
    const bool back = record.direction == Direction::kRollback;
    record.outcome = back ? OperationOutcome::kRolledBack : OperationOutcome::kSucceeded;
    record.outcome_reason = back && !record.turns.empty() ? record.turns.back().why
                                                          : std::string(crd::reason::kSucceeded);
    record.ended = now;
  });
}

base::Status AbandonOperation(const base::Context& ctx, OperationSession& op) {
  const base::WallTime now = ctx.clock().Wall();
  return op.Save(ctx, [&](OperationRecord& record) {
    record.outcome = OperationOutcome::kAbandoned;
    record.outcome_reason = "Abandoned";
    record.ended = now;
  });
}

}  // namespace oms::upgrade

// Steps 3 and 14, and the same two of a rollback: HA off before the stop, and on again at the end
// (guide steps 1 and 7; facts.md section 1).
//
// Each write is a compare-and-set on the whole value that was read, so a change that a person makes
// in between is never lost: the swap fails with kConflict, and the next pass reads again.
#include <fmt/format.h>

#include "reconcilers/oms/ha_config.h"
#include "reconcilers/steps/phases.h"

namespace oms::steps {
namespace {

using std::chrono::minutes;

base::Status Swap(const base::Context& ctx, OperationSession& op, const std::string& desired) {
  const std::string& current = *op.facts().meta->ha_raw;
  if (current == desired) return base::Ok();
  OMS_TRY(ctx.Check());
  return op.world()->meta.rm().SwapHaConfig(ctx, *op.world()->fence, op.record().Database("rm"),
                                            current, desired);
}

bool Satisfies(const product::HaState& ha, const product::HaPolicy& policy) {
  if (!ha.enabled) return false;
  if (policy.perceive) return ha.perceive;
  return !ha.perceive &&
         (!policy.refetch_at_least || ha.refetch_minutes >= policy.refetch_at_least->count());
}

bool Manual(const OperationSession& op) { return op.spec().ha.control == crd::HaControl::kManual; }

bool CanSwitch(const OperationSession& op) { return op.facts().meta && op.facts().meta->ha_raw; }

base::Status HaIsBack(const base::Context& ctx, OperationSession& op, model::Step step) {
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    if (record.Passed(model::PointKind::kStopping)) record.t2 = seen;
    record.evidence.emplace(model::NameOf(step), seen);
  });
}

// Everything since T1 must be pulled again, and 30 minutes more (guide step 7.6; design section 4,
// row 14).
product::HaPolicy PolicyFor(const base::Context& ctx, const OperationSession& op) {
  product::HaPolicy policy;
  policy.perceive = op.spec().ha.perceive_store_client_checkpoint;
  if (const auto since = op.record().DataSince(); !policy.perceive && since) {
    const auto down = std::chrono::ceil<minutes>(ctx.clock().Wall() - *since);
    policy.refetch_at_least = down + minutes(30);
  }
  return policy;
}

// On, with what the guide asks for; written down once it is seen to be so.
base::Status SwitchOn(const base::Context& ctx, OperationSession& op, model::Step step) {
  if (!CanSwitch(op)) return base::Ok();
  OMS_ASSIGN(const product::HaState now, product::ReadHa(*op.facts().meta->ha_raw));
  const product::HaPolicy policy = PolicyFor(ctx, op);
  // The interval grows with the clock, so it is asked what it covers, not what the text says.
  // Manual: whatever else the person set there is their choice.
  const bool seen_on = Manual(op) ? now.enabled : Satisfies(now, policy);
  if (seen_on) return HaIsBack(ctx, op, step);
  if (Manual(op)) return base::Ok();
  OMS_ASSIGN(const std::string desired, product::EnableHa(*op.facts().meta->ha_raw, policy));
  return Swap(ctx, op, desired);
}

}  // namespace

base::Status DisableHaSwitch(const base::Context& ctx, OperationSession& op) {
  if (!op.facts().meta) return base::Ok();
  const std::optional<std::string>& raw = op.facts().meta->ha_raw;
  bool on = false;
  if (raw) {
    OMS_ASSIGN(const product::HaState now, product::ReadHa(*raw));
    on = now.enabled;
  }
  if (!on && !op.record().Passed(model::PointKind::kHaDisabling)) {
    // A person has switched it off since the operation was opened: off stays off.
    return op.Save(ctx, [&](model::OperationRecord& record) {
      record.ha_raw = raw;
      record.ha_was_on = false;
    });
  }
  if (!raw) return base::Ok();
  OMS_ASSIGN(const std::string desired, product::DisableHa(*raw));
  const int attempt = op.record().LastAttempt(model::PointKind::kHaDisabling, "", "") + 1;
  const base::WallTime now = op.facts().now;
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
    // What is hidden is what is there now; after the stop only a person can have switched it on.
    if (on && record.direction == model::Direction::kUpgrade &&
        !record.Passed(model::PointKind::kStopping)) {
      record.ha_raw = raw;
      record.ha_was_on = true;
    }
    record.points.push_back({model::PointKind::kHaDisabling, "", "", attempt, now});
  }));
  ctx.log().With("point", "HADisabling").Info("point passed");
  // Manual: only the intent is ours; the person's switch is seen by the next look.
  if (Manual(op)) return base::Ok();
  return Swap(ctx, op, desired);
}

base::Status PutHaBack(const base::Context& ctx, OperationSession& op) {
  if (!op.record().ha_raw || !op.record().Passed(model::PointKind::kHaDisabling)) return base::Ok();
  // Manual: the switch is a person's, in both directions.
  if (Manual(op)) return base::Ok();
  if (!CanSwitch(op)) {
    // A row that is gone needs nothing; one that could not be read must not pass for it, or an
    // operation would be closed with HA off.
    if (op.facts().meta && op.facts().troubles.empty()) return base::Ok();
    return base::MakeError(base::Code::kTransient, "MetaDBUnreachable",
                           "ha.config cannot be read, so HA cannot be put back as it was");
  }
  const std::string& current = *op.facts().meta->ha_raw;
  OMS_ASSIGN(const product::HaState ha, product::ReadHa(current));
  if (ha.enabled) return base::Ok();
  OMS_ASSIGN(const std::string disabled, product::DisableHa(*op.record().ha_raw));
  if (current == disabled) return Swap(ctx, op, *op.record().ha_raw);
  // A person changed other keys meanwhile: theirs stay, only the switch goes back.
  OMS_ASSIGN(const std::string edited,
             product::EnableHa(current, product::HaPolicy{.perceive = ha.perceive}));
  return Swap(ctx, op, edited);
}

base::Status RestoreHaSwitch(const base::Context& ctx, OperationSession& op) {
  OMS_TRY(PutHaBack(ctx, op));
  op.Warn(
      "HARestored",
      "the upgrade is held for more than 5 minutes between HA off and the stop of OMS; HA is on "
      "again until it goes on");
  return base::Ok();
}

base::Status EnableHaSwitch(const base::Context& ctx, OperationSession& op) {
  return SwitchOn(ctx, op, model::Step::kEnableHa);
}

base::Status SwitchHaOffForRollback(const base::Context& ctx, OperationSession& op) {
  if (!CanSwitch(op)) return base::Ok();
  if (!op.record().Passed(model::PointKind::kHaDisabling)) {
    OMS_ASSIGN(const product::HaState now, product::ReadHa(*op.facts().meta->ha_raw));
    if (now.enabled != op.record().ha_was_on) {
      // A person has switched it since the upgrade: what it is now is what it will be.
      OMS_TRY(
          op.Save(ctx, [&](model::OperationRecord& record) { record.ha_was_on = now.enabled; }));
    }
    if (!now.enabled || Manual(op)) return base::Ok();
  }
  return DisableHaSwitch(ctx, op);
}

base::Status RestoreHa(const base::Context& ctx, OperationSession& op) {
  if (op.record().Passed(model::PointKind::kStopping))
    return SwitchOn(ctx, op, model::Step::kRestoreHa);
  // Nothing was stopped: what was there before, to the letter.
  OMS_TRY(PutHaBack(ctx, op));
  return HaIsBack(ctx, op, model::Step::kRestoreHa);
}

}  // namespace oms::steps

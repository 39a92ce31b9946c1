#include "reconcilers/steps/ha.h"

#include <fmt/format.h>

#include "crd/reasons.h"
#include "reconcilers/oms/ha_config.h"

namespace oms::steps {

namespace {

using std::chrono::minutes;

base::Status Swap(const base::Context& ctx, OperationSession& op, const std::string& desired) {
  const std::string& current = *op.facts().meta->ha_raw;
  if (current == desired) return base::Ok();
  OMS_TRY(ctx.Check());
  return op.world()->meta.rm().tables->SwapHaConfig(ctx, *op.world()->fence,
                                                    op.record().Database("rm"), current, desired);
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
    record.NoteSeen(step, seen);
  });
}

// Everything since T1 must be pulled again, and 30 minutes more (guide step 7.6).
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

// spec.ha.control is Manual: a person switches HA in the console, and the next look sees it.
StepState AwaitsHaSwitch(bool on) {
  StepState state = Running(
      on ? "spec.ha.control is Manual: set enable to true in ha.config on the System Parameters "
           "page, and perceiveStoreClientCheckpoint to true, or refetchStoreIntervalMin to the "
           "minutes that OMS was down (since status.operation.t1) and 30 more"
         : "spec.ha.control is Manual: copy and save the value of ha.config on the System "
           "Parameters page, and set enable to false in it");
  state.reason = crd::reason::kAwaitingHaSwitch;
  return state;
}

// An operation may be held for days between its opening and this step: until HA has been touched,
// or OMS stopped, it is what it is now that counts. The phase writes that down.
StepState DisableUntouchedHa(const StepInput& in) {
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

// Of an undo: HA as it is now counts, not as it was before the upgrade; a person may have switched
// it since. The phase writes that down.
StepState SwitchHaOffForUndo(const StepInput& in) {
  const bool unread = !in.facts.meta || !in.facts.meta->ha_raw;
  if (in.facts.meta && !in.facts.meta->ha_unreadable.empty())
    return Done("ha.config cannot be read: " + in.facts.meta->ha_unreadable);
  if (unread && (!in.facts.meta || !in.facts.troubles.empty())) {
    return Running("waiting for the MetaDB");
  }
  if (unread) return Done("ha.config no longer exists");
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Done(ha.error().message);
  if (ha->enabled != in.record.ha_was_on) return Pending();
  if (!ha->enabled) return Skipped("HA is off and stays off");
  return in.spec.ha.control == crd::HaControl::kManual ? AwaitsHaSwitch(false) : Pending();
}

constexpr char kKept[] = "the previous ha.config is in the operation's record";

std::string BackSince(const model::OperationRecord& record) {
  if (!record.t1 || !record.t2) return {};
  return fmt::format(
      "OMS back up at {}, downtime {}", base::FormatTime(*record.t2),
      base::FormatDuration(std::chrono::duration_cast<base::Duration>(*record.t2 - *record.t1)));
}

}  // namespace

StepState DisableHa::Judge(const StepInput& in) {
  if (!in.Passed(model::PointKind::kHaDisabling) && !in.Passed(model::PointKind::kStopping)) {
    return DisableUntouchedHa(in);
  }
  if (!in.record.ha_was_on) return Skipped("HA was off already");
  if (in.Seen(model::Step::kAwaitHealth)) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (!in.facts.meta->ha_raw) return Done("ha.config no longer exists");
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Failed(ha.error().reason, ha.error().message);
  // After the stop nobody but a person can have switched it on again; it is switched off again all
  // the same.
  if (!ha->enabled) return Done();
  if (in.spec.ha.control == crd::HaControl::kManual) return AwaitsHaSwitch(false);
  return Pending("ha.config is on");
}

base::Status DisableHa::Act(const base::Context& ctx, OperationSession& op) {
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
  const int attempt = op.record().LastAttempt(model::PointKind::kHaDisabling) + 1;
  const base::WallTime now = op.facts().now;
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
    // What is hidden is what is there now; after the stop only a person can have switched it on.
    if (on && record.direction == model::Direction::kUpgrade &&
        !record.Passed(model::PointKind::kStopping)) {
      record.ha_raw = raw;
      record.ha_was_on = true;
    }
    record.points.push_back({model::PointKind::kHaDisabling, "", std::nullopt, attempt, now});
  }));
  ctx.log().With("point", "HADisabling").Info("point passed");
  // Manual: only the intent is ours; the person's switch is seen by the next look.
  if (Manual(op)) return base::Ok();
  return Swap(ctx, op, desired);
}

std::string DisableHa::Plan(const UpgradeSubject& plan) {
  if (!plan.ha_on) return "skipped, HA is off";
  return plan.Manual() ? "wait until somebody sets enable=false in ha.config on the console"
                       : "set enable=false in ha.config";
}

std::string DisableHa::Summary(const model::OperationRecord&) { return kKept; }

StepState EnableHa::Judge(const StepInput& in) {
  if (!in.record.ha_was_on) return Skipped("HA was off before the upgrade and stays off");
  if (in.Seen(model::Step::kEnableHa)) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (!in.facts.meta->ha_raw)
    return Failed(crd::reason::kHaConfigMissing, "oms_normal_config no longer has a row ha.config");
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Failed(ha.error().reason, ha.error().message);
  if (in.spec.ha.control == crd::HaControl::kManual && !ha->enabled) return AwaitsHaSwitch(true);
  return Pending();
}

base::Status EnableHa::Act(const base::Context& ctx, OperationSession& op) {
  return SwitchOn(ctx, op, model::Step::kEnableHa);
}

std::string EnableHa::Plan(const UpgradeSubject& plan) {
  if (!plan.ha_on) return "skipped, HA was off and stays off";
  return fmt::format("{} in ha.config{} (downtime ends)",
                     plan.spec.ha.perceive_store_client_checkpoint
                         ? "set enable=true and perceiveStoreClientCheckpoint=true"
                         : "set enable=true, perceiveStoreClientCheckpoint=false and a "
                           "refetchStoreIntervalMin that covers the downtime",
                     plan.Manual() ? ", after somebody has switched it on on the console" : "");
}

std::string EnableHa::Summary(const model::OperationRecord& record) { return BackSince(record); }

StepState SwitchHaOff::Judge(const StepInput& in) {
  if (!in.Passed(model::PointKind::kStopping)) return Skipped("OMS was not stopped");
  const bool past =
      in.Seen(model::Step::kSwitchHaOff) || in.Passed(model::PointKind::kRollbackStopping);
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
    return in.Seen(model::Step::kAwaitHealth)
               ? AwaitsHaSwitch(false)
               : Done("spec.ha.control is Manual: HA was not changed");
  }
  return Pending();
}

base::Status SwitchHaOff::Act(const base::Context& ctx, OperationSession& op) {
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
  return DisableHa::Act(ctx, op);
}

std::string SwitchHaOff::Plan(const RollbackSubject& plan) {
  return plan.Manual()
             ? "wait until somebody sets enable=false in ha.config on the console, if it is on"
             : "set enable=false in ha.config, if it is on";
}

std::string SwitchHaOff::Summary(const model::OperationRecord&) { return kKept; }

StepState RestoreHa::Judge(const StepInput& in) {
  if (!in.record.ha_was_on) return Skipped("HA was off before and stays off");
  if (in.Seen(model::Step::kRestoreHa)) return Done();
  if (!in.Passed(model::PointKind::kHaDisabling) && !in.Passed(model::PointKind::kStopping))
    return Skipped("HA was not touched");
  // Until then the table may be gone, which is no failure of this step.
  if (in.Passed(model::PointKind::kStopping) && !in.Seen(model::Step::kAwaitOldHealth))
    return Pending();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (!in.facts.meta->ha_unreadable.empty()) {
    return Failed(crd::reason::kHaConfigUnreadable,
                  "ha.config cannot be read: " + in.facts.meta->ha_unreadable +
                      "; repair oms_normal_config, then annotate " + std::string(crd::kResetAt));
  }
  if (!in.facts.meta->ha_raw) {
    // A row that could not be read must not pass for one that is gone.
    if (!in.facts.troubles.empty()) return Running("waiting for the MetaDB");
    if (!in.Passed(model::PointKind::kStopping)) return Pending();
    return Failed(crd::reason::kHaConfigMissing, "oms_normal_config no longer has a row ha.config");
  }
  const auto ha = product::ReadHa(*in.facts.meta->ha_raw);
  if (!ha.ok()) return Failed(ha.error().reason, ha.error().message);
  if (in.spec.ha.control == crd::HaControl::kManual && !ha->enabled) return AwaitsHaSwitch(true);
  return Pending();
}

base::Status RestoreHa::Act(const base::Context& ctx, OperationSession& op) {
  if (op.record().Passed(model::PointKind::kStopping))
    return SwitchOn(ctx, op, model::Step::kRestoreHa);
  // Nothing was stopped: what was there before, to the letter.
  OMS_TRY(PutHaBack(ctx, op));
  return HaIsBack(ctx, op, model::Step::kRestoreHa);
}

std::string RestoreHa::Plan(const RollbackSubject& plan) {
  if (!plan.undone.ha_was_on) return "skipped, HA was off before the upgrade and stays off";
  return fmt::format("ha.config as before the upgrade, on, with {} (downtime ends)",
                     plan.spec.ha.perceive_store_client_checkpoint
                         ? "perceiveStoreClientCheckpoint=true"
                         : "a refetchStoreIntervalMin that covers everything since the upgrade");
}

std::string RestoreHa::Summary(const model::OperationRecord& record) { return BackSince(record); }

base::Status PutHaBack(const base::Context& ctx, OperationSession& op) {
  if (!op.record().ha_raw || !op.record().Passed(model::PointKind::kHaDisabling)) return base::Ok();
  // Manual: the switch is a person's, in both directions.
  if (Manual(op)) return base::Ok();
  if (!CanSwitch(op)) {
    // A row that is gone needs nothing; one that could not be read must not pass for it, or an
    // operation would be closed with HA off.
    if (op.facts().meta && op.facts().troubles.empty()) return base::Ok();
    return base::MakeError(base::Code::kTransient, crd::reason::kMetaDbUnreachable,
                           "ha.config cannot be read, so HA cannot be restored");
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
  op.Warn(crd::reason::kHaRestored,
          "the upgrade has waited for more than 5 minutes between switching HA off and stopping "
          "OMS; HA is on again until the upgrade continues");
  return base::Ok();
}

}  // namespace oms::steps

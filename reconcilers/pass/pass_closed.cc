// No operation is open: what is wanted, whether it may begin, and the first record of it.
#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/act/secret_hold.h"
#include "reconcilers/decide/standing.h"
#include "reconcilers/decide/unreached.h"
#include "reconcilers/decide/way_back.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/pass/pass.h"
#include "reconcilers/record/open_operation.h"
#include "reconcilers/steps/accept.h"
#include "reconcilers/steps/trials.h"

namespace oms::pass {

using Kind = decide::Decision::Kind;

// A trouble is told and holds nothing up.
void UpgradeReconciler::Pass::PruneBackups(const base::Context& ctx) {
  if (!site_.record || site_.record->open() || !site_.volume || deleting() || spec_.suspend ||
      spec_.mode == crd::Mode::kPlan) {
    return;
  }
  const decide::RetentionRule rule{me_, spec_.backup.retain, spec_.strategy.rollback_window};
  const auto pruned = memory_.pruning.Run(ctx, *owner_.ports_.store, spec_.backup.directory,
                                          *site_.record, rule, resource_->meta.generation);
  if (!pruned) return;
  pruned_ = pruned->paths;
  if (!pruned->folders.empty()) Event(false, crd::reason::kBackupsPruned, TextOf(*pruned));
  if (pruned->status.ok() || pruned->status.Is(base::Code::kCancelled)) return;
  ctx.log().Warn("old backups are not removed: {}", pruned->status.error().message);
  Event(true, crd::reason::kBackupsNotPruned,
        "old backups are not removed: " + pruned->status.error().message);
}

void UpgradeReconciler::Pass::LookBeforeUpgrade(const base::Context& ctx,
                                                const crd::Version& running) {
  const crd::Version& to = *wanted_;
  auto path = product::CheckPath(running, to, steps::PathOptionsOf(spec_));
  if (!path.ok()) {
    preflight_ =
        steps::StepState{steps::Verdict::kFailed, path.error().reason, path.error().message};
    return;
  }
  path_ = *std::move(path);
  record::ApplyOverrides(spec_, path_);
  const base::Context look_ctx = ctx.WithNewDeadline(spec_.strategy.timeouts.preflight);
  const observe::Look look{spec_, site_, path_, running, to};
  facts_ = observe::Observe(look_ctx, reached_.Views(), look, {}, memory_.proofs);
  steps::TryOut(look_ctx, look, reached_.WorldOf(site_), memory_.trials, *facts_);
  preflight_ = steps::PreflightState(spec_, running, to, *facts_);
  show::UpgradePlanInput input{spec_, running, to, path_, *facts_};
  if (site_.record) {
    input.follows = site_.record->id;
    input.components = site_.record->components;
    input.rates = show::RatesFrom(*site_.record);
  }
  auto plan = show::PlanUpgrade(input);
  if (!plan.ok()) return;
  plan_ = *std::move(plan);
  // Not of the hash: they change nothing of what is done.
  for (auto& told : steps::AdvisoriesBeforeStart(spec_, running, to, *facts_))
    plan_->steps.push_back("Before: " + told);
}

// A person's word is taken once, and written down. True: everything must be looked at anew.
base::Result<bool> UpgradeReconciler::Pass::TakeWholeness(const base::Context& ctx) {
  const model::OperationRecord& last = *site_.record;
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return true;
  steps::OperationSession op = Session(kNothingSeen);
  const base::WallTime now = ctx.clock().Wall();
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
    if (!record.said_whole) record.said_whole = now;
  }));
  Event(false, crd::reason::kSaidWhole,
        fmt::format(
            "OMS is considered intact after the abandoned operation from {} to {}, as {} confirms",
            last.from, last.to, crd::kAccept));
  return true;
}

// For the texts of an undo's plan. Looked at once for each: it counts rows.
show::UndoNumbers UpgradeReconciler::Pass::NumbersNow(const base::Context& ctx) {
  const model::OperationRecord& undone = *site_.way_back;
  if (memory_.numbers_of != undone.id) {
    memory_.numbers = {};
    memory_.numbers.rates = show::RatesFrom(undone);
    uint64_t bytes = 0;
    bool all = true;
    for (const auto& frozen : undone.databases) {
      const auto database =
          site_.meta.For(frozen.role)
              .server->Database(ctx.WithNewDeadline(spec_.strategy.timeouts.preflight),
                                frozen.name);
      all = all && database.ok();
      if (!database.ok()) continue;
      bytes += database->bytes;
      for (const auto& event : database->events)
        memory_.numbers.events.push_back(frozen.name + "." + event);
    }
    if (all) memory_.numbers.database_bytes = bytes;
    memory_.numbers_of = undone.id;
  }
  return memory_.numbers;
}

// Nothing is open: HA is a person's. That it is off, where the upgrade had left it on, is told
// once.
bool UpgradeReconciler::Pass::LookAtHa(const base::Context& ctx) {
  const bool left_on = site_.record && !site_.record->open() && site_.record->ha_was_on &&
                       site_.record->outcome != model::OperationOutcome::kAbandoned;
  if (!left_on || !site_.meta.known()) return false;
  const auto raw = site_.meta.rm().tables->ReadHaConfig(ctx, site_.record->Database("rm"));
  const auto ha = raw.ok() && *raw
                      ? product::ReadHa(**raw)
                      : base::Result<product::HaState>(base::MakeError(base::Code::kNotFound, ""));
  const bool off = ha.ok() && !ha->enabled;
  if (memory_.told.IsNewsThatHaIs(ha.ok() ? std::optional(off) : std::nullopt)) {
    Event(true, crd::reason::kHaSwitchedOff,
          "somebody has switched HA off (ha.config, enable=false) since the last operation; the "
          "controller does not change it, and components that stop are not restarted");
  }
  return off;
}

// Nothing is open, and nothing is wanted: Ready is for what was seen to be well, and not for a
// label.
base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::Stand(
    const base::Context& ctx) {
  decide::StandingView view{*site_.running};
  view.last = site_.record.get();
  view.ha_off = LookAtHa(ctx);
  view.not_running = observe::WhatDoesNotRun(spec_, site_);
  if (!view.not_running && view.last != nullptr && decide::LeftDataUnknown(*view.last)) {
    const std::string token = steps::AcceptToken(*view.last, crd::reason::kAbandoned);
    if (Annotation(crd::kAccept) == token) {
      OMS_ASSIGN(const bool taken, TakeWholeness(ctx));
      if (taken) return LookAnew();
    }
    view.data_unknown = true;
  }
  if (!view.not_running && !view.data_unknown) {
    const observe::Look look{spec_, site_, path_, *site_.running, *site_.running};
    const base::Context quick = ctx.WithTimeout(spec_.strategy.timeouts.preflight);
    view.unwell =
        decide::JudgeIdle(observe::ObserveIdle(quick, reached_.Views(), look), memory_.idle);
    view.unwell_begun = memory_.idle.unwell_since.has_value();
  }
  PruneBackups(ctx);
  return Rest(decide::DecideStanding(view));
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::WithoutOperation(
    const base::Context& ctx) {
  OMS_ASSIGN(auto before, TidyUp(ctx));
  if (before) return *std::move(before);
  const model::OperationRecord* gone = decide::NewContainerGoneOf(site_);
  // What counts is what the databases are.
  if (gone != nullptr) site_.running = gone->to;
  decide::IdleInput idle{*site_.running};
  idle.now = ctx.clock().Wall();
  idle.last = site_.record.get();
  idle.way_back = gone != nullptr ? gone : decide::RunsNewOf(site_);
  const decide::UserRequests requests = UserRequestsNow(ctx);
  if (gone != nullptr && !decide::WantsUndo(spec_, idle, requests))
    return Rest(decide::NewContainerGone(*gone, site_, spec_.strategy));
  if (auto latched = decide::Latched(idle, requests)) {
    // Nothing may begin, so nothing is looked at for it: what the last one came to stays shown.
    OMS_TRY(owner_.status_.RemoveFinalizer(ctx, key_, known_));
    return Rest(*std::move(latched));
  }
  if (const auto ahead = LookAhead(ctx, idle, requests); !ahead.ok())
    return Stall(ahead.error().reason, ahead.error().message);
  if (plan_) {
    idle.plan_hash = plan_->hash;
    idle.plan_text = plan_->lost;
  }
  idle.preflight = preflight_ ? &*preflight_ : nullptr;
  return Begin(ctx, decide::DecideWithoutOperation(spec_, idle, requests));
}

base::Result<std::optional<UpgradeReconciler::Pass::Came>> UpgradeReconciler::Pass::TidyUp(
    const base::Context& ctx) {
  using Before = std::optional<Came>;
  if (site_.row && site_.record && site_.row->operation_id == site_.record->id) {
    // A process died after it had closed the record, and before it said so in the row.
    OMS_ASSIGN(const bool claimed, Claim(ctx));
    if (claimed) return Before(LookAnew());
    OMS_TRY(Row().SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                               site_.record->volume));
    return Before(LookAnew());
  }
  if (!deleting() && !spec_.suspend && spec_.mode != crd::Mode::kPlan) {
    OMS_ASSIGN(const bool taken, TakeRecordsOver(ctx));
    if (taken) return Before(LookAnew());
  }
  if (site_.record && !site_.record->open()) {
    memory_.secrets.Release(ctx, *owner_.ports_.api, key_.ns, site_.record->id,
                            site_.record->secrets, resource_->meta.uid);
  }
  if (site_.row && site_.row->owner == me_)
    memory_.idle_row = {reached_.OwnershipOf(site_), site_.oms, site_.row->epoch};
  if (site_.running) return Before();
  return Before(Stall(crd::reason::kContainerNotFound,
                      "the OMS container no longer exists, and no operation is open"));
}

base::Status UpgradeReconciler::Pass::LookAhead(const base::Context& ctx,
                                                const decide::IdleInput& idle,
                                                const decide::UserRequests& requests) {
  if (decide::WantsUndo(spec_, idle, requests)) {
    OMS_ASSIGN(plan_,
               show::PlanRollback(spec_, *idle.way_back, idle.now,
                                  {resource_->meta.generation, site_.record->id}, NumbersNow(ctx)));
  } else if (decide::WantsUpgrade(requests, *site_.running)) {
    LookBeforeUpgrade(ctx, *site_.running);
  }
  return base::Ok();
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::Begin(
    const base::Context& ctx, decide::Decision decision) {
  step_ = decision.step;
  const bool undo = decision.kind == Kind::kOpenUndo;
  if (undo || decision.kind == Kind::kOpen) {
    const base::Context act = ctx.WithNewDeadline(kActFor);
    OMS_ASSIGN(const bool claimed, Claim(act));
    if (claimed) return LookAnew();
    OMS_TRY(Open(act, undo));
    return GoOn(std::move(decision));
  }
  // It is for an open operation alone; an uninstall would hang on it.
  OMS_TRY(owner_.status_.RemoveFinalizer(ctx, key_, known_));
  return decision.kind == Kind::kIdle ? Stand(ctx) : Rest(std::move(decision));
}

base::Status UpgradeReconciler::Pass::Open(const base::Context& ctx, bool undo) {
  OMS_TRY(owner_.status_.AddFinalizer(ctx, key_, known_));
  record::NewOperation operation;
  operation.id = owner_.options_.new_id();
  operation.now = ctx.clock().Wall();
  operation.key = key_;
  operation.owner = me_;
  operation.epoch = *memory_.epoch;
  operation.resource = Mark();
  operation.plan_hash = plan_ ? plan_->hash : std::string();
  if (site_.record) {
    operation.follows = site_.record->id;
    operation.recent = decide::RecentOnly(site_.record->recent, operation.now);
  }
  model::OperationRecord record;
  if (undo) {
    record = record::UndoRecord(*site_.way_back, operation);
    if (site_.record) record.components = site_.record->components;
  } else {
    // The folder and its identity are made now, and not while it was only looked at.
    OMS_TRY(ctx.Check());
    OMS_ASSIGN(facts_->volume, owner_.ports_.store->Identify(spec_.backup.directory));
    operation.from = *site_.running;
    operation.to = *wanted_;
    OMS_ASSIGN(record, record::FirstRecord(spec_, site_, *facts_, operation));
  }
  OMS_TRY(ctx.Check());
  // Record first, row second: a folder that no row names is an operation that never began.
  OMS_TRY(owner_.ports_.store->Append(record.folder, 1, record.ToJson()));
  OMS_TRY(
      Row().SetOperation(ctx, site_.oms, *memory_.epoch, record.id, record.folder, record.volume));
  memory_.failures = {};
  Event(false, undo ? crd::reason::kRollbackStarted : crd::reason::kUpgradeStarted,
        undo ? fmt::format("rollback from {} to {} begins; its record and backups are in {}",
                           record.to, record.from, record.folder)
             : fmt::format("upgrade from {} to {} begins; its record and backups are in {}",
                           record.from, record.to, record.folder));
  if (undo) return base::Ok();
  // No warnings: nobody has seen anything amiss.
  for (const auto& told : steps::AdvisoriesBeforeStart(spec_, *site_.running, record.to, *facts_))
    Event(false, crd::reason::kSeeToItFirst, told);
  return base::Ok();
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::LeaveAsItIs(
    const base::Context& ctx, bool open) {
  const auto& operation = known_.status.operation;
  if (operation) owner_.tasks_.Stop(operation->id + "/");
  if (site_.record) owner_.tasks_.Stop(site_.record->id + "/");
  if (open) {
    Event(true, crd::reason::kOrphaned,
          fmt::format("the resource was deleted and leaves an open operation behind; its record "
                      "and backups are in {}",
                      site_.record ? site_.record->folder
                      : operation  ? operation->folder
                                   : ""));
  }
  auto secrets = act::SecretsOf(resource_->spec);
  if (site_.record)
    secrets.insert(secrets.end(), site_.record->secrets.begin(), site_.record->secrets.end());
  const auto gone =
      act::LetSecretsGo(ctx, *owner_.ports_.api, key_.ns, secrets, resource_->meta.uid);
  if (!gone.ok() && !gone.Is(base::Code::kDenied)) return gone.error();
  OMS_TRY(owner_.status_.RemoveFinalizer(ctx, key_, known_));
  return Rest({Kind::kIdle, model::Step::kPreflight, crd::reason::kUpToDate, "deleted"});
}

// Nothing is open, or it is to be left as it is, or nothing can be seen.
base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::Deleted(
    const base::Context& ctx) {
  // What another owner has taken over is none of this resource's business any more.
  const bool others = others_row();
  const bool open = !others && (operation_open() || unseen_open());
  const model::Trouble* trouble = site_.trouble ? &*site_.trouble : nullptr;
  if (auto held = decide::HoldsDeletion({trouble, orphans(), others, OperationId()})) {
    return Rest(*std::move(held));
  }
  if (!open && !others && site_.row && !site_.row->Free() && !site_.trouble) {
    OMS_TRY(ctx.Check());
    OMS_TRY(Row().Release(ctx, site_.oms, site_.row->epoch));
    memory_.epoch.reset();
  }
  return LeaveAsItIs(ctx, open);
}

}  // namespace oms::pass

// An operation is open: the act of a step, what is written down of it, and the ends of the operation.
#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/decide/failures.h"
#include "reconcilers/pass/pass.h"
#include "reconcilers/record/open_operation.h"
#include "reconcilers/steps/config.h"
#include "reconcilers/steps/ends.h"
#include "reconcilers/steps/ha.h"
#include "reconcilers/steps/table.h"

namespace oms::pass {

using Kind = decide::Decision::Kind;

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::Act(
    const base::Context& ctx, decide::Decision decision) {
  step_ = decision.step;
  steps::OperationSession op = Session();
  OMS_TRY(RecordEvidence(ctx, op));
  const base::Context act =
      ctx.WithLogger(ctx.log().With("step", std::string(model::NameOf(decision.step))))
          .WithNewDeadline(kActFor);
  switch (decision.kind) {
    case Kind::kRun: return ActOnStep(act, op, std::move(decision));
    case Kind::kClose: return End(act, op, decision);
    case Kind::kTurn: return Turn(act, op, decision);
    case Kind::kCallOff: return CallOff(act, op, decision);
    case Kind::kRestoreHa: OMS_TRY(steps::RestoreHaSwitch(act, op)); break;
    default: break;
  }
  return Rest(std::move(decision));
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::ActOnStep(
    const base::Context& act, steps::OperationSession& op, decide::Decision decision) {
  const model::Step step = decision.step;
  const steps::StepState& at = steps::At(*state_, step);
  if (auto idle = decide::WithoutEffect(*site_.record, step, at, memory_.failures)) {
    // What could not be looked at may well be as it should be.
    if (!facts_->troubles.empty()) {
      const model::Trouble& trouble = facts_->troubles.front();
      return Rest(
          {Kind::kWait, step, trouble.reason, trouble.message, decide::kLookAgainAtTrouble});
    }
    return StepFailed(act, op, step, *idle);
  }
  act.log().Info("acting");
  acted_ = true;
  memory_.failures.begun = step;
  const steps::StepSpec& spec = steps::SpecOf(step);
  const base::Duration limit =
      spec.limit ? spec_.strategy.timeouts.*spec.limit->limit : base::Duration(0);
  const int n = site_.last_n;
  const base::Status done = spec.act == nullptr
                                ? base::Ok()
                                : spec.act(spec.limit ? act.WithNewDeadline(limit) : act, op);
  if (done.ok()) {
    decide::NoteAct(step, at, site_.last_n != n || op.started() > 0, memory_.failures);
    return GoOn(std::move(decision));
  }
  // However long it took, how it ended is written down.
  const base::Context after = act.WithNewDeadline(kWriteFor);
  // Not this step's doing: we are told to stop, or another one owns the operation.
  OMS_TRY(after.Check());
  const bool taken = done.Is(base::Code::kConflict) && done.error().reason == ports::kRecordTaken;
  if (done.Is(base::Code::kFenced) || done.Is(base::Code::kCancelled) || taken) return done.error();
  base::Error error = done.error();
  if (spec.limit && done.Is(base::Code::kTimeout)) {
    error = error.Wrap(fmt::format("{} took longer than {} (spec.strategy.timeouts.{})",
                                   model::NameOf(step), base::FormatDuration(limit),
                                   spec.limit->field));
  }
  return StepFailed(after, op, step, error);
}

// A try of it has come to nothing: told, and written down.
base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::StepFailed(
    const base::Context& act, steps::OperationSession& op, model::Step step,
    const base::Error& error) {
  act.log().Warn("{}: {}", base::ToString(error.code), error.message);
  const model::StepFailure failure =
      decide::FailureOf(step, error, act.clock().Now(), memory_.failures);
  Event(true, failure.reason, failure.message);
  OMS_TRY(op.Save(act, [&](model::OperationRecord& record) { record.failure = failure; }));
  return LookAnew();
}

// What runs for the upgrade is ended; what it leaves behind is looked at by the way back.
base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::Turn(
    const base::Context& ctx, steps::OperationSession& op, const decide::Decision& decision) {
  owner_.tasks_.Stop(site_.record->id + "/");
  OMS_TRY(steps::TurnBack(ctx, op, decision.reason, Mark()));
  memory_.failures = {};
  Event(true, crd::reason::kRollbackStarted, decision.message);
  ctx.log().Info("{}", decision.message);
  return LookAnew();
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::CallOff(
    const base::Context& ctx, steps::OperationSession& op, const decide::Decision& decision) {
  owner_.tasks_.Stop(site_.record->id + "/");
  OMS_ASSIGN(const bool back, steps::CallOffUndo(ctx, op, decision.reason, Mark()));
  if (!back) return LookAnew();
  OMS_TRY(Row().SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                             site_.record->volume));
  Event(false, crd::reason::kRollbackCalledOff, decision.message);
  ctx.log().Info("{}", decision.message);
  return LookAnew();
}

// OMS is back, so it holds nothing up; but who does not know of the file cannot remove it.
void UpgradeReconciler::Pass::RemoveLeftConfig(const base::Context& ctx,
                                               steps::OperationSession& op) {
  const auto removed = steps::RemoveRewrittenConfig(ctx, op);
  if (removed.ok()) return;
  ctx.log().Warn("the rewritten config.yaml is left behind: {}", removed.error().message);
  Event(true, crd::reason::kConfigFileLeft,
        fmt::format("the config.yaml that was rewritten for {} could not be removed ({}); remove "
                    "it manually: it contains the MetaDB's password",
                    site_.record->to, removed.error().message));
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::End(
    const base::Context& ctx, steps::OperationSession& op, const decide::Decision& decision) {
  const bool back = site_.record->direction == model::Direction::kRollback;
  if (back) RemoveLeftConfig(ctx, op);
  OMS_TRY(steps::CloseOperation(ctx, op, Mark()));
  OMS_TRY(Row().SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                             site_.record->volume));
  Event(false, back ? crd::reason::kRolledBack : crd::reason::kUpgradeSucceeded, decision.message);
  for (const auto& left : show::FollowUpsOf(*site_.record))
    Event(left.warning, crd::reason::kFollowUp, left.text);
  ctx.log().Info("{}", decision.message);
  // What runs now may be another version than the one that the spec asks for (a rollback by policy,
  // a third version): Ready is for the look at it, not for the end of this operation.
  return LookAnew();
}

// What is seen to be done for the first time is written down with its time; and T1 with the stop.
base::Status UpgradeReconciler::Pass::RecordEvidence(const base::Context& ctx,
                                                     steps::OperationSession& op) {
  const model::OperationRecord& record = *site_.record;
  std::vector<model::Step> fresh;
  for (const auto& info : model::StepsOf(record.direction)) {
    if (!steps::At(*state_, info.step).complete()) break;
    if (!record.Seen(info.step)) fresh.push_back(info.step);
  }
  // A stop that was turned back in the middle is part of the downtime as well.
  const bool stands = std::any_of(facts_->nodes.begin(), facts_->nodes.end(), [](const auto& node) {
    return node.old_container && !node.old_container->running;
  });
  const bool down =
      !record.t1 && !record.undoes && record.Passed(model::PointKind::kStopping) && stands;
  if (fresh.empty() && !down) return base::Ok();
  const base::WallTime now = ctx.clock().Wall();
  const auto t1 = record::DowntimeStart(record, *facts_);
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& next) {
    next.epoch = *memory_.epoch;
    for (const model::Step step : fresh) next.NoteSeen(step, now);
    if (next.failure && next.Seen(next.failure->step)) next.failure.reset();
    if (down || (next.Seen(model::Step::kStopContainers) && !next.t1 && !next.undoes)) next.t1 = t1;
  }));
  for (const model::Step step : fresh)
    ctx.log().With("step", std::string(model::NameOf(step))).Info("done");
  return base::Ok();
}

// By its id. Where nothing answers it is the one that the status shows.
bool UpgradeReconciler::Pass::WantsAbandon() const {
  const std::string id = Annotation(crd::kAbandon);
  if (id.empty()) return false;
  if (operation_open() && site_.record->id == id) return true;
  return site_.trouble && known_.status.operation && known_.status.operation->id == id;
}

// A person gives up what cannot be brought to an end: everything stays as it is, and is told.
base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::Abandon(
    const base::Context& ctx) {
  if (site_.trouble) return AbandonUnseen(ctx, site_.trouble->message);
  owner_.tasks_.Stop(Annotation(crd::kAbandon) + "/");
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return LookAnew();
  steps::OperationSession op = Session(kNothingSeen);
  OMS_TRY(steps::AbandonOperation(ctx, op, Mark()));
  TellAbandoned(*site_.record);
  OMS_TRY(Row().SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                             site_.record->volume));
  return LookAnew();
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::AbandonUnseen(
    const base::Context& ctx, const std::string& why) {
  OMS_ASSIGN(const base::Status ours, AbandonUnreached(ctx));
  if (ours.ok()) owner_.tasks_.Stop(Annotation(crd::kAbandon) + "/");
  if (deleting()) return LeaveAsItIs(ctx, false);
  if (!ours.ok()) return Stall(ours.error().reason, ours.error().message);
  return Stall(crd::reason::kAbandoned, "the operation was abandoned; " + why);
}

void UpgradeReconciler::Pass::TellAbandoned(const model::OperationRecord& record) {
  Event(true, crd::reason::kAbandoned,
        fmt::format("the operation from {} to {} was abandoned by annotation; containers and "
                    "databases are not changed; its record, its backups and RESTORE.md are in {}",
                    record.from, record.to, record.folder));
  for (const auto& left : show::FollowUpsOf(record))
    Event(left.warning, crd::reason::kFollowUp, left.text);
}

// The engine or the MetaDB does not answer. The record can be closed all the same, where it can be
// read; the row follows once the MetaDB is back.
base::Result<base::Status> UpgradeReconciler::Pass::AbandonUnreached(const base::Context& ctx) {
  ports::RecordStore& store = *owner_.ports_.store;
  const std::string& folder = known_.status.operation->folder;
  auto found = observe::ReadTrusted(store, folder, Trust());
  const bool refused =
      found.Is(base::Code::kDenied) ||
      (found.Is(base::Code::kInvalid) && found.error().reason != crd::reason::kRecordFormat);
  if (refused) return base::Status(found.error());
  if (!found.ok() || !found->record.open() || found->record.id != Annotation(crd::kAbandon)) {
    return base::Ok();
  }
  steps::MarkAbandoned(found->record, MarkAfter(&found->record), ctx.clock().Wall());
  OMS_TRY(ctx.Check());
  OMS_TRY(store.Append(folder, found->last_n + 1, found->record.ToJson()));
  TellAbandoned(found->record);
  return base::Ok();
}

}  // namespace oms::pass

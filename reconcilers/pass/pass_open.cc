// An operation is open: the next step in its direction, what is written down of it, and its ends.
#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/act/secret_hold.h"
#include "reconcilers/decide/failures.h"
#include "reconcilers/decide/place.h"
#include "reconcilers/pass/pass.h"
#include "reconcilers/record/open_operation.h"
#include "reconcilers/steps/config.h"
#include "reconcilers/steps/ends.h"
#include "reconcilers/steps/ha.h"
#include "reconcilers/steps/table.h"
#include "reconcilers/steps/trials.h"

namespace oms::pass {

using Kind = decide::Decision::Kind;

namespace {

constexpr base::Duration kLookForMost = std::chrono::minutes(2);

}  // namespace

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::WithOperation(
    const base::Context& outer) {
  const base::Context ctx = outer.WithLogger(outer.log().With("operation", site_.record->id));
  // Before anything is written: a row must not be made on a server that is none of ours.
  if (auto elsewhere = decide::CheckSamePlace(*site_.record, site_))
    return Rest(*std::move(elsewhere));
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return LookAnew();
  OMS_ASSIGN(const bool taken, TakeRecordsOver(ctx));
  if (taken) return LookAnew();
  // A `kubectl replace` takes it away, and a deletion would then forget the operation half-way.
  // OMS may be down: what cannot be written now is written in the next pass.
  if (!deleting()) {
    const auto held = owner_.status_.AddFinalizer(ctx, key_, known_);
    if (!held.ok())
      ctx.log().Warn("the finalizer could not be added again: {}", held.error().message);
  }
  OMS_TRY(HoldReferencedSecrets(ctx));
  OMS_ASSIGN(const bool corrected, TakeImage(ctx));
  if (corrected) return LookAnew();
  const crd::Version from = site_.record->from, to = site_.record->to;
  memory_.idle_row.reset();
  if (site_.record->Passed(model::PointKind::kFirstDrop)) memory_.dropping = site_.record->id;
  path_ = product::StepsForTarget(to);
  // The way was accepted when the operation was opened; an edit of spec.acknowledge must not take
  // steps out of its middle.
  product::PathOptions options = steps::PathOptionsOf(spec_);
  options.accept_unlisted = true;
  if (auto path = product::CheckPath(from, to, options); path.ok()) path_ = *std::move(path);
  record::ApplyOverrides(spec_, path_);
  // A server that stands still must not keep a revert from being read.
  const base::Context look_ctx = ctx.WithTimeout(kLookForMost);
  const observe::Look look{spec_, site_, path_, from, to};
  facts_ = observe::Observe(look_ctx, reached_.Views(), look,
                            owner_.tasks_.LookAll(site_.record->id + "/"), memory_.proofs);
  steps::TryOut(look_ctx, look, reached_.WorldOf(site_), memory_.trials, *facts_);
  facts_->accept = Annotation(crd::kAccept);
  OMS_TRY(ctx.Check());
  state_ = steps::JudgeSteps({spec_, path_, *site_.record, *facts_});
  if (Edited()) return TakeEdit(ctx);
  OMS_TRY(CountFailures(ctx));
  decide::UserRequests requests = UserRequestsNow(ctx);
  requests.plan_hash = PlanAnew(from, to);
  decision_ = decide::Decide(spec_, *site_.record, *state_, *facts_, requests,
                             memory_.failures.count, owner_.random_.Fraction());
  switch (decision_.kind) {
    case Kind::kRun:
    case Kind::kRestoreHa:
    case Kind::kTurn:
    case Kind::kCallOff:
    case Kind::kClose: return Act(ctx);
    default: break;
  }
  steps::OperationSession op = Session();
  OMS_TRY(RecordEvidence(ctx, op));
  return Next::kRest;
}

// Written down before they are held, so that they are let go whatever becomes of us.
base::Status UpgradeReconciler::Pass::HoldReferencedSecrets(const base::Context& ctx) {
  const auto names = act::SecretsOf(spec_);
  if (memory_.secrets.Has(names) || deleting()) return base::Ok();
  const auto& known = site_.record->secrets;
  std::vector<std::string> fresh;
  std::copy_if(names.begin(), names.end(), std::back_inserter(fresh), [&](const auto& name) {
    return std::find(known.begin(), known.end(), name) == known.end();
  });
  if (!fresh.empty()) {
    facts_.emplace();  // Nothing was looked at yet, and nothing has to be.
    steps::OperationSession op = Session();
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      record.secrets.insert(record.secrets.end(), fresh.begin(), fresh.end());
    }));
    facts_.reset();
  }
  memory_.secrets.Hold(ctx, *owner_.ports_.api, key_.ns, names, resource_->meta.uid);
  return base::Ok();
}

steps::OperationSession UpgradeReconciler::Pass::Session() {
  auto world = std::make_shared<steps::World>(reached_.WorldOf(site_));
  world->fence = Row().FenceFor(site_.oms, *memory_.epoch);
  return steps::OperationSession(
      spec_, path_, *facts_, site_.record, site_.last_n, std::move(world), owner_.tasks_,
      [wake = owner_.wake_, key = key_] { wake(key); },
      [this](bool warning, const std::string& reason, const std::string& message) {
        Event(warning, reason, message);
      });
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Act(const base::Context& ctx) {
  steps::OperationSession op = Session();
  OMS_TRY(RecordEvidence(ctx, op));
  const base::Context act =
      ctx.WithLogger(ctx.log().With("step", std::string(model::NameOf(decision_.step))))
          .WithNewDeadline(kActFor);
  switch (decision_.kind) {
    case Kind::kClose: return End(act, op);
    case Kind::kTurn: return Turn(act, op);
    case Kind::kCallOff: return CallOff(act, op);
    case Kind::kRestoreHa: OMS_TRY(steps::RestoreHaSwitch(act, op)); return Next::kRest;
    default: break;
  }
  const model::Step step = decision_.step;
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
    return Next::kAgain;
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
base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::StepFailed(
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
base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Turn(
    const base::Context& ctx, steps::OperationSession& op) {
  owner_.tasks_.Stop(site_.record->id + "/");
  OMS_TRY(steps::TurnBack(ctx, op, decision_.reason, Mark()));
  memory_.failures = {};
  Event(true, crd::reason::kRollbackStarted, decision_.message);
  ctx.log().Info("{}", decision_.message);
  return LookAnew();
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::CallOff(
    const base::Context& ctx, steps::OperationSession& op) {
  owner_.tasks_.Stop(site_.record->id + "/");
  OMS_ASSIGN(const bool back, steps::CallOffUndo(ctx, op, decision_.reason, Mark()));
  if (!back) return LookAnew();
  OMS_TRY(Row().SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                             site_.record->volume));
  Event(false, crd::reason::kRollbackCalledOff, decision_.message);
  ctx.log().Info("{}", decision_.message);
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

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::End(
    const base::Context& ctx, steps::OperationSession& op) {
  const bool back = site_.record->direction == model::Direction::kRollback;
  if (back) RemoveLeftConfig(ctx, op);
  OMS_TRY(steps::CloseOperation(ctx, op, Mark()));
  OMS_TRY(Row().SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                             site_.record->volume));
  Event(false, back ? crd::reason::kRolledBack : crd::reason::kUpgradeSucceeded, decision_.message);
  for (const auto& left : show::FollowUpsOf(*site_.record))
    Event(left.warning, crd::reason::kFollowUp, left.text);
  ctx.log().Info("{}", decision_.message);
  // What runs now may be another version than the one that the spec asks for (a rollback by policy,
  // a third version): Ready is for the look at it, not for the end of this operation.
  return LookAnew();
}

// Before the stop, where a person approves: the plan as it would be made now. Shown if it is not
// the one that was begun.
std::string UpgradeReconciler::Pass::PlanAnew(const crd::Version& from, const crd::Version& to) {
  const model::OperationRecord& record = *site_.record;
  if (spec_.approval != crd::Approval::kManual || record.direction != model::Direction::kUpgrade ||
      record.Passed(model::PointKind::kHaDisabling) || record.Passed(model::PointKind::kStopping)) {
    return {};
  }
  show::UpgradePlanInput input{spec_, from, to, path_, *facts_};
  input.open = &record;
  auto plan = show::PlanUpgrade(input);
  if (!plan.ok()) return {};
  std::string hash = plan->hash;
  if (hash != record.plan_hash) plan_ = *std::move(plan);
  return hash;
}

// By its id. Where nothing answers it is the one that the status shows.
bool UpgradeReconciler::Pass::WantsAbandon() const {
  const std::string id = Annotation(crd::kAbandon);
  if (id.empty()) return false;
  if (operation_open() && site_.record->id == id) return true;
  return site_.trouble && known_.status.operation && known_.status.operation->id == id;
}

// A person gives up what cannot be brought to an end: everything stays as it is, and is told.
base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Abandon(
    const base::Context& ctx) {
  if (site_.trouble || !operation_open()) {
    OMS_ASSIGN(const base::Status ours, AbandonUnreached(ctx));
    if (ours.ok()) owner_.tasks_.Stop(Annotation(crd::kAbandon) + "/");
    if (deleting()) return LeaveAsItIs(ctx, false);
    if (!ours.ok()) return Stall(ours.error().reason, ours.error().message);
    return Stall(crd::reason::kAbandoned,
                 fmt::format("the operation was abandoned; {}",
                             site_.trouble ? site_.trouble->message : decision_.message));
  }
  owner_.tasks_.Stop(Annotation(crd::kAbandon) + "/");
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return LookAnew();
  facts_.emplace();
  steps::OperationSession op = Session();
  OMS_TRY(steps::AbandonOperation(ctx, op, Mark()));
  facts_.reset();
  TellAbandoned(*site_.record);
  OMS_TRY(Row().SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                             site_.record->volume));
  return LookAnew();
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

// What is seen to have failed for the first time is told, and the try's end written down.
base::Status UpgradeReconciler::Pass::CountFailures(const base::Context& ctx) {
  decide::RecallFailure(*site_.record, facts_->steady_now, memory_.failures, *state_);
  const auto found = decide::CountFailure(*site_.record, *state_, *facts_, memory_.failures);
  if (!found) return base::Ok();
  Event(true, found->failure.reason, found->failure.message);
  if (!found->kept) return base::Ok();
  steps::OperationSession op = Session();
  return op.Save(ctx, [&](model::OperationRecord& record) { record.failure = found->failure; });
}

bool UpgradeReconciler::Pass::Edited() const { return site_.record->handled != Mark(); }

// Written down with what it forgives, so that it is taken once, and taken also if we die here.
base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::TakeEdit(
    const base::Context& ctx) {
  const model::OperationRecord& record = *site_.record;
  const model::ResourceMark mark = Mark();
  const bool token = record.handled.reset_token != mark.reset_token;
  steps::OperationSession op = Session();
  if (token) {
    if (auto turn = decide::TurnOnToken(record, *state_)) {
      decision_ = *std::move(turn);
      return Turn(ctx, op);
    }
  }
  memory_.failures = {};
  // The step at hand alone: a task of another step may have ended well and still be needed.
  if (const auto step = decide::StepAtHand(record, *state_);
      step && steps::At(*state_, *step).verdict == steps::Verdict::kFailed) {
    owner_.tasks_.ForgetEnded(record.id + "/" + std::string(model::NameOf(*step)));
  }
  const base::WallTime now = ctx.clock().Wall();
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& next) {
    decide::Forgive(*state_, *facts_, mark, token, now, next);
  }));
  return LookAnew();
}

// The image may be corrected until the new container is made from it; what was begun with the wrong
// one is ended. A spec that asks for another version (a reverted commit under onVersionRevert:
// Ignore) says nothing of the image that is being carried.
base::Result<bool> UpgradeReconciler::Pass::TakeImage(const base::Context& ctx) {
  const model::OperationRecord& record = *site_.record;
  const bool made = std::any_of(record.nodes.begin(), record.nodes.end(),
                                [](const auto& node) { return !node.target_image_id.empty(); });
  const bool follows = record.direction == model::Direction::kUpgrade && !made && wanted_.ok() &&
                       *wanted_ == record.to;
  if (!follows || spec_.image == record.image) {
    spec_.image = record.image;
    return false;
  }
  owner_.tasks_.Stop(record.id + "/" + std::string(model::NameOf(model::Step::kLoadImage)));
  facts_.emplace();  // Nothing was looked at yet, and nothing has to be.
  steps::OperationSession op = Session();
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& next) {
    next.image = spec_.image;
    for (const auto& node : next.nodes) {
      if (!node.keeps_running) next.loaded_images.erase(node.name);
    }
  }));
  facts_.reset();
  memory_.failures = {};
  return true;
}

}  // namespace oms::pass

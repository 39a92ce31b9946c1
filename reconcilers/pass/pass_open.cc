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

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::WithOperation(
    const base::Context& outer) {
  const base::Context ctx = outer.WithLogger(outer.log().With("operation", site_.record->id));
  OMS_ASSIGN(auto before, MakeReady(ctx));
  if (before) return *std::move(before);
  Observe(ctx);
  OMS_TRY(ctx.Check());
  state_ = steps::JudgeSteps({spec_, path_, *site_.record, *facts_});
  if (Edited()) return TakeEdit(ctx);
  OMS_TRY(CountFailures(ctx));
  return Act(ctx, Decide(ctx));
}

base::Result<std::optional<UpgradeReconciler::Pass::Came>> UpgradeReconciler::Pass::MakeReady(
    const base::Context& ctx) {
  using Before = std::optional<Came>;
  // Before anything is written: a row must not be made on a server that is none of ours.
  if (auto elsewhere = decide::CheckSamePlace(*site_.record, site_))
    return Before(Rest(*std::move(elsewhere)));
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return Before(LookAnew());
  OMS_ASSIGN(const bool taken, TakeRecordsOver(ctx));
  if (taken) return Before(LookAnew());
  // A `kubectl replace` takes it away, and a deletion would then forget the operation half-way.
  // OMS may be down: what cannot be written now is written in the next pass.
  if (!deleting()) {
    const auto held = owner_.status_.AddFinalizer(ctx, key_, known_);
    if (!held.ok())
      ctx.log().Warn("the finalizer could not be added again: {}", held.error().message);
  }
  OMS_TRY(HoldReferencedSecrets(ctx));
  OMS_ASSIGN(const bool corrected, TakeImage(ctx));
  if (corrected) return Before(LookAnew());
  memory_.idle_row.reset();
  if (site_.record->Passed(model::PointKind::kFirstDrop)) memory_.dropping = site_.record->id;
  return Before();
}

void UpgradeReconciler::Pass::Observe(const base::Context& ctx) {
  const crd::Version from = site_.record->from, to = site_.record->to;
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
}

decide::Decision UpgradeReconciler::Pass::Decide(const base::Context& ctx) {
  decide::UserRequests requests = UserRequestsNow(ctx);
  requests.plan_hash = PlanAnew(site_.record->from, site_.record->to);
  return decide::Decide(spec_, *site_.record, *state_, *facts_, requests, memory_.failures.count,
                        owner_.random_.Fraction());
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
    steps::OperationSession op = Session(kNothingSeen);
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      record.secrets.insert(record.secrets.end(), fresh.begin(), fresh.end());
    }));
  }
  memory_.secrets.Hold(ctx, *owner_.ports_.api, key_.ns, names, resource_->meta.uid);
  return base::Ok();
}

steps::OperationSession UpgradeReconciler::Pass::Session(const model::Facts& facts) {
  auto world = std::make_shared<steps::World>(reached_.WorldOf(site_));
  world->fence = Row().FenceFor(site_.oms, *memory_.epoch);
  return steps::OperationSession(
      spec_, path_, facts, site_.record, site_.last_n, std::move(world), owner_.tasks_,
      [wake = owner_.wake_, key = key_] { wake(key); },
      [this](bool warning, const std::string& reason, const std::string& message) {
        Event(warning, reason, message);
      });
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
base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::TakeEdit(
    const base::Context& ctx) {
  const model::OperationRecord& record = *site_.record;
  const model::ResourceMark mark = Mark();
  const bool token = record.handled.reset_token != mark.reset_token;
  steps::OperationSession op = Session();
  if (token) {
    if (auto turn = decide::TurnOnToken(record, *state_)) {
      return Turn(ctx, op, *turn);
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

// The image may be corrected until the new container is made from it. A spec that asks for another
// version (a reverted commit under onVersionRevert: Ignore) says nothing of the image that is being
// carried.
crd::Spec UpgradeReconciler::Pass::SpecNow() const {
  crd::Spec spec = resource_->spec;
  if (!operation_open()) return spec;
  const model::OperationRecord& record = *site_.record;
  const bool made = std::any_of(record.nodes.begin(), record.nodes.end(),
                                [](const auto& node) { return !node.target_image_id.empty(); });
  const bool follows = record.direction == model::Direction::kUpgrade && !made && wanted_.ok() &&
                       *wanted_ == record.to;
  if (!follows) spec.image = record.image;
  return spec;
}

// What was begun with the wrong one is ended.
base::Result<bool> UpgradeReconciler::Pass::TakeImage(const base::Context& ctx) {
  const model::OperationRecord& record = *site_.record;
  if (spec_.image == record.image) return false;
  owner_.tasks_.Stop(record.id + "/" + std::string(model::NameOf(model::Step::kLoadImage)));
  steps::OperationSession op = Session(kNothingSeen);
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& next) {
    next.image = spec_.image;
    for (const auto& node : next.nodes) {
      if (!node.keeps_running) next.loaded_images.erase(node.name);
    }
  }));
  memory_.failures = {};
  return true;
}

}  // namespace oms::pass

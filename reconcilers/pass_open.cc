// An operation is open: the next step in its direction, what is written down of it, and its ends.
#include <fmt/format.h>

#include <algorithm>

#include "reconcilers/ha_config.h"
#include "reconcilers/open_operation.h"
#include "reconcilers/pass.h"
#include "reconcilers/phases/phases.h"
#include "reconcilers/rollback_state.h"

namespace oms::upgrade {

using Kind = Decision::Kind;

// How things are reached may change in the middle of an operation; what is reached may not.
std::optional<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::CheckSamePlace() {
  const OperationRecord& record = *site_.record;
  for (const auto& node : site_.nodes) {
    const FrozenNode* frozen = record.Node(node.name);
    if (frozen == nullptr || frozen->engine_id == node.info.id) continue;
    return Stall("WrongEngine",
                 fmt::format("node {}: the engine that is reached (id {}) is not the one that the "
                             "open operation began on (id {}); correct spec.nodes[].engine",
                             node.name, node.info.id, frozen->engine_id));
  }
  for (const auto& database : record.databases) {
    if (!site_.server || database.server == site_.server->identity) continue;
    return Stall("WrongMetaDB",
                 fmt::format("the MetaDB that is reached ({}) is not the one that the open "
                             "operation began on ({}); correct spec.metaDB.connect",
                             site_.server->identity, database.server));
  }
  return std::nullopt;
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::WithOperation(
    const base::Context& ctx) {
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return LookAnew();
  if (const auto elsewhere = CheckSamePlace()) return *elsewhere;
  OMS_ASSIGN(const bool corrected, TakeImage(ctx));
  if (corrected) return LookAnew();
  const auto from = crd::Version::Parse(site_.record->from),
             to = crd::Version::Parse(site_.record->to);
  if (!from.ok() || !to.ok())
    return Stall("RecordFormat", "the record names versions that cannot be read");
  path_ = StepsForTarget(*to);
  // The way was accepted when the operation was opened; an edit of spec.acknowledge must not take
  // steps out of its middle.
  PathOptions options = PathOptionsOf(spec_);
  options.accept_unlisted = true;
  if (auto path = CheckPath(*from, *to, options); path.ok()) path_ = *std::move(path);
  ApplyOverrides(spec_, path_);
  facts_ =
      Observe(ctx, owner_.ports_, {spec_, site_, path_, *from, *to}, owner_.tasks_, memory_.memo);
  facts_->accept = Annotation(crd::kAccept);
  OMS_TRY(ctx.Check());
  state_ = DetermineState(spec_, path_, *site_.record, *facts_);
  if (Edited()) {
    OMS_TRY(ForgetFailure(ctx));
    OMS_TRY(CountDeadlineAnew(ctx));
    return LookAnew();
  }
  CountFailure(ctx);
  decision_ = Decide(spec_, *site_.record, *state_, *facts_, WishesNow(ctx), memory_.failures,
                     owner_.random_.Fraction());
  // What could not be looked at past preflight: say so, and look again.
  if (decision_.kind == Kind::kWait && !facts_->troubles.empty() &&
      decision_.step != Step::kPreflight) {
    decision_.reason = facts_->troubles.front().reason;
    decision_.message = facts_->troubles.front().message;
  }
  switch (decision_.kind) {
    case Kind::kRun:
    case Kind::kRestoreHa:
    case Kind::kTurn:
    case Kind::kClose: return Act(ctx);
    default: break;
  }
  OperationSession op = Session();
  OMS_TRY(RecordEvidence(ctx, op));
  return Next::kRest;
}

OperationSession UpgradeReconciler::Pass::Session() {
  auto world = std::make_shared<World>();
  for (const auto& node : site_.nodes) world->engines[node.name] = node.engine;
  world->meta = site_.meta;
  world->fence = site_.ownership->FenceFor(site_.oms, *memory_.epoch);
  world->store = owner_.ports_.store;
  world->backup_tool = owner_.ports_.backup_tool;
  return OperationSession(
      spec_, path_, *facts_, *site_.record, site_.last_n, std::move(world), owner_.tasks_,
      [wake = owner_.wake_, key = key_] { wake(key); },
      [this](bool warning, const std::string& reason, const std::string& message) {
        Event(warning, reason, message);
      });
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Act(const base::Context& ctx) {
  OperationSession op = Session();
  OMS_TRY(RecordEvidence(ctx, op));
  const base::Context act = ctx.WithLogger(ctx.log()
                                               .With("operation", site_.record->id.substr(0, 12))
                                               .With("step", std::string(NameOf(decision_.step))));
  switch (decision_.kind) {
    case Kind::kClose: return End(act, op);
    case Kind::kTurn:
      // What runs for the upgrade is ended; what it leaves behind is looked at by the way back.
      owner_.tasks_.Stop(site_.record->id + "/");
      OMS_TRY(TurnBack(act, op, decision_.reason));
      memory_.failures = {};
      Event(true, "RollbackStarted", decision_.message);
      act.log().Info("{}", decision_.message);
      return LookAnew();
    case Kind::kRestoreHa: OMS_TRY(RestoreHaSwitch(act, op)); return Next::kRest;
    default: break;
  }
  act.log().Info("acting");
  const auto limit = LimitOf(spec_.strategy.timeouts, decision_.step);
  const base::Status done =
      RunStep(limit ? act.WithTimeout(limit->limit) : act, decision_.step, op);
  if (limit && done.Is(base::Code::kTimeout) && act.Check().ok()) {
    return done.error().Wrap(fmt::format("{} took longer than {} (spec.strategy.timeouts.{})",
                                         NameOf(decision_.step), base::FormatDuration(limit->limit),
                                         limit->field));
  }
  OMS_TRY(done);
  return Next::kAgain;
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::End(const base::Context& ctx,
                                                                         OperationSession& op) {
  const bool back = site_.record->direction == Direction::kRollback;
  OMS_TRY(op.Save(ctx, [&](OperationRecord& record) {
    record.resource_uid = resource_->meta.uid;
    record.generation = resource_->meta.generation;
    record.reset_token = Annotation(crd::kResetAt);
  }));
  OMS_TRY(CloseOperation(ctx, op));
  OMS_TRY(site_.ownership->SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                                        site_.record->volume));
  Event(false, back ? "RolledBack" : "UpgradeSucceeded", decision_.message);
  for (const auto& left : FollowUpsOf(*site_.record)) Event(left.warning, "FollowUp", left.text);
  ctx.log().Info("{}", decision_.message);
  return Next::kAgain;
}

// A person gives up what cannot be brought to an end: everything stays as it is, and is told.
base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Abandon(
    const base::Context& ctx) {
  const std::string folder = site_.record ? site_.record->folder : known_.status.operation->folder;
  Event(true, "Abandoned",
        fmt::format("the open operation was given up by annotation; containers and databases stay "
                    "as they are; its record, its backups and RESTORE.md are in {}",
                    folder));
  if (operation_open()) {
    owner_.tasks_.Stop(site_.record->id + "/");
    if (!site_.trouble) {
      OMS_ASSIGN(const bool claimed, Claim(ctx));
      if (claimed) return LookAnew();
      facts_.emplace();
      OperationSession op = Session();
      OMS_TRY(AbandonOperation(ctx, op));
      facts_.reset();
      OMS_TRY(site_.ownership->SetOperation(ctx, site_.oms, *memory_.epoch, "",
                                            site_.record->folder, site_.record->volume));
      return LookAnew();
    }
  }
  // Nothing answers, and the resource is being deleted: it must not stay for ever.
  OMS_TRY(owner_.status_.RemoveFinalizer(ctx, *resource_, known_));
  return Rest({Kind::kIdle, Step::kPreflight, crd::reason::kUpToDate, "deleted"});
}

// What is seen to be done for the first time is written down with its time; and T1 with the stop.
base::Status UpgradeReconciler::Pass::RecordEvidence(const base::Context& ctx,
                                                     OperationSession& op) {
  const OperationRecord& record = *site_.record;
  std::vector<std::string> fresh;
  for (const auto& info : StepsOf(record.direction)) {
    if (!At(*state_, info.step).complete()) break;
    const std::string name(info.name);
    if (!record.Seen(name)) fresh.push_back(name);
  }
  // A stop that was turned back in the middle is part of the downtime as well.
  const bool stands = std::any_of(facts_->nodes.begin(), facts_->nodes.end(), [](const auto& node) {
    return node.old_container && !node.old_container->running;
  });
  const bool down =
      !record.t1 && record.undoes.empty() && record.Passed(PointKind::kStopping) && stands;
  if (fresh.empty() && !down) return base::Ok();
  const base::WallTime now = ctx.clock().Wall();
  const auto t1 = DowntimeStart(record, *facts_);
  OMS_TRY(op.Save(ctx, [&](OperationRecord& next) {
    next.epoch = *memory_.epoch;
    for (const auto& name : fresh) next.evidence.emplace(name, now);
    if (down || (next.Seen(std::string(NameOf(Step::kStopContainers))) && !next.t1 &&
                 next.undoes.empty())) {
      next.t1 = t1;
    }
  }));
  for (const auto& name : fresh) ctx.log().With("step", name).Info("done");
  return base::Ok();
}

void UpgradeReconciler::Pass::CountFailure(const base::Context& ctx) {
  for (const auto& info : StepsOf(site_.record->direction)) {
    const StepState& at = At(*state_, info.step);
    if (at.complete()) continue;
    if (at.verdict != Verdict::kFailed || info.step == Step::kPreflight) {
      if (at.verdict == Verdict::kPending && memory_.failures.failures > 0 &&
          !memory_.failed_what.starts_with(info.name))
        memory_.failures = {};
      return;
    }
    std::string what(info.name);
    for (const auto& [name, task] : facts_->tasks) {
      if (name.starts_with(info.name) && task.state == TaskView::State::kFailed) {
        what += fmt::format("@{}", task.ended.time_since_epoch().count());
      }
    }
    if (what == memory_.failed_what) return;
    if (!memory_.failed_what.starts_with(info.name)) memory_.failures = {};
    memory_.failed_what = what;
    ++memory_.failures.failures;
    memory_.failures.last = ctx.clock().Now();
    Event(true, at.reason, at.message);
    return;
  }
}

bool UpgradeReconciler::Pass::Edited() {
  const std::string token = Annotation(crd::kResetAt);
  const bool first = !memory_.generation;
  reset_ = memory_.reset_token != token;
  const bool edited = memory_.generation != resource_->meta.generation || reset_;
  memory_.generation = resource_->meta.generation;
  memory_.reset_token = token;
  return edited && !first;
}

// Somebody has started the old container between its stop and the start of the new one. On a
// person's token it is this run of it that is stopped; a backup of the run before is none any more.
base::Status UpgradeReconciler::Pass::TakeNewStart(const base::Context& ctx) {
  if (site_.record->Passed(PointKind::kNewStarting) ||
      At(*state_, Step::kStopContainers).reason != crd::reason::kOldContainerStarted) {
    return base::Ok();
  }
  OperationSession op = Session();
  return op.Save(ctx, [&](OperationRecord& record) {
    for (auto& node : record.nodes) {
      const NodeFacts* facts = facts_->Node(node.name);
      if (facts != nullptr && facts->old_container) {
        node.old_started_at = facts->old_container->started_at;
      }
    }
  });
}

// The image may be corrected until the new container is made from it; what was begun with the wrong
// one is ended. A spec that asks for another version (a reverted commit under onVersionRevert:
// Ignore) says nothing of the image that is being carried.
base::Result<bool> UpgradeReconciler::Pass::TakeImage(const base::Context& ctx) {
  const OperationRecord& record = *site_.record;
  const auto wanted = crd::Version::Parse(spec_.version);
  const bool made = std::any_of(record.nodes.begin(), record.nodes.end(),
                                [](const auto& node) { return !node.target_image_id.empty(); });
  const bool follows = record.direction == Direction::kUpgrade && !made && wanted.ok() &&
                       wanted->ToString() == record.to;
  if (!follows || spec_.image == record.image) {
    spec_.image = record.image;
    return false;
  }
  owner_.tasks_.Stop(record.id + "/" + std::string(NameOf(Step::kLoadImage)));
  facts_.emplace();  // Nothing was looked at yet, and nothing has to be.
  OperationSession op = Session();
  OMS_TRY(op.Save(ctx, [&](OperationRecord& next) { next.image = spec_.image; }));
  facts_.reset();
  memory_.failures = {};
  return true;
}

base::Status UpgradeReconciler::Pass::CountDeadlineAnew(const base::Context& ctx) {
  if (site_.record->direction == Direction::kRollback ||
      !site_.record->Passed(PointKind::kStopping)) {
    return base::Ok();
  }
  OperationSession op = Session();
  const base::WallTime now = ctx.clock().Wall();
  return op.Save(ctx, [&](OperationRecord& record) { record.progress_since = now; });
}

// The step at hand alone: a task of another step may have ended well and still be needed.
base::Status UpgradeReconciler::Pass::ForgetFailure(const base::Context& ctx) {
  memory_.failures = {};
  memory_.failed_what.clear();
  for (const auto& info : StepsOf(site_.record->direction)) {
    const StepState& at = At(*state_, info.step);
    if (at.complete()) continue;
    if (at.verdict != Verdict::kFailed) return base::Ok();
    owner_.tasks_.ForgetEnded(site_.record->id + "/" + std::string(info.name));
    if (site_.record->direction == Direction::kUpgrade) {
      return reset_ ? TakeNewStart(ctx) : base::Ok();
    }
    // What the record counts of this step is counted from zero as well.
    OperationSession op = Session();
    return op.Save(ctx, [&](OperationRecord& record) {
      std::erase_if(record.attempts,
                    [](const auto& entry) { return entry.first.ends_with(kDiffered); });
      if (info.step == Step::kRestoreDatabases) record.restore_differs.clear();
      const auto saves = record.attempts.find(std::string(NameOf(Step::kSaveUpgradedState)));
      if (saves != record.attempts.end()) record.attempts[kSavesForgiven] = saves->second;
    });
  }
  return base::Ok();
}

}  // namespace oms::upgrade

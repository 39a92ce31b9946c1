#include "reconcilers/pass/pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "crd/reasons.h"
#include "reconcilers/decide/place.h"
#include "reconcilers/decide/unreached.h"
#include "reconcilers/model/maintenance_window.h"
#include "reconcilers/observe/reach_site.h"
#include "reconcilers/show/status_view.h"

namespace oms::pass {
namespace {

// A pass may take several quick steps in a row; this bounds a planner that would not come to rest.
constexpr int kMaxStepsInPass = 40;

runtime::ObjectRef RefTo(const crd::OmsUpgrade& resource) {
  return {crd::kApiVersion, crd::kKind, resource.meta.ns, resource.meta.name, resource.meta.uid};
}

// "namespace/name" of a row, which somebody else may have written: what is no such name of
// Kubernetes is asked for nowhere.
std::optional<kube::ObjectKey> KeyOf(const std::string& object) {
  const size_t slash = object.find('/');
  if (slash == std::string::npos) return std::nullopt;
  kube::ObjectKey key{object.substr(0, slash), object.substr(slash + 1)};
  for (const auto& part : {key.ns, key.name}) {
    const bool name =
        !part.empty() && part.size() <= 253 && part.front() != '.' &&
        std::all_of(part.begin(), part.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
        });
    if (!name) return std::nullopt;
  }
  return key;
}

}  // namespace

using Kind = decide::Decision::Kind;

UpgradeReconciler::Pass::Pass(UpgradeReconciler& owner, ResourceCache& memory,
                              std::shared_ptr<const crd::OmsUpgrade> resource)
    : owner_(owner),
      memory_(memory),
      resource_(std::move(resource)),
      spec_(resource_->spec),
      wanted_(observe::WantedVersion(spec_)),
      key_(resource_->meta.Key()),
      me_{owner.options_.cluster, key_.ToString()},
      reached_(owner.ports_) {}

model::ResourceMark UpgradeReconciler::Pass::Mark() const { return MarkAfter(site_.record.get()); }

model::ResourceMark UpgradeReconciler::Pass::MarkAfter(const model::OperationRecord* last) const {
  model::ResourceMark mark{resource_->meta.uid, resource_->meta.generation,
                           Annotation(crd::kResetAt)};
  // Whoever takes the annotation away (a tool that prunes what it did not write) asks for nothing.
  if (mark.reset_token.empty() && last != nullptr) mark.reset_token = last->Taken().reset_token;
  return mark;
}

std::string UpgradeReconciler::Pass::Annotation(const char* name) const {
  const auto found = resource_->meta.annotations.find(name);
  return found == resource_->meta.annotations.end() ? std::string() : found->second;
}

decide::UserRequests UpgradeReconciler::Pass::UserRequestsNow(const base::Context& ctx) const {
  decide::UserRequests requests;
  requests.version = wanted_;
  requests.deleting = deleting();
  requests.approve = Annotation(crd::kApprove);
  requests.resource = Mark();
  const std::string requested = Annotation(crd::kRequestedAt);
  requests.look_now =
      !acted_ && !requested.empty() && requested != known_.status.last_handled.requested_at;
  if (spec_.maintenance_window) {
    const auto window = model::LookAtWindow(*spec_.maintenance_window, ctx.clock().Wall());
    requests.window_open = window.ok() && window->open;
    if (!requests.window_open) {
      requests.window_message = window.ok()
                                    ? "outside of spec.maintenanceWindow; it " + window->text
                                    : window.error().message;
    }
  }
  return requests;
}

base::Result<runtime::Outcome> UpgradeReconciler::Pass::Run(const base::Context& ctx) {
  known_ = show::StatusWriter::Newest(*resource_, memory_.known);
  base::Result<Next> next = Next::kAgain;
  bool looked_anew = false;
  // What cannot be shown is not done: nobody could see why.
  if (memory_.crd_dropped && !deleting()) next = TryTheCrdAgain(ctx);
  for (int i = 0; i < kMaxStepsInPass && next.ok() && *next == Next::kAgain; ++i) {
    // The worker goes on to another key, and this one to a pass of its own.
    if (const auto may = ctx.Check(); may.Is(base::Code::kTimeout)) {
      break;
    } else if (!may.ok()) {
      return may.error();
    }
    decided_ = true;
    next = Round(ctx);
    // A record that is there and is not the one in memory: a try whose answer was lost, or another
    // process, which the row will show.
    if (next.Is(base::Code::kConflict) && next.error().reason == ports::kRecordTaken &&
        !looked_anew) {
      ctx.log().Warn("{}", next.error().message);
      looked_anew = true;
      next = LookAnew();
    }
    if (next.ok() && decided_) {
      // Each transition is shown at once; a pass may have more to do.
      if (const auto written = WriteStatus(ctx); !written.ok()) return written.error();
      if (memory_.crd_dropped) next = Next::kRest;
    }
  }
  memory_.known = known_;
  if (!next.ok()) return Failed(ctx, next.error());
  if (*next == Next::kAgain) return runtime::Outcome::After(base::Duration(0));
  // What was not shown for being shown a moment ago is, soon.
  const base::Duration most = deferred_ ? std::chrono::seconds(2) : owner_.options_.idle_look;
  return runtime::Outcome::After(std::min(decision_.wait.value_or(most), most));
}

base::Result<runtime::Outcome> UpgradeReconciler::Pass::Failed(const base::Context& ctx,
                                                               const base::Error& error) {
  ctx.log().Warn("{}: {}", base::ToString(error.code), error.message);
  if (error.code == base::Code::kFenced || error.code == base::Code::kCancelled) return error;
  decision_ = decide::DecideAfterError(error, decision_.step);
  OMS_TRY(WriteStatus(ctx));
  memory_.known = known_;
  if (decision_.kind == Kind::kWait) return error;
  return runtime::Outcome::After(decide::kLookAgainAtTrouble);
}

// The same once more: what was dropped then is kept now, or not.
base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::TryTheCrdAgain(
    const base::Context& ctx) {
  const auto written = owner_.status_.Write(ctx, key_, *memory_.crd_dropped, known_, deferred_);
  if (!written.ok() && written.error().reason == crd::reason::kCrdTooOld) {
    return Stall(written.error().reason, written.error().message);
  }
  if (!written.ok()) return written.error();
  memory_.crd_dropped.reset();
  return Next::kAgain;
}

// Outside of what the flags allow nothing is reached; but a resource must not stay for ever because
// a flag was narrowed.
std::optional<base::Result<UpgradeReconciler::Pass::Next>> UpgradeReconciler::Pass::CheckAllowed(
    const base::Context& ctx) {
  const auto allowed = model::CheckLimits(spec_, owner_.options_.limits);
  if (allowed.ok()) return std::nullopt;
  const bool open = ShownOpen();
  if (deleting() && (!open || (orphans() && !MayRestore()))) return LeaveAsItIs(ctx, open);
  if (open && Annotation(crd::kAbandon) == known_.status.operation->id) return Abandon(ctx);
  return Stall(allowed.error().reason,
               deleting() ? allowed.error().message + "; or " + decide::HowToUnblock(OperationId())
                          : allowed.error().message,
               std::nullopt);
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Round(
    const base::Context& outer) {
  spec_ = resource_->spec;
  site_ = {};
  reached_.Forget();
  facts_.reset();
  state_.reset();
  preflight_.reset();
  plan_.reset();
  if (auto refused = CheckAllowed(outer)) return *std::move(refused);
  site_ = observe::ReachSite(outer, reached_.Views(), *resource_,
                             known_.status.operation.value_or(crd::OperationStatus()), Trust());
  const base::Context ctx = outer.WithNewDeadline(kRoundFor);
  OMS_TRY(ctx.Check());
  if (deleting() && others_row()) return Deleted(ctx);
  if (IsLeftBehind(ctx)) return LookAnew();
  if (const auto refused = CheckOwner(ctx)) return *refused;
  if (memory_.epoch && site_.row &&
      (site_.row->epoch != *memory_.epoch || site_.row->process != owner_.options_.process)) {
    // We owned it, and somebody took it: they go on, we never claim it back.
    return base::MakeError(
        base::Code::kFenced,
        fmt::format("the row of OMS '{}' was taken by another process", site_.oms));
  }
  if (WantsAbandon()) return Abandon(ctx);
  // An open operation is rolled back first, by the same loop as any rollback. A restore that has
  // begun to drop goes to its end in any case.
  if (deleting() && (!operation_open() || orphans()) && !MayRestore()) return Deleted(ctx);
  if (site_.trouble) return InTrouble();
  return operation_open() ? WithOperation(ctx) : WithoutOperation(ctx);
}

bool UpgradeReconciler::Pass::ShownOpen() const {
  return known_.status.operation && known_.status.direction != crd::Direction::kNone;
}

bool UpgradeReconciler::Pass::MayRestore() const {
  if (site_.record) return operation_open() && site_.record->Passed(model::PointKind::kFirstDrop);
  if (!ShownOpen()) return false;
  // This process knows more than the status, which may be a step behind.
  const auto& operation = *known_.status.operation;
  return memory_.dropping == operation.id ||
         (known_.status.direction == crd::Direction::kRollback &&
          operation.point_of_no_return == crd::PointOfNoReturn::kRollbackStopping);
}

UpgradeReconciler::Pass::Next UpgradeReconciler::Pass::InTrouble() {
  decide::UnreachedView view{*site_.trouble};
  view.open = operation_open() || ShownOpen();
  view.idle = wanted_.ok() && wanted_->ToString() == known_.status.current_version;
  view.deleting = deleting();
  view.operation = OperationId();
  if (!view.open && !view.idle) {
    preflight_ =
        steps::StepState{steps::Verdict::kFailed, site_.trouble->reason, site_.trouble->message};
  }
  return Rest(decide::DecideUnreached(view));
}

// The record's, or, where that is not reached, the one that is shown.
std::string UpgradeReconciler::Pass::OperationId() const {
  if (site_.record) return site_.record->id;
  return known_.status.operation ? known_.status.operation->id : std::string();
}

observe::RecordTrust UpgradeReconciler::Pass::Trust() const {
  std::string from = Annotation(crd::kTakeOver);
  if (from.empty()) from = memory_.gone_owner;
  return {owner_.options_.limits, me_, std::move(from), memory_.records};
}

// Whoever had this OMS is deleted, and had nothing open: it is as free as if they had said so.
// True: everything must be looked at anew, with that in mind.
bool UpgradeReconciler::Pass::IsLeftBehind(const base::Context& ctx) {
  const bool by_row = others_row() && site_.row->operation_id.empty();
  if (!by_row && !site_.others_record) return false;
  const ports::Owner& owner = by_row ? site_.row->owner : *site_.others_record;
  if (memory_.gone_owner == owner.object || !IsGone(ctx, owner)) return false;
  ctx.log().Info("OMS '{}' is free: its owner {} is deleted, and had nothing open", site_.oms,
                 owner.object);
  memory_.gone_owner = owner.object;
  return true;
}

// Deleted while no controller looked. Only of our own cluster can that be known; what the API
// server does not tell is taken to be there.
bool UpgradeReconciler::Pass::IsGone(const base::Context& ctx, const ports::Owner& owner) const {
  const auto key = KeyOf(owner.object);
  if (owner.cluster != me_.cluster || !key || owner_.lookup_(*key) != nullptr) return false;
  return owner_.status_.IsGone(ctx, *key);
}

std::optional<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::CheckOwner(
    const base::Context& ctx) {
  if (!others_row()) return std::nullopt;
  if (Annotation(crd::kTakeOver) == site_.row->owner.object) {
    ctx.log().Warn("taking OMS '{}' over from {} by annotation", site_.oms,
                   site_.row->owner.object);
    return std::nullopt;
  }
  if (site_.row->operation_id.empty() && memory_.gone_owner == site_.row->owner.object &&
      IsGone(ctx, site_.row->owner)) {
    return std::nullopt;
  }
  // What lies there is the other one's, to be shown by that one alone.
  site_.record.reset();
  site_.way_back.reset();
  return Rest(decide::OwnedByAnother(site_.oms, site_.row->owner, me_));
}

base::Result<bool> UpgradeReconciler::Pass::Claim(const base::Context& ctx) {
  if (memory_.epoch && site_.row) return false;
  OMS_TRY(ctx.Check());
  uint64_t first = 1;
  if (site_.record) first = std::max(first, site_.record->epoch + 1);
  if (memory_.epoch) first = std::max(first, *memory_.epoch + 1);
  OMS_ASSIGN(const ports::OwnershipRow row,
             Row().Claim(ctx, site_.oms, site_.row, me_, owner_.options_.process, first));
  if (!site_.row && operation_open()) {
    OMS_TRY(Row().SetOperation(ctx, site_.oms, row.epoch, site_.record->id, site_.record->folder,
                               site_.record->volume));
  }
  memory_.epoch = row.epoch;
  ctx.log().Info("claimed the row of OMS '{}' with epoch {}", site_.oms, row.epoch);
  return true;
}

// The operation, and those before it that may become its way back. The deepest first and the one
// that the row names last: until that one is ours, the annotation is asked for again.
base::Result<bool> UpgradeReconciler::Pass::TakeRecordsOver(const base::Context& ctx) {
  if (!site_.record || site_.record->owner() == me_) return false;
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return true;
  std::vector<observe::FoundRecord> others = {{*site_.record, site_.last_n}};
  std::set<std::string> seen = {site_.record->folder};
  for (size_t i = 0; i < others.size(); ++i) {
    for (const auto& ref : {others[i].record.previous, others[i].record.undoes}) {
      if (!ref || !seen.insert(ref->folder).second) continue;
      auto found = observe::ReadTrusted(*owner_.ports_.store, ref->folder, Trust());
      if (found.ok() && found->record.owner() != me_) others.push_back(*std::move(found));
    }
  }
  for (auto found = others.rbegin(); found != others.rend(); ++found) {
    model::OperationRecord& record = found->record;
    record.former_owners.push_back(record.owner());
    record.owner_cluster = me_.cluster;
    record.owner_object = me_.object;
    OMS_TRY(ctx.Check());
    OMS_TRY(owner_.ports_.store->Append(record.folder, found->last_n + 1, record.ToJson()));
    ctx.log().Info("the operation in {} was {}'s, and is this resource's now", record.folder,
                   record.former_owners.back().object);
  }
  return true;
}

void UpgradeReconciler::Pass::Event(bool warning, const std::string& reason,
                                    const std::string& message) const {
  std::map<std::string, std::string> annotations;
  if (site_.record) annotations = {{"oms.oceanbase.com/operation-id", site_.record->id}};
  owner_.events_.Event(RefTo(*resource_),
                       warning ? runtime::EventType::kWarning : runtime::EventType::kNormal, reason,
                       message, annotations);
}

void UpgradeReconciler::Pass::Tell() {
  if (!memory_.told.IsNews(decision_)) return;
  Event(decision_.kind == Kind::kStall || decision_.warning, decision_.reason, decision_.message);
}

show::DowntimeLevel UpgradeReconciler::Pass::TellDowntime(base::WallTime now) {
  const auto level = operation_open() ? show::DowntimeLevelOf(spec_, *site_.record, now)
                                      : show::DowntimeLevel::kWell;
  if (memory_.told.IsNews(level)) {
    Event(true,
          level == show::DowntimeLevel::kNear ? crd::reason::kDowntimeNearBudget
                                              : crd::reason::kDowntimeOverBudget,
          show::DowntimeText(spec_, level));
  }
  return level;
}

crd::Status UpgradeReconciler::Pass::ShownStatus(const base::Context& ctx) const {
  show::ViewInput in{*resource_, site_};
  in.record = site_.record.get();
  in.facts = facts_ ? &*facts_ : nullptr;
  in.state = state_ ? &*state_ : nullptr;
  in.preflight = preflight_ ? &*preflight_ : nullptr;
  in.plan = plan_ ? &*plan_ : nullptr;
  in.pruned = pruned_;
  in.decision = decision_;
  in.now = ctx.clock().Wall();
  in.steady_now = ctx.clock().Now();
  return show::BuildStatus(known_.status, in);
}

base::Status UpgradeReconciler::Pass::WriteStatus(const base::Context& outer) {
  if (deleting() && decision_.kind == Kind::kIdle) return base::Ok();
  const base::Context ctx = outer.WithNewDeadline(kWriteFor);
  Tell();
  const show::DowntimeLevel downtime = TellDowntime(ctx.clock().Wall());
  const crd::Status before = known_.status;
  auto written = owner_.status_.Write(ctx, key_, ShownStatus(ctx), known_, deferred_);
  if (auto* metrics = owner_.options_.metrics;
      metrics && (!memory_.measured || !(before == known_.status))) {
    metrics->Show(key_, wanted_.ok() ? wanted_->ToString() : spec_.version, before, known_.status,
                  downtime);
    memory_.measured = true;
  }
  if (!written.ok() && written.error().reason == crd::reason::kCrdTooOld) {
    return ShowCrdTooOld(ctx, written.error());
  }
  // The schema refused what we made: a defect of ours or an old CRD, never a reason to let the
  // operation rest.
  if (written.Is(base::Code::kInvalid)) {
    return base::MakeError(base::Code::kInternal, written.error().reason, written.error().message);
  }
  return written;
}

// By the conditions, which every CRD of ours has. What it drops is dropped once more, and is kept
// to be tried again.
base::Status UpgradeReconciler::Pass::ShowCrdTooOld(const base::Context& ctx,
                                                    const base::Error& error) {
  ctx.log().Error("{}", error.message);
  Stall(error.reason, error.message);
  Tell();
  memory_.crd_dropped = ShownStatus(ctx);
  auto written = owner_.status_.Write(ctx, key_, *memory_.crd_dropped, known_, deferred_);
  if (!written.ok() && written.error().reason == crd::reason::kCrdTooOld) return base::Ok();
  return written;
}

}  // namespace oms::pass

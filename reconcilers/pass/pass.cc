#include "reconcilers/pass/pass.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/decide/unreached.h"
#include "reconcilers/model/maintenance_window.h"
#include "reconcilers/observe/reach_site.h"

namespace oms::pass {
namespace {

// A pass may take several quick steps in a row; this bounds a planner that would not come to rest.
constexpr int kMaxStepsInPass = 40;

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
  base::Result<Came> came = LookAnew();
  bool looked_anew = false;
  // What cannot be shown is not done: nobody could see why.
  if (memory_.crd_dropped && !deleting()) came = TryTheCrdAgain(ctx);
  for (int i = 0; i < kMaxStepsInPass && came.ok() && came->again; ++i) {
    // The worker goes on to another key, and this one to a pass of its own.
    if (const auto may = ctx.Check(); may.Is(base::Code::kTimeout)) {
      break;
    } else if (!may.ok()) {
      return may.error();
    }
    came = Round(ctx);
    // A record that is there and is not the one in memory: a try whose answer was lost, or another
    // process, which the row will show.
    if (came.Is(base::Code::kConflict) && came.error().reason == ports::kRecordTaken &&
        !looked_anew) {
      ctx.log().Warn("{}", came.error().message);
      looked_anew = true;
      came = LookAnew();
    }
    if (!came.ok() || !came->decided) continue;
    // Each transition is shown at once; a pass may have more to do.
    OMS_TRY(Show(ctx, *came->decided));
    if (memory_.crd_dropped)
      came = Stall(crd::reason::kCrdTooOld, "what this shows is dropped by the installed CRD");
  }
  memory_.known = known_;
  if (!came.ok()) return Failed(ctx, came.error());
  if (came->again) return runtime::Outcome::After(base::Duration(0));
  // What was not shown for being shown a moment ago is, soon.
  const base::Duration most = deferred_ ? std::chrono::seconds(2) : owner_.options_.idle_look;
  return runtime::Outcome::After(std::min(came->decided->wait.value_or(most), most));
}

base::Result<runtime::Outcome> UpgradeReconciler::Pass::Failed(const base::Context& ctx,
                                                               const base::Error& error) {
  ctx.log().Warn("{}: {}", base::ToString(error.code), error.message);
  if (error.code == base::Code::kFenced || error.code == base::Code::kCancelled) return error;
  const decide::Decision decision = decide::DecideAfterError(error, step_);
  OMS_TRY(Show(ctx, decision));
  memory_.known = known_;
  if (decision.kind == Kind::kWait) return error;
  return runtime::Outcome::After(decide::kLookAgainAtTrouble);
}

// Outside of what the flags allow nothing is reached; but a resource must not stay for ever because
// a flag was narrowed.
std::optional<base::Result<UpgradeReconciler::Pass::Came>> UpgradeReconciler::Pass::CheckAllowed(
    const base::Context& ctx) {
  const auto allowed = model::CheckLimits(spec_, owner_.options_.limits);
  if (allowed.ok()) return std::nullopt;
  const bool open = ShownOpen();
  if (deleting() && (!open || (orphans() && !MayRestore()))) return LeaveAsItIs(ctx, open);
  if (open && Annotation(crd::kAbandon) == known_.status.operation->id)
    return AbandonUnseen(ctx, allowed.error().message);
  return Stall(allowed.error().reason,
               deleting() ? allowed.error().message + "; or " + decide::HowToUnblock(OperationId())
                          : allowed.error().message,
               std::nullopt);
}

void UpgradeReconciler::Pass::Forget() {
  spec_ = resource_->spec;
  site_ = {};
  reached_.Forget();
  facts_.reset();
  state_.reset();
  preflight_.reset();
  plan_.reset();
}

base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::Round(
    const base::Context& outer) {
  Forget();
  if (auto refused = CheckAllowed(outer)) return *std::move(refused);
  Reach(outer);
  const base::Context ctx = outer.WithNewDeadline(kRoundFor);
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(auto settled, Settle(ctx));
  if (settled) return *std::move(settled);
  return operation_open() ? WithOperation(ctx) : WithoutOperation(ctx);
}

void UpgradeReconciler::Pass::Reach(const base::Context& ctx) {
  site_ = observe::ReachSite(ctx, reached_.Views(), *resource_,
                             known_.status.operation.value_or(crd::OperationStatus()), Trust());
  spec_ = SpecNow();
}

base::Result<std::optional<UpgradeReconciler::Pass::Came>> UpgradeReconciler::Pass::Settle(
    const base::Context& ctx) {
  const auto settled = [](base::Result<Came> came) -> base::Result<std::optional<Came>> {
    if (!came.ok()) return came.error();
    return std::optional<Came>(*std::move(came));
  };
  if (deleting() && others_row()) return settled(Deleted(ctx));
  if (IsLeftBehind(ctx)) return settled(LookAnew());
  if (auto refused = CheckOwner(ctx)) return settled(Rest(*std::move(refused)));
  if (memory_.epoch && site_.row &&
      (site_.row->epoch != *memory_.epoch || site_.row->process != owner_.options_.process)) {
    // We owned it, and somebody took it: they go on, we never claim it back.
    return base::MakeError(
        base::Code::kFenced,
        fmt::format("the row of OMS '{}' was taken by another process", site_.oms));
  }
  if (WantsAbandon()) return settled(Abandon(ctx));
  // An open operation is rolled back first, by the same loop as any rollback. A restore that has
  // begun to drop goes to its end in any case.
  if (deleting() && (!operation_open() || orphans()) && !MayRestore()) return settled(Deleted(ctx));
  if (site_.trouble) return settled(InTrouble());
  return std::optional<Came>();
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

UpgradeReconciler::Pass::Came UpgradeReconciler::Pass::InTrouble() {
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

}  // namespace oms::pass

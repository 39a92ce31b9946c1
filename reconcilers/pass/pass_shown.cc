// What a pass shows: the status, events, metrics.
#include "crd/reasons.h"
#include "reconcilers/pass/pass.h"
#include "reconcilers/show/status_view.h"

namespace oms::pass {
namespace {

runtime::ObjectRef RefTo(const crd::OmsUpgrade& resource) {
  return {crd::kApiVersion, crd::kKind, resource.meta.ns, resource.meta.name, resource.meta.uid};
}

}  // namespace

using Kind = decide::Decision::Kind;

void UpgradeReconciler::Pass::Event(bool warning, const std::string& reason,
                                    const std::string& message) const {
  std::map<std::string, std::string> annotations;
  if (site_.record) annotations = {{"oms.oceanbase.com/operation-id", site_.record->id}};
  owner_.events_.Event(RefTo(*resource_),
                       warning ? runtime::EventType::kWarning : runtime::EventType::kNormal, reason,
                       message, annotations);
}

void UpgradeReconciler::Pass::Tell(const decide::Decision& decision) {
  if (!memory_.told.IsNews(decision)) return;
  Event(decision.kind == Kind::kStall || decision.warning, decision.reason, decision.message);
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

crd::Status UpgradeReconciler::Pass::ShownStatus(const base::Context& ctx,
                                                 const decide::Decision& decision) const {
  show::ViewInput in{*resource_, site_};
  in.record = site_.record.get();
  in.facts = facts_ ? &*facts_ : nullptr;
  in.state = state_ ? &*state_ : nullptr;
  in.preflight = preflight_ ? &*preflight_ : nullptr;
  in.plan = plan_ ? &*plan_ : nullptr;
  in.pruned = pruned_;
  in.decision = decision;
  in.now = ctx.clock().Wall();
  in.steady_now = ctx.clock().Now();
  return show::BuildStatus(known_.status, in);
}

base::Status UpgradeReconciler::Pass::Show(const base::Context& outer,
                                           const decide::Decision& decision) {
  if (deleting() && decision.kind == Kind::kIdle) return base::Ok();
  const base::Context ctx = outer.WithNewDeadline(kWriteFor);
  Tell(decision);
  const show::DowntimeLevel downtime = TellDowntime(ctx.clock().Wall());
  const crd::Status before = known_.status;
  auto written = owner_.status_.Write(ctx, key_, ShownStatus(ctx, decision), known_, deferred_);
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
  const Came stalled = Stall(error.reason, error.message);
  Tell(*stalled.decided);
  memory_.crd_dropped = ShownStatus(ctx, *stalled.decided);
  auto written = owner_.status_.Write(ctx, key_, *memory_.crd_dropped, known_, deferred_);
  if (!written.ok() && written.error().reason == crd::reason::kCrdTooOld) return base::Ok();
  return written;
}

// The same once more: what was dropped then is kept now, or not.
base::Result<UpgradeReconciler::Pass::Came> UpgradeReconciler::Pass::TryTheCrdAgain(
    const base::Context& ctx) {
  const auto written = owner_.status_.Write(ctx, key_, *memory_.crd_dropped, known_, deferred_);
  if (!written.ok() && written.error().reason == crd::reason::kCrdTooOld) {
    return Stall(written.error().reason, written.error().message);
  }
  if (!written.ok()) return written.error();
  memory_.crd_dropped.reset();
  return LookAnew();
}

}  // namespace oms::pass

#include "reconcilers/pass.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconcilers/maintenance_window.h"
#include "reconcilers/status_view.h"

namespace oms::upgrade {
namespace {

// A pass may take several quick steps in a row; this bounds a planner that would not come to rest.
constexpr int kMaxStepsInPass = 40;

runtime::ObjectRef RefTo(const crd::OmsUpgrade& resource) {
  return {crd::kApiVersion, crd::kKind, resource.meta.ns, resource.meta.name, resource.meta.uid};
}

}  // namespace

using Kind = Decision::Kind;

UpgradeReconciler::Pass::Pass(UpgradeReconciler& owner, KeyMemory& memory,
                              std::shared_ptr<const crd::OmsUpgrade> resource)
    : owner_(owner),
      memory_(memory),
      resource_(std::move(resource)),
      spec_(resource_->spec),
      key_(resource_->meta.Key()),
      me_{owner.options_.cluster, key_.ToString()},
      owner_label_(key_.ns + "." + key_.name) {}

std::string UpgradeReconciler::Pass::Annotation(const char* name) const {
  const auto found = resource_->meta.annotations.find(name);
  return found == resource_->meta.annotations.end() ? std::string() : found->second;
}

Wishes UpgradeReconciler::Pass::WishesNow(const base::Context& ctx) const {
  Wishes wishes;
  wishes.deleting = deleting();
  wishes.approve = Annotation(crd::kApprove);
  wishes.reset = Annotation(crd::kResetAt);
  wishes.uid = resource_->meta.uid;
  wishes.generation = resource_->meta.generation;
  if (spec_.maintenance_window) {
    const auto window = LookAtWindow(*spec_.maintenance_window, ctx.clock().Wall());
    wishes.window_open = window.ok() && window->open;
    if (!wishes.window_open) {
      wishes.window_message = window.ok() ? "outside of spec.maintenanceWindow; it " + window->text
                                          : window.error().message;
    }
  }
  return wishes;
}

base::Result<runtime::Outcome> UpgradeReconciler::Pass::Run(const base::Context& ctx) {
  known_ = StatusWriter::Newest(*resource_, memory_.known);
  base::Result<Next> next = Next::kAgain;
  for (int i = 0; i < kMaxStepsInPass && next.ok() && *next == Next::kAgain; ++i) {
    OMS_TRY(ctx.Check());
    decided_ = true;
    next = Round(ctx);
    if (next.ok() && decided_) {
      // Each transition is shown at once; a pass may have more to do.
      if (const auto written = WriteStatus(ctx); !written.ok()) return written.error();
    }
  }
  memory_.known = known_;
  if (!next.ok()) {
    const base::Error& error = next.error();
    ctx.log().Warn("{}: {}", base::ToString(error.code), error.message);
    if (error.code == base::Code::kFenced || error.code == base::Code::kCancelled) return error;
    // Told to a person as well, and tried again with backoff.
    const bool passing = error.Retryable() || error.code == base::Code::kInternal;
    decision_ = {passing ? Kind::kWait : Kind::kStall, decision_.step,
                 error.reason.empty() ? crd::reason::kProgressingWithRetry : error.reason,
                 error.message, kLookAgainAtTrouble};
    OMS_TRY(WriteStatus(ctx));
    memory_.known = known_;
    return error;
  }
  if (*next == Next::kAgain) return runtime::Outcome::After(base::Duration(0));
  if (deferred_) return runtime::Outcome::After(std::chrono::seconds(2));
  if (decision_.wait) return runtime::Outcome::After(*decision_.wait);
  return runtime::Outcome::After(owner_.options_.idle_look);
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Round(
    const base::Context& ctx) {
  spec_ = resource_->spec;
  spec_.version = WantedVersion(spec_);
  facts_.reset();
  state_.reset();
  preflight_.reset();
  plan_.reset();
  if (const auto limits = CheckLimits(spec_, owner_.options_.limits); !limits.ok()) {
    return Stall(limits.error().reason, limits.error().message, std::nullopt);
  }
  const std::string folder =
      known_.status.operation ? known_.status.operation->folder : std::string();
  site_ = ReachSite(ctx, owner_.ports_, *resource_, owner_label_, folder);
  OMS_TRY(ctx.Check());
  if (deleting() && site_.row && site_.row->owner != me_) return Deleted(ctx);
  if (const auto refused = CheckOwner(ctx)) return *refused;
  if (memory_.epoch && site_.row &&
      (site_.row->epoch != *memory_.epoch || site_.row->process != owner_.options_.process)) {
    // We owned it, and somebody took it: they go on, we never claim it back.
    return base::MakeError(
        base::Code::kFenced,
        fmt::format("the row of OMS '{}' was taken by another process", site_.oms));
  }
  if (const std::string id = Annotation(crd::kAbandon);
      !id.empty() && (operation_open() ? site_.record->id == id
                                       : deleting() && site_.trouble && known_.status.operation &&
                                             known_.status.operation->id == id)) {
    return Abandon(ctx);
  }
  // An open operation is rolled back first, by the same loop as any rollback.
  if (deleting() && (!operation_open() || orphans() || site_.trouble)) return Deleted(ctx);
  if (site_.trouble) {
    const auto& operation = known_.status.operation;
    const bool open =
        operation_open() || (operation && known_.status.direction != crd::Direction::kNone);
    const auto wanted = crd::Version::Parse(spec_.version);
    const bool idle = wanted.ok() && wanted->ToString() == known_.status.current_version;
    if (open || idle) {
      const bool stalls = !site_.trouble->passing && open;
      return Rest({stalls ? Kind::kStall : Kind::kUnknown, Step::kPreflight, site_.trouble->reason,
                   site_.trouble->message, kLookAgainAtTrouble});
    }
    preflight_ = StepState{Verdict::kFailed, site_.trouble->reason, site_.trouble->message};
    return Stall(site_.trouble->reason, site_.trouble->message);
  }
  return operation_open() ? WithOperation(ctx) : WithoutOperation(ctx);
}

std::optional<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::CheckOwner(
    const base::Context& ctx) {
  if (!site_.row || site_.row->owner == me_) return std::nullopt;
  if (Annotation(crd::kTakeOver) == site_.row->owner.object) {
    ctx.log().Warn("taking OMS '{}' over from {} by annotation", site_.oms,
                   site_.row->owner.object);
    return std::nullopt;
  }
  return Stall(crd::reason::kOwnedByAnother,
               fmt::format("this OMS (database {}) is owned by OmsUpgrade {}{}; delete that one, "
                           "or annotate this one with "
                           "{}={} if that one is gone",
                           site_.oms, site_.row->owner.object,
                           site_.row->owner.cluster == me_.cluster ? "" : " of another cluster",
                           crd::kTakeOver, site_.row->owner.object));
}

base::Result<bool> UpgradeReconciler::Pass::Claim(const base::Context& ctx) {
  if (memory_.epoch && site_.row) return false;
  OMS_TRY(ctx.Check());
  uint64_t first = 1;
  if (site_.record) first = std::max(first, site_.record->epoch + 1);
  if (memory_.epoch) first = std::max(first, *memory_.epoch + 1);
  OMS_ASSIGN(const OwnershipRow row, site_.ownership->Claim(ctx, site_.oms, site_.row, me_,
                                                            owner_.options_.process, first));
  if (!site_.row && operation_open()) {
    OMS_TRY(site_.ownership->SetOperation(ctx, site_.oms, row.epoch, site_.record->id,
                                          site_.record->folder, site_.record->volume));
  }
  memory_.epoch = row.epoch;
  ctx.log().Info("claimed the row of OMS '{}' with epoch {}", site_.oms, row.epoch);
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

// Only on a change of what holds the resource up.
void UpgradeReconciler::Pass::Tell() {
  if (decision_.kind != Kind::kStall && decision_.kind != Kind::kHold) {
    memory_.told.clear();
    return;
  }
  if (memory_.told == decision_.reason) return;
  memory_.told = decision_.reason;
  Event(decision_.kind == Kind::kStall, decision_.reason, decision_.message);
}

// Nothing is open: a person may stop OMS as they like. It is seen and told, and not repaired.
void UpgradeReconciler::Pass::TellWhetherItRuns() {
  const ContainerInfo& current = *site_.nodes.front().Current();
  if (current.running) {
    memory_.told_not_running = false;
    return;
  }
  decision_.message +=
      fmt::format("; but OMS does not run: container '{}' is {}", current.name, current.status);
  if (!memory_.told_not_running) Event(true, "OMSNotRunning", decision_.message);
  memory_.told_not_running = true;
}

DowntimeLevel UpgradeReconciler::Pass::TellDowntime(base::WallTime now) {
  const auto level =
      operation_open() ? DowntimeLevelOf(spec_, *site_.record, now) : DowntimeLevel::kWell;
  if (level > memory_.told_downtime) {
    Event(true, level == DowntimeLevel::kNear ? "DowntimeNearBudget" : "DowntimeOverBudget",
          DowntimeText(spec_, level));
  }
  return memory_.told_downtime = level;
}

base::Status UpgradeReconciler::Pass::WriteStatus(const base::Context& ctx) {
  if (deleting() && decision_.kind == Kind::kIdle) return base::Ok();
  ViewInput in{*resource_, site_};
  in.record = site_.record ? &*site_.record : nullptr;
  in.facts = facts_ ? &*facts_ : nullptr;
  in.state = state_ ? &*state_ : nullptr;
  in.preflight = preflight_ ? &*preflight_ : nullptr;
  in.plan = plan_ ? &*plan_ : nullptr;
  in.pruned = pruned_;
  in.decision = decision_;
  in.now = ctx.clock().Wall();
  in.steady_now = ctx.clock().Now();
  Tell();
  const DowntimeLevel downtime = TellDowntime(in.now);
  const crd::Status before = known_.status;
  const auto written =
      owner_.status_.Write(ctx, key_, BuildStatus(known_.status, in), known_, deferred_);
  if (auto* metrics = owner_.options_.metrics;
      metrics && (!memory_.measured || !(before == known_.status))) {
    metrics->Show(key_, spec_, before, known_.status, downtime);
    memory_.measured = true;
  }
  if (written.Is(base::Code::kTerminal)) {
    ctx.log().Error("{}", written.error().message);
    Event(true, written.error().reason, written.error().message);
  }
  // The schema refused what we made: a defect of ours or an old CRD, never a reason to let the
  // operation rest.
  if (written.Is(base::Code::kInvalid)) {
    return base::MakeError(base::Code::kInternal, written.error().reason, written.error().message);
  }
  return written;
}

}  // namespace oms::upgrade

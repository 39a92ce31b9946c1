// No operation is open: what is wanted, whether it may begin, and the first record of it.
#include <fmt/format.h>

#include <algorithm>

#include "reconcilers/human.h"
#include "reconcilers/labels.h"
#include "reconcilers/open_operation.h"
#include "reconcilers/pass.h"
#include "reconcilers/retention.h"

namespace oms::upgrade {

using Kind = Decision::Kind;

namespace {

constexpr base::Duration kPruneAgainAfterTrouble = std::chrono::hours(1);
constexpr size_t kMaxNamedFolders = 5;  // An event's message is short.

// What cannot be read is listed without a record.
base::Result<std::vector<OperationFolder>> OperationFolders(const base::Context& ctx,
                                                            RecordStore& store,
                                                            const std::string& directory) {
  OMS_ASSIGN(const auto paths, store.List(directory));
  std::vector<OperationFolder> folders;
  for (const auto& path : paths) {
    OMS_TRY(ctx.Check());
    OperationFolder folder{path.string(), std::nullopt};
    std::vector<std::string> texts;
    if (auto entries = store.Read(path); entries.ok()) {
      for (auto& entry : *entries) texts.push_back(std::move(entry.text));
    }
    if (auto record = FoldRecords(texts); record.ok()) folder.record = *std::move(record);
    folders.push_back(std::move(folder));
  }
  return folders;
}

// What was done before it failed is told as well.
struct Pruned {
  std::vector<std::string> paths;  // That hold no payload any more.
  std::vector<std::string>
      folders;  // Of which some was removed now; with the reason, for a person.
  uint64_t bytes = 0;
  base::Status status;
};

Pruned Prune(const base::Context& ctx, RecordStore& store,
             const std::vector<PrunableFolder>& prunable) {
  Pruned pruned;
  for (const auto& folder : prunable) {
    if (pruned.status = ctx.Check(); !pruned.status.ok()) break;
    const auto removed = store.RemovePayload(folder.path);
    if (!removed.ok()) {
      pruned.status = removed.error();
      break;
    }
    pruned.paths.push_back(folder.path);
    if (removed->files == 0) continue;
    pruned.bytes += removed->bytes;
    pruned.folders.push_back(fmt::format("{} ({})", folder.path, folder.why));
  }
  return pruned;
}

std::string TextOf(const Pruned& pruned) {
  const size_t named = std::min(pruned.folders.size(), kMaxNamedFolders);
  const std::vector<std::string> first(pruned.folders.begin(), pruned.folders.begin() + named);
  return fmt::format("removed {} of old backups, and kept their records: {}{}", Human(pruned.bytes),
                     fmt::join(first, "; "),
                     named < pruned.folders.size()
                         ? fmt::format("; and {} more", pruned.folders.size() - named)
                         : "");
}

}  // namespace

// Once for each closed operation and each edit of the spec, and when a kept one falls due: all
// other idle passes write nothing. A trouble is told and holds nothing up.
void UpgradeReconciler::Pass::PruneBackups(const base::Context& ctx) {
  if (!site_.record || site_.record->open() || !site_.volume || deleting() || spec_.suspend ||
      spec_.mode == crd::Mode::kPlan) {
    return;
  }
  const base::WallTime now = ctx.clock().Wall();
  const std::string mark = fmt::format("{} {}", site_.record->id, resource_->meta.generation);
  if (memory_.pruned_for == mark && (!memory_.prune_again || now <= *memory_.prune_again)) return;
  memory_.pruned_for = mark;
  memory_.prune_again = now + kPruneAgainAfterTrouble;
  Pruned pruned;
  if (auto folders = OperationFolders(ctx, *owner_.ports_.store, spec_.backup.directory);
      folders.ok()) {
    const RetentionRule rule{me_, spec_.backup.retain, spec_.strategy.rollback_window};
    const Retention retention = PrunableFolders(*folders, *site_.record, rule, now);
    pruned = Prune(ctx, *owner_.ports_.store, retention.remove);
    if (pruned.status.ok()) memory_.prune_again = retention.next_due;
  } else {
    pruned.status = folders.error();
  }
  pruned_ = pruned.paths;
  if (!pruned.folders.empty()) Event(false, "BackupsPruned", TextOf(pruned));
  if (pruned.status.ok() || pruned.status.Is(base::Code::kCancelled)) return;
  ctx.log().Warn("old backups are not removed: {}", pruned.status.error().message);
  Event(true, "BackupsNotPruned", "old backups are not removed: " + pruned.status.error().message);
}

// What runs is the new container of the last operation, by its label; not merely its version.
bool UpgradeReconciler::Pass::RunsLastNew() const {
  const ContainerInfo* current = site_.nodes.front().Current();
  if (!site_.record || current == nullptr) return false;
  const auto label = current->labels.find(labels::kOperation);
  return label != current->labels.end() && label->second == site_.record->id;
}

void UpgradeReconciler::Pass::LookBeforeUpgrade(const base::Context& ctx,
                                                const crd::Version& running) {
  const auto to = crd::Version::Parse(spec_.version);
  auto path = CheckPath(running, *to, PathOptionsOf(spec_));
  if (!path.ok()) {
    preflight_ = StepState{Verdict::kFailed, path.error().reason, path.error().message};
    return;
  }
  path_ = *std::move(path);
  ApplyOverrides(spec_, path_);
  facts_ = Observe(ctx.WithTimeout(spec_.strategy.timeouts.preflight), owner_.ports_,
                   {spec_, site_, path_, running, *to}, owner_.tasks_, memory_.memo);
  preflight_ = PreflightState(spec_, running, *to, *facts_);
  UpgradePlanInput input{spec_, running, *to, path_, *facts_};
  if (site_.record) input.rates = RatesFrom(*site_.record);
  if (auto plan = PlanUpgrade(input); plan.ok()) plan_ = *std::move(plan);
}

void UpgradeReconciler::Pass::DescribeIdle(const crd::Version& running) {
  if (!site_.record) return;
  const OperationRecord& last = *site_.record;
  if (last.outcome == OperationOutcome::kSucceeded && last.to == running.ToString()) {
    decision_.reason = crd::reason::kSucceeded;
    decision_.message = fmt::format("upgraded from {} to {}", last.from, last.to);
  }
  if (last.outcome == OperationOutcome::kRolledBack && last.from == running.ToString()) {
    decision_.reason = crd::reason::kRolledBackByRequest;
    decision_.message =
        last.undoes.empty()
            ? fmt::format("the upgrade from {} to {} was turned back; OMS runs {}", last.from,
                          last.to, last.from)
            : fmt::format("went back from {} to {}, with the data of before the upgrade", last.to,
                          last.from);
  }
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::WithoutOperation(
    const base::Context& ctx) {
  if (site_.row && site_.record && site_.row->operation_id == site_.record->id) {
    // A process died after it had closed the record, and before it said so in the row.
    OMS_ASSIGN(const bool claimed, Claim(ctx));
    if (claimed) return LookAnew();
    OMS_TRY(site_.ownership->SetOperation(ctx, site_.oms, *memory_.epoch, "", site_.record->folder,
                                          site_.record->volume));
    return LookAnew();
  }
  if (!site_.running) {
    return Stall("ContainerNotFound",
                 "there is no OMS container any more, and no operation is open");
  }
  const crd::Version& running = *site_.running;
  Closed closed{running};
  closed.now = ctx.clock().Wall();
  if (site_.record) closed.last = &*site_.record;
  closed.runs_last_new = RunsLastNew();
  if (WantsUndo(spec_, closed)) {
    if (auto plan = PlanRollback(spec_, *site_.record, closed.now); plan.ok()) {
      plan_ = *std::move(plan);
    } else {
      return Stall(plan.error().reason, plan.error().message);
    }
  } else if (WantsUpgrade(spec_, running)) {
    LookBeforeUpgrade(ctx, running);
  }
  if (plan_) {
    closed.plan_hash = plan_->hash;
    closed.plan_text = plan_->lost;
  }
  closed.preflight = preflight_ ? &*preflight_ : nullptr;
  decision_ = DecideWithoutOperation(spec_, closed, WishesNow(ctx));
  switch (decision_.kind) {
    case Kind::kIdle:
      DescribeIdle(running);
      TellWhetherItRuns();
      PruneBackups(ctx);
      return Next::kRest;
    case Kind::kOpen: return Open(ctx, false);
    case Kind::kOpenUndo: return Open(ctx, true);
    default: return Next::kRest;
  }
}

base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Open(const base::Context& ctx,
                                                                          bool undo) {
  OMS_TRY(owner_.status_.AddFinalizer(ctx, *resource_, known_));
  OMS_ASSIGN(const bool claimed, Claim(ctx));
  if (claimed) return LookAnew();
  NewOperation operation;
  operation.id = base::RandomId();
  operation.key = key_;
  operation.owner = me_;
  operation.epoch = *memory_.epoch;
  operation.resource_uid = resource_->meta.uid;
  operation.generation = resource_->meta.generation;
  if (site_.record) operation.recent = RecentOnly(site_.record->recent, ctx.clock().Wall());
  OperationRecord record;
  if (undo) {
    record = UndoRecord(ctx, *site_.record, operation);
  } else {
    operation.from = site_.running->ToString();
    operation.to = crd::Version::Parse(spec_.version)->ToString();
    OMS_ASSIGN(record, FirstRecord(ctx, spec_, site_, *facts_, operation));
  }
  OMS_TRY(ctx.Check());
  // Record first, row second: a folder that no row names is an operation that never began.
  OMS_TRY(owner_.ports_.store->Append(record.folder, 1, record.ToJson()));
  OMS_TRY(site_.ownership->SetOperation(ctx, site_.oms, *memory_.epoch, record.id, record.folder,
                                        record.volume));
  memory_.failures = {};
  Event(false, undo ? "RollbackStarted" : "UpgradeStarted",
        undo ? fmt::format("going back from {} to {} begins; everything about it is in {}",
                           record.to, record.from, record.folder)
             : fmt::format("upgrade from {} to {} begins; everything about it is in {}",
                           record.from, record.to, record.folder));
  return Next::kAgain;
}

// Nothing is open, or it is to be left as it is, or nothing can be seen.
base::Result<UpgradeReconciler::Pass::Next> UpgradeReconciler::Pass::Deleted(
    const base::Context& ctx) {
  // What another owner has taken over is none of this resource's business any more.
  const bool others = site_.row && site_.row->owner != me_;
  const bool open = !others && operation_open();
  if (site_.trouble && !orphans() && !others) {
    return Stall(
        site_.trouble->reason,
        fmt::format("the resource is being deleted, but whether an operation is open cannot be "
                    "seen: {}; mend that, or set spec.deletionPolicy to Orphan to leave everything "
                    "as it is{}",
                    site_.trouble->message,
                    known_.status.operation
                        ? fmt::format(", or give the operation up by {}={}", crd::kAbandon,
                                      known_.status.operation->id)
                        : ""));
  }
  if (open) {
    Event(true, "Orphaned",
          fmt::format("the resource is deleted and leaves an open operation behind; everything "
                      "about it is in {}",
                      site_.record->folder));
  }
  owner_.tasks_.Stop(site_.record ? site_.record->id + "/" : owner_label_ + "/");
  if (!open && !others && site_.row && !site_.trouble) {
    OMS_TRY(ctx.Check());
    OMS_TRY(site_.ownership->Release(ctx, site_.oms, site_.row->epoch));
  }
  OMS_TRY(owner_.status_.RemoveFinalizer(ctx, *resource_, known_));
  return Rest({Kind::kIdle, Step::kPreflight, crd::reason::kUpToDate, "deleted"});
}

}  // namespace oms::upgrade

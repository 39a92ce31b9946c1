// Whose this OMS is: the owner's row, and records that were another's.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "reconcilers/decide/place.h"
#include "reconcilers/observe/reach_site.h"
#include "reconcilers/pass/pass.h"

namespace oms::pass {
namespace {

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

std::optional<decide::Decision> UpgradeReconciler::Pass::CheckOwner(const base::Context& ctx) {
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
  return decide::OwnedByAnother(site_.oms, site_.row->owner, me_);
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

}  // namespace oms::pass

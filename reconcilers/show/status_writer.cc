#include "reconcilers/show/status_writer.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "controller/kube/status_patch.h"
#include "crd/reasons.h"
#include "reconcilers/show/status_view.h"

namespace oms::show {
namespace {

using nlohmann::json;

const kube::ResourceType kOmsUpgrades{crd::kGroup, crd::kVersionName, crd::kPlural};
constexpr base::Duration kProgressPause = std::chrono::seconds(2);

// Resource versions of one object are numbers that grow (Kubernetes 1.35 promises it; etcd has
// always made them so).
uint64_t Number(const std::string& version) {
  uint64_t number = 0;
  std::from_chars(version.data(), version.data() + version.size(), number);
  return number;
}

}  // namespace

StatusWriter::Known StatusWriter::Newest(const crd::OmsUpgrade& cached,
                                         const std::optional<Known>& ours) {
  if (ours && Number(ours->resource_version) >= Number(cached.meta.resource_version)) return *ours;
  Known known{cached.meta.resource_version, cached.status, {}, cached.meta.finalizers};
  if (ours) known.written = ours->written;
  return known;
}

base::Status StatusWriter::Write(const base::Context& ctx, const kube::ObjectKey& key,
                                 const crd::Status& status, Known& known, bool& deferred) {
  deferred = false;
  if (status == known.status) return base::Ok();
  if (SameButForProgress(status, known.status) &&
      ctx.clock().Now() - known.written < kProgressPause) {
    deferred = true;
    return base::Ok();
  }
  const json wanted = crd::StatusToJson(status);
  const auto patch =
      kube::StatusPatch(crd::StatusToJson(known.status), wanted, known.resource_version);
  if (!patch) return base::Ok();
  OMS_ASSIGN(const json answer,
             api_.Patch(ctx, kOmsUpgrades, key, kube::PatchType::kMerge, *patch, "status"));
  OMS_ASSIGN(const crd::OmsUpgrade stored, crd::FromJson(answer));
  known = {stored.meta.resource_version, stored.status, ctx.clock().Now(), stored.meta.finalizers};
  // An old CRD prunes what it does not know, in silence.
  if (crd::StatusToJson(stored.status) != wanted) {
    return base::MakeError(base::Code::kTerminal, crd::reason::kCrdTooOld,
                           "the API server dropped fields of .status: the installed CRD is older "
                           "than this controller; apply "
                           "crd/omsupgrades.yaml of this version");
  }
  return base::Ok();
}

bool StatusWriter::IsGone(const base::Context& ctx, const kube::ObjectKey& key) const {
  return api_.Get(ctx, kOmsUpgrades, key).Is(base::Code::kNotFound);
}

bool StatusWriter::Known::Held() const {
  return std::find(finalizers.begin(), finalizers.end(), crd::kFinalizer) != finalizers.end();
}

base::Status StatusWriter::SetFinalizers(const base::Context& ctx, const kube::ObjectKey& key,
                                         const std::vector<std::string>& finalizers, Known& known) {
  const json patch = {
      {"metadata", {{"resourceVersion", known.resource_version}, {"finalizers", finalizers}}}};
  OMS_ASSIGN(const json answer, api_.Patch(ctx, kOmsUpgrades, key, kube::PatchType::kMerge, patch));
  OMS_ASSIGN(const kube::ObjectMeta meta, kube::ParseMeta(answer));
  known.resource_version = meta.resource_version;
  known.finalizers = meta.finalizers;
  return base::Ok();
}

base::Status StatusWriter::AddFinalizer(const base::Context& ctx, const kube::ObjectKey& key,
                                        Known& known) {
  if (known.Held()) return base::Ok();
  auto finalizers = known.finalizers;
  finalizers.emplace_back(crd::kFinalizer);
  return SetFinalizers(ctx, key, finalizers, known);
}

base::Status StatusWriter::RemoveFinalizer(const base::Context& ctx, const kube::ObjectKey& key,
                                           Known& known) {
  if (!known.Held()) return base::Ok();
  auto finalizers = known.finalizers;
  std::erase(finalizers, crd::kFinalizer);
  return SetFinalizers(ctx, key, finalizers, known);
}

}  // namespace oms::show

#include "reconcilers/act/secret_hold.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/kube/meta.h"

namespace oms::act {
namespace {

using nlohmann::json;

const kube::ResourceType kSecrets{"", "v1", "secrets"};

// By optimistic lock: others have finalizers of their own there.
base::Status SetFinalizer(const base::Context& ctx, kube::ApiClient& api,
                          const kube::ObjectKey& key, const std::string& finalizer, bool held) {
  const auto secret = api.Get(ctx, kSecrets, key);
  if (secret.Is(base::Code::kNotFound)) return base::Ok();
  if (!secret.ok()) return secret.error();
  OMS_ASSIGN(const kube::ObjectMeta meta, kube::ParseMeta(*secret));
  auto finalizers = meta.finalizers;
  const auto at = std::find(finalizers.begin(), finalizers.end(), finalizer);
  if ((at != finalizers.end()) == held || (held && meta.deletion_timestamp)) return base::Ok();
  if (held) {
    finalizers.push_back(finalizer);
  } else {
    finalizers.erase(at);
  }
  OMS_TRY(ctx.Check());
  const json patch = {
      {"metadata", {{"resourceVersion", meta.resource_version}, {"finalizers", finalizers}}}};
  const auto patched = api.Patch(ctx, kSecrets, key, kube::PatchType::kMerge, patch);
  if (patched.Is(base::Code::kNotFound)) return base::Ok();
  return patched.ok() ? base::Ok() : base::Status(patched.error());
}

}  // namespace

std::vector<std::string> SecretsOf(const crd::Spec& spec) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  };
  for (const auto& node : spec.nodes) {
    if (node.engine.tls) add(node.engine.tls->secret_ref.name);
  }
  const auto add_of = [&](const crd::Connect& connect) {
    if (connect.password_secret_ref) add(connect.password_secret_ref->name);
    if (connect.tls) add(connect.tls->secret_ref.name);
  };
  if (spec.meta_db) {
    if (spec.meta_db->connect) add_of(*spec.meta_db->connect);
    for (const auto* database : {&spec.meta_db->rm, &spec.meta_db->cm}) {
      if (*database) add_of((*database)->connect);
    }
  }
  if (spec.https) add(spec.https->secret_ref.name);
  return names;
}

std::string HoldOf(const std::string& uid) { return "oms.oceanbase.com/hold-" + uid; }

base::Status HoldSecrets(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
                         const std::vector<std::string>& names, const std::string& uid) {
  for (const auto& name : names) OMS_TRY(SetFinalizer(ctx, api, {ns, name}, HoldOf(uid), true));
  return base::Ok();
}

base::Status LetSecretsGo(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
                          const std::vector<std::string>& names, const std::string& uid) {
  for (const auto& name : names) OMS_TRY(SetFinalizer(ctx, api, {ns, name}, HoldOf(uid), false));
  return base::Ok();
}

}  // namespace oms::act

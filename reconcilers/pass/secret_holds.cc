#include "reconcilers/pass/secret_holds.h"

#include "reconcilers/act/secret_hold.h"

namespace oms::pass {

void SecretHolds::Hold(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
                       const std::vector<std::string>& names, const std::string& uid) {
  const auto held = act::HoldSecrets(ctx, api, ns, names, uid);
  if (!held.ok()) {
    ctx.log().Warn("the finalizers of Secrets could not be added: {}", held.error().message);
  }
  if (held.ok() || held.Is(base::Code::kDenied)) held_ = names;
}

void SecretHolds::Release(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
                          const std::string& operation, const std::vector<std::string>& names,
                          const std::string& uid) {
  if (names.empty() || released_ == operation) return;
  const auto gone = act::LetSecretsGo(ctx, api, ns, names, uid);
  held_.clear();
  if (gone.ok() || gone.Is(base::Code::kDenied)) {
    released_ = operation;
  } else {
    ctx.log().Warn("the finalizers of Secrets are not removed yet: {}", gone.error().message);
  }
}

}  // namespace oms::pass

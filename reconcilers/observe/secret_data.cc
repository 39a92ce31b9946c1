#include "reconcilers/observe/secret_data.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/base/base64.h"
#include "crd/reasons.h"

namespace oms::observe {
namespace {

const kube::ResourceType kSecrets{"", "v1", "secrets"};

}  // namespace

base::Result<std::map<std::string, base::Secret>> ReadSecretData(const base::Context& ctx,
                                                                 kube::ApiReader& api,
                                                                 const std::string& ns,
                                                                 const std::string& name) {
  const auto secret = api.Get(ctx, kSecrets, {ns, name});
  if (!secret.ok()) {
    return base::MakeError(secret.error().code, crd::reason::kSecretUnreadable,
                           fmt::format("Secret {}/{}: {}", ns, name, secret.error().message));
  }
  std::map<std::string, base::Secret> data;
  const auto found = secret->find("data");
  if (found == secret->end() || !found->is_object()) return data;
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) continue;
    if (auto plain = base::DecodeBase64(value.get_ref<const std::string&>()))
      data.emplace(key, base::Secret(*plain));
  }
  return data;
}

}  // namespace oms::observe

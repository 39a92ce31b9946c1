// The Secrets by which the world of an open operation is reached carry a finalizer of the resource,
// so that a deleted namespace does not take them before the way back has been gone.
#pragma once

#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/kube/api_client.h"
#include "crd/oms_upgrade.h"

namespace oms::act {

// The names of the Secrets that a spec names, each once.
std::vector<std::string> SecretsOf(const crd::Spec& spec);

// The finalizer of the resource with this uid.
std::string HoldOf(const std::string& uid);

// Adds the finalizer where it is missing. One that is gone, or being deleted, cannot be held any
// more: that is no error.
base::Status HoldSecrets(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
                         const std::vector<std::string>& names, const std::string& uid);
// Takes it off where it is.
base::Status LetSecretsGo(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
                          const std::vector<std::string>& names, const std::string& uid);

}  // namespace oms::act

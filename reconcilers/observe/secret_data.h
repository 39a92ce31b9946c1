// What a Kubernetes Secret holds.
#pragma once

#include <map>
#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "controller/kube/api_client.h"

namespace oms::observe {

// Its data, decoded, by key. An error has the reason SecretUnreadable and names the Secret, never
// what it holds.
base::Result<std::map<std::string, base::Secret>> ReadSecretData(const base::Context& ctx,
                                                                 kube::ApiReader& api,
                                                                 const std::string& ns,
                                                                 const std::string& name);

}  // namespace oms::observe

// SecretHolds: which Secrets this process has seen held by a resource's finalizer, and released, so
// that the API server is asked once for each operation. Losing it asks once more.
#pragma once

#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/kube/api_client.h"

namespace oms::pass {

class SecretHolds {
 public:
  bool Has(const std::vector<std::string>& names) const { return held_ == names; }

  // A controller that may not patch Secrets goes on without: they are held for a deleted namespace
  // alone.
  void Hold(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
            const std::vector<std::string>& names, const std::string& uid);

  // Once for each closed operation, and once more for each process; tried again until it was done.
  void Release(const base::Context& ctx, kube::ApiClient& api, const std::string& ns,
               const std::string& operation, const std::vector<std::string>& names,
               const std::string& uid);

 private:
  std::vector<std::string> held_;
  std::string released_;  // The closed operation.
};

}  // namespace oms::pass

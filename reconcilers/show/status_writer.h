// StatusWriter: `.status` to the API server, by optimistic lock, only what differs: a pass with
// nothing to do makes no write.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/kube/api_client.h"
#include "crd/oms_upgrade.h"

namespace oms::show {

class StatusWriter {
 public:
  // What the API server is known to hold for one object. A worker's alone.
  struct Known {
    std::string resource_version;
    crd::Status status;
    base::SteadyTime written;  // Of the last write.
    std::vector<std::string> finalizers;
    bool Held() const;  // Our finalizer is among them.
  };

  explicit StatusWriter(kube::ApiClient& api) : api_(api) {}

  // The newer of the cached object and what we wrote last: our own write may not have come back by
  // the watch yet.
  static Known Newest(const crd::OmsUpgrade& cached, const std::optional<Known>& ours);

  // Writes `status` if it differs from what is known; `known` is what the server answered then. A
  // write that changes only progress is left out if the last one is younger than 2 s (`deferred` is
  // set). kConflict: the object has changed; kTerminal "CRDTooOld": the server dropped fields that
  // we sent.
  base::Status Write(const base::Context& ctx, const kube::ObjectKey& key,
                     const crd::Status& status, Known& known, bool& deferred);

  // Adds our finalizer, or takes it away, where it is not so already; those of others stay. `known`
  // follows. kConflict: the object has changed.
  base::Status AddFinalizer(const base::Context& ctx, const kube::ObjectKey& key, Known& known);
  base::Status RemoveFinalizer(const base::Context& ctx, const kube::ObjectKey& key, Known& known);

  // The API server says that there is no such resource; false where it does not tell.
  bool IsGone(const base::Context& ctx, const kube::ObjectKey& key) const;

 private:
  base::Status SetFinalizers(const base::Context& ctx, const kube::ObjectKey& key,
                             const std::vector<std::string>& finalizers, Known& known);
  kube::ApiClient& api_;
};

}  // namespace oms::show

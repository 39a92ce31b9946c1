// The world's Kubernetes API, for one process.
#pragma once

#include "tests/fakes/world/door.h"

namespace oms::fakes {

class Api final : public kube::ApiClient, private Door {
 public:
  using Door::Door;
  Result<json> Get(const Context& ctx, const kube::ResourceType& type,
                   const kube::ObjectKey& key) override {
    return world_.Look<json>(life_, [&] { return world_.api.Get(ctx, type, key); });
  }
  Result<kube::ListPage> List(const Context& ctx, const kube::ResourceType& type,
                              const std::string& ns, const kube::ListOptions& options) override {
    return world_.Look<kube::ListPage>(life_,
                                       [&] { return world_.api.List(ctx, type, ns, options); });
  }
  Result<json> Create(const Context& ctx, const kube::ResourceType& type, const std::string& ns,
                      const json& object) override {
    return world_.Write<json>(life_, "kube create", false,
                              [&] { return world_.api.Create(ctx, type, ns, object); });
  }
  Result<json> Replace(const Context& ctx, const kube::ResourceType& type,
                       const kube::ObjectKey& key, const json& object,
                       const std::string& sub) override {
    return world_.Write<json>(life_, "kube replace", false,
                              [&] { return world_.api.Replace(ctx, type, key, object, sub); });
  }
  Result<json> Patch(const Context& ctx, const kube::ResourceType& type, const kube::ObjectKey& key,
                     kube::PatchType patch_type, const json& body, const std::string& sub,
                     const std::string& manager) override {
    return world_.Write<json>(life_, "kube patch " + sub, false, [&] {
      return world_.api.Patch(ctx, type, key, patch_type, body, sub, manager);
    });
  }
  Status Delete(const Context& ctx, const kube::ResourceType& type, const kube::ObjectKey& key,
                const kube::DeleteOptions& options) override {
    return Write("kube delete", false, [&] { return world_.api.Delete(ctx, type, key, options); });
  }
  Status Watch(const Context&, const kube::ResourceType&, const kube::WatchOptions&,
               const kube::WatchSink&) override {
    return MakeError(Code::kInternal, "nobody watches here");
  }
};

}  // namespace oms::fakes

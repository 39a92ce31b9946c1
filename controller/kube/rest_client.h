// RestClient: the ApiClient over HTTPS, on cpprestsdk, which is included in rest_client.cc only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "controller/kube/api_client.h"
#include "controller/kube/kube_config.h"

namespace oms::kube {

// Once, first thing in main(), before any thread or RestClient: one thread for cpprestsdk's pool
// (with more, a cancel during a TLS handshake can crash), and no public CAs. A second call does
// nothing.
void InitRestLibrary();

struct RestOptions {
  // A request ends after this much silence. So does a watch until it is answered; after that, only
  // after its own timeout plus `watch_margin`.
  base::Duration request_timeout = std::chrono::seconds(20);
  base::Duration watch_margin = std::chrono::seconds(30);
  std::string user_agent = "oms-upgrade-controller";
  // Told of each HTTP exchange, for rest_client_requests_total. `code` is the status, or
  // "<error>" where none came. Called on the thread of the caller.
  std::function<void(std::string_view code, std::string_view method, std::string_view host)>
      on_request;
};

// Thread-safe. Must outlive the calls that are in it.
class RestClient final : public ApiClient {
 public:
  // kInvalid when the configuration cannot be used (a certificate that does not parse, http://).
  // Nothing is sent.
  static base::Result<std::unique_ptr<RestClient>> Make(KubeConfig config,
                                                        RestOptions options = {});
  ~RestClient() override;

  base::Result<nlohmann::json> Get(const base::Context& ctx, const ResourceType& type,
                                   const ObjectKey& key) override;
  base::Result<ListPage> List(const base::Context& ctx, const ResourceType& type,
                              const std::string& ns, const ListOptions& options) override;
  base::Result<nlohmann::json> Create(const base::Context& ctx, const ResourceType& type,
                                      const std::string& ns, const nlohmann::json& object) override;
  base::Result<nlohmann::json> Replace(const base::Context& ctx, const ResourceType& type,
                                       const ObjectKey& key, const nlohmann::json& object,
                                       const std::string& subresource = "") override;
  base::Result<nlohmann::json> Patch(const base::Context& ctx, const ResourceType& type,
                                     const ObjectKey& key, PatchType patch_type,
                                     const nlohmann::json& body,
                                     const std::string& subresource = "",
                                     const std::string& field_manager = "") override;
  base::Status Delete(const base::Context& ctx, const ResourceType& type, const ObjectKey& key,
                      const DeleteOptions& options = {}) override;
  base::Status Watch(const base::Context& ctx, const ResourceType& type,
                     const WatchOptions& options, const WatchSink& sink) override;

  const std::string& default_namespace() const;

 private:
  class Impl;
  explicit RestClient(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace oms::kube

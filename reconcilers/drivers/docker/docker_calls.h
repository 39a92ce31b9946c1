// DockerCalls: how an engine is asked: in which version of its API, and what its refusals mean.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/docker/docker_http.h"

namespace oms::drivers::docker {

// What a call may take that is no transfer and waits for no container; and one that makes or changes
// something.
inline constexpr base::Duration kQuick = std::chrono::seconds(60);
inline constexpr base::Duration kCreate = std::chrono::seconds(180);

// Thread-safe: each call has a connection of its own.
class DockerCalls {
 public:
  explicit DockerCalls(EngineEndpoint endpoint) : endpoint_(std::move(endpoint)) {}
  DockerCalls(const DockerCalls&) = delete;
  DockerCalls& operator=(const DockerCalls&) = delete;

  // The version is asked for once, and again after the engine was away (it may be another by then).
  base::Result<std::string> ApiVersion(const base::Context& ctx);

  // `what` completes "the engine refused to ...". 2xx and 304 are successes. No `limit`: only the
  // context's deadline.
  base::Result<HttpResponse> Call(const base::Context& ctx, const std::string& what,
                                  HttpRequest request, const HttpOptions& options = {},
                                  std::optional<base::Duration> limit = kQuick);
  base::Status Simple(const base::Context& ctx, const std::string& what, HttpRequest request,
                      base::Duration limit);
  // For answers that are lines of JSON: what goes wrong after the header is told in-band. `broken`
  // says what the words of such an error mean.
  base::Status CallWithProgress(const base::Context& ctx, const std::string& what,
                                const HttpRequest& request, const std::string& reason,
                                base::Code (*broken)(const std::string& words));

  // "/containers/<id><rest>".
  base::Result<std::string> ContainerPath(const std::string& id, const std::string& rest) const;
  // Of an answer that makes no sense.
  base::Error UnexpectedAnswer(std::string_view what) const;
  // As the user wrote it.
  const std::string& endpoint() const { return endpoint_.text; }

 private:
  void ForgetApiVersion();
  base::Error Refused(const std::string& what, const HttpResponse& response) const;

  const EngineEndpoint endpoint_;
  std::mutex mutex_;
  std::string api_version_;  // Guarded by mutex_; empty: not negotiated.
};

}  // namespace oms::drivers::docker

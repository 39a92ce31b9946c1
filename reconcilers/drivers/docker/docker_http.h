// One HTTP/1.1 exchange with a Docker Engine on a connection of its own.
//
// Never repeated by itself: a POST that was sent may have been done, whatever came back.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/docker/engine_endpoint.h"
#include "reconcilers/drivers/http/http_response.h"

namespace oms::drivers::docker {

struct HttpRequest {
  std::string method{};
  std::string target{};  // Path and query, escaped (EscapeUrl).
  std::string content_type{};
  std::string body{};
  // Instead of `body`: that many bytes of this source. It fills the buffer and returns how much.
  uint64_t source_size = 0;
  std::function<base::Result<size_t>(char*, size_t)> source{};
};

using http::HttpResponse;
// An answer that is longer than `body_limit`, and not taken by `sink`, is kInvalid. An inspect
// document has some ten KB.
using HttpOptions = http::ResponseOptions;

// Any status is a success here. An answer that ends too early is kTransient "EngineUnreachable".
base::Result<HttpResponse> Exchange(const base::Context& ctx, const EngineEndpoint& endpoint,
                                    const HttpRequest& request, const HttpOptions& options = {});

// Percent-encodes all but unreserved characters.
std::string EscapeUrl(std::string_view text);
// The same, but leaves '/' and ':' (image references in a path).
std::string EscapePath(std::string_view text);

}  // namespace oms::drivers::docker

// One HTTP/1.1 exchange with a Docker Engine on a connection of its own.
//
// Never repeated by itself: a POST that was sent may have been done, whatever came back. Beast's
// parser is in the .cc only, and is fed by hand, so that it does not meet the stream's type.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/http/http_stream.h"

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

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // Lower-case names.
  std::string body;
};

struct HttpOptions {
  // Asked once the header is there; an error ends the exchange with it.
  std::function<base::Status(const HttpResponse&)> on_header;
  // Takes the body of an answer with status 200 piece by piece, instead of HttpResponse::body.
  std::function<base::Status(std::string_view)> sink;
  // An answer that is longer than this, and not taken by `sink`, is kInvalid. An inspect document
  // has some ten KB.
  uint64_t body_limit = 4u << 20;
};

// Any status is a success here. An answer that ends too early is kTransient "EngineUnreachable".
base::Result<HttpResponse> Exchange(const base::Context& ctx, const http::EngineEndpoint& endpoint,
                                    const HttpRequest& request, const HttpOptions& options = {});

// Percent-encodes all but unreserved characters.
std::string EscapeUrl(std::string_view text);
// The same, but leaves '/' and ':' (image references in a path).
std::string EscapePath(std::string_view text);

}  // namespace oms::drivers::docker

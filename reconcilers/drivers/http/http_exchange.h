// One question by HTTP/1.1, over a connection of its own, with TLS where that is asked for. All
// addresses of a name are tried.
#pragma once

#include <optional>
#include <string>

#include "controller/base/context.h"
#include "reconcilers/ports/http_probe.h"

namespace oms::drivers::http {

struct HttpQuestion {
  std::string method = "GET";
  std::string host;
  int port = 0;
  std::string path;
  std::string headers;  // More of them, each with its line's end.
  std::string body;
  std::optional<ports::HttpsTrust> https;
  size_t most_bytes = 64UL * 1024;  // Of the answer's body; it is cut there.
};

// Errors as ports::HttpProbe::Get. kTransient, too, for an answer that ends before its own end: one
// with a length, or in chunks. (Where it has neither, nobody can tell.)
base::Result<ports::HttpAnswer> HttpExchange(const base::Context& ctx, const HttpQuestion& ask);

}  // namespace oms::drivers::http

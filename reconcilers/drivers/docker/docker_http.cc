#include "reconcilers/drivers/docker/docker_http.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>
#include <vector>

#include "crd/reasons.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

constexpr size_t kBufferSize = 128u << 10;

std::string RequestHead(const EngineEndpoint& endpoint, const HttpRequest& request) {
  std::string host = "docker";
  if (!endpoint.is_unix) {
    host = endpoint.host.find(':') == std::string::npos ? endpoint.host : "[" + endpoint.host + "]";
    host += ":" + endpoint.port;
  }
  std::string head = fmt::format(
      "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: oms-upgrade-controller\r\nConnection: close\r\n",
      request.method, request.target, host);
  if (!request.content_type.empty()) {
    head += fmt::format("Content-Type: {}\r\n", request.content_type);
  }
  if (request.method != "GET" && request.method != "HEAD") {
    head += fmt::format("Content-Length: {}\r\n",
                        request.source ? request.source_size : request.body.size());
  }
  return head + "\r\n";
}

Status SendSource(const Context& ctx, http::HttpStream& stream, const HttpRequest& request) {
  std::vector<char> buffer(kBufferSize);
  uint64_t left = request.source_size;
  while (left > 0) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(left, buffer.size()));
    OMS_ASSIGN(const size_t got, request.source(buffer.data(), want));
    if (got == 0) return MakeError(Code::kInternal, "the body is shorter than announced");
    OMS_TRY(stream.Write(ctx, {buffer.data(), got}));
    left -= got;
  }
  return base::Ok();
}

base::Error Broken(const EngineEndpoint& endpoint, std::string_view why) {
  return MakeError(Code::kTransient, crd::reason::kEngineUnreachable,
                   fmt::format("the answer of the Docker Engine at {} was cut off ({}); check that "
                               "the daemon still runs",
                               endpoint.text, why));
}

}  // namespace

Result<HttpResponse> Exchange(const Context& ctx, const EngineEndpoint& endpoint,
                              const HttpRequest& request, const HttpOptions& options) {
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(auto stream, ConnectToEngine(ctx, endpoint));
  // A peer that refuses us answers and closes, perhaps before it has read what we send: then the
  // write fails, and what it said (a status, or with TLS 1.3 that it does not take our certificate)
  // is still there to be read.
  const auto may_have_answered = [](const Status& status) {
    return status.ok() || (status.Is(Code::kTransient) &&
                           status.error().reason == crd::reason::kEngineUnreachable);
  };
  Status sent = stream->Write(ctx, RequestHead(endpoint, request) + request.body);
  if (sent.ok() && request.source) sent = SendSource(ctx, *stream, request);
  if (!may_have_answered(sent)) return sent.error();

  http::ResponseOptions reading = options;
  if (!reading.too_long) {
    reading.too_long = [&options] {
      return MakeError(Code::kInvalid, crd::reason::kEngineAnswerTooLong,
                       fmt::format("the Docker Engine's answer is longer than {} MiB",
                                   options.body_limit >> 20));
    };
  }
  return http::ReadResponse(
      ctx, *stream, reading, sent,
      [&](http::BadAnswer, std::string_view why) { return Broken(endpoint, why); });
}

namespace {

std::string Escape(std::string_view text, std::string_view also_plain) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' ||
                       c == '.' || c == '~' || also_plain.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

std::string EscapeUrl(std::string_view text) { return Escape(text, ""); }
std::string EscapePath(std::string_view text) { return Escape(text, "/:"); }

}  // namespace oms::drivers::docker

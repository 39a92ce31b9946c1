#include "reconcilers/drivers/docker/docker_http.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cctype>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "crd/reasons.h"

namespace oms::drivers::docker {
namespace {

namespace beast = boost::beast;
using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using beast::error_code;

constexpr size_t kBufferSize = 128u << 10;

// Beast's parser with the body handed on as it comes.
class ResponseParser final : public beast::http::basic_parser<false> {
 public:
  explicit ResponseParser(const HttpOptions& options) : options_(options) {
    eager(true);
    // Not boost::none: Beast 1.74 compares a Content-Length with it, and finds it too long.
    body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  HttpResponse& response() { return response_; }
  const std::optional<base::Error>& refused() const { return refused_; }

 private:
  void on_request_impl(beast::http::verb, beast::string_view, beast::string_view, int,
                       error_code&) override {}
  void on_response_impl(int code, beast::string_view, int, error_code&) override {
    response_.status = code;
  }
  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value,
                     error_code&) override {
    std::string key(name.data(), name.size());
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    response_.headers[key].assign(value.data(), value.size());
  }
  void on_header_impl(error_code& ec) override {
    if (options_.on_header) Refuse(options_.on_header(response_), ec);
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(beast::string_view body, error_code& ec) override {
    Take({body.data(), body.size()}, ec);
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code& ec) override {
    Take({body.data(), body.size()}, ec);
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  void Take(std::string_view piece, error_code& ec) {
    if (piece.empty()) return;
    if (options_.sink && response_.status == 200) {
      Refuse(options_.sink(piece), ec);
    } else if (response_.body.size() + piece.size() > options_.body_limit) {
      Refuse(MakeError(Code::kInvalid, crd::reason::kEngineAnswerTooLong,
                       fmt::format("the Docker Engine's answer is longer than {} MiB",
                                   options_.body_limit >> 20)),
             ec);
    } else {
      response_.body.append(piece);
    }
  }
  void Refuse(const Status& status, error_code& ec) {
    if (status.ok()) return;
    refused_ = status.error();
    ec = beast::http::error::bad_value;  // Any error makes the parser stop; refused_ says which.
  }

  const HttpOptions& options_;
  HttpResponse response_;
  std::optional<base::Error> refused_;
};

std::string RequestHead(const http::EngineEndpoint& endpoint, const HttpRequest& request) {
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

base::Error Broken(const http::EngineEndpoint& endpoint, std::string_view why) {
  return MakeError(Code::kTransient, crd::reason::kEngineUnreachable,
                   fmt::format("the answer of the Docker Engine at {} was cut off ({}); check that "
                               "the daemon still runs",
                               endpoint.text, why));
}

}  // namespace

Result<HttpResponse> Exchange(const Context& ctx, const http::EngineEndpoint& endpoint,
                              const HttpRequest& request, const HttpOptions& options) {
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(auto stream, http::ConnectToEngine(ctx, endpoint));
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

  ResponseParser parser(options);
  std::vector<char> buffer(kBufferSize);
  size_t filled = 0;
  bool end = false;
  while (!parser.is_done() && !end) {
    auto got = stream->Read(ctx, buffer.data() + filled, buffer.size() - filled);
    if (!got.ok()) return sent.ok() || got.Is(Code::kDenied) ? got.error() : sent.error();
    end = got.value() == 0;
    filled += got.value();
    // put() may leave bytes (a header or a chunk's head that is not complete): they stay in front.
    size_t used = 0;
    while (used < filled && !parser.is_done()) {
      error_code ec;
      const size_t n =
          parser.put(boost::asio::const_buffer(buffer.data() + used, filled - used), ec);
      if (parser.refused()) return *parser.refused();
      used += n;
      if (ec == beast::http::error::need_more) break;
      if (ec) return Broken(endpoint, ec.message());
      if (n == 0) break;
    }
    std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(used),
              buffer.begin() + static_cast<std::ptrdiff_t>(filled), buffer.begin());
    filled -= used;
    if (filled == buffer.size()) return Broken(endpoint, "a header that does not end");
  }
  if (!parser.is_done()) {
    if (!parser.got_some()) {
      return sent.ok() ? Broken(endpoint, "no answer came") : sent.error();
    }
    error_code ec;
    parser.put_eof(ec);  // The end of a body without length is the end of the stream.
    if (ec) return Broken(endpoint, "it ended in the middle");
  }
  return std::move(parser.response());
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

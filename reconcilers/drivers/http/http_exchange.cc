#include "reconcilers/drivers/http/http_exchange.h"

#include <fmt/format.h>

#include <memory>
#include <string_view>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/http/http_response.h"
#include "reconcilers/drivers/http/http_stream.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using base::MakeError;

class Words final : public StreamWords {
 public:
  explicit Words(const HttpQuestion& ask) : where_(fmt::format("{}:{}", ask.host, ask.port)) {}

  base::Error Unreachable(std::string_view why) const override {
    return MakeError(Code::kTransient, crd::inner_reason::kRefused,
                     fmt::format("nothing answers at {} ({})", where_, why));
  }
  base::Error Forbidden() const override { return Unreachable("not allowed"); }
  base::Error Late() const override {
    return MakeError(Code::kTimeout, "the time for this was used up");
  }
  base::Error Broken(std::string_view why) const override {
    return MakeError(Code::kTransient, fmt::format("the connection broke ({})", why));
  }
  base::Error TlsFailed(std::string_view ssl, std::string_view certificate) const override {
    return certificate.empty() ? TlsBroken(ssl) : Untrusted(certificate);
  }
  base::Error TlsBroken(std::string_view why) const override {
    return MakeError(Code::kTransient, crd::inner_reason::kRefused,
                     fmt::format("the server there does not speak HTTPS ({})", why));
  }
  base::Error TlsUnusable(base::TlsFault) const override {
    return Untrusted("there is no certificate to compare it with");
  }

 private:
  static base::Error Untrusted(std::string_view why) {
    return MakeError(Code::kTransient, crd::reason::kCertificateUntrusted,
                     fmt::format("its HTTPS certificate is not trusted: {}", why));
  }

  const std::string where_;
};

base::Error Broken(BadAnswer kind, std::string_view why) {
  return MakeError(Code::kTransient, kind == BadAnswer::kEndsEarly
                                         ? fmt::format("the answer was cut off ({})", why)
                                         : "the server there does not speak HTTP");
}

}  // namespace

base::Result<ports::HttpAnswer> HttpExchange(const base::Context& ctx, const HttpQuestion& ask) {
  OMS_TRY(ctx.Check());
  StreamTls tls;
  if (ask.https) {
    tls.ca = ask.https->certificates;
    tls.name = ask.https->server_name;
  }
  OMS_ASSIGN(const auto stream,
             ConnectByTcp(ctx, {ask.host, std::to_string(ask.port), ask.https ? &tls : nullptr},
                          std::make_shared<Words>(ask)));
  const bool v6 = ask.host.find(':') != std::string::npos;
  const base::Status sent = stream->Write(
      ctx, fmt::format("{} {} HTTP/1.1\r\nHost: {}{}{}:{}\r\nUser-Agent: oms-upgrade-controller\r\n"
                       "Connection: close\r\n{}\r\n{}",
                       ask.method, ask.path, v6 ? "[" : "", ask.host, v6 ? "]" : "", ask.port,
                       ask.headers, ask.body));
  // What it said before it closed is still there to be read.
  if (!sent.ok() && !sent.Is(Code::kTransient)) return sent.error();
  ResponseOptions options;
  options.body_limit = ask.most_bytes;
  OMS_ASSIGN(auto answer, ReadResponse(ctx, *stream, options, sent, Broken));
  return ports::HttpAnswer{answer.status, std::move(answer.body)};
}

}  // namespace oms::drivers::http

#include "reconcilers/drivers/docker/engine_endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "crd/reasons.h"

namespace oms::drivers::docker {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;

namespace {

constexpr base::Duration kConnectTimeout = std::chrono::seconds(10);

class EngineWords final : public http::StreamWords {
 public:
  explicit EngineWords(const EngineEndpoint& endpoint)
      : text_(endpoint.text), host_(endpoint.host), is_unix_(endpoint.is_unix) {}

  base::Error Unreachable(std::string_view why) const override {
    return MakeError(Code::kTransient, crd::reason::kEngineUnreachable,
                     fmt::format("no Docker Engine answers at {} ({}); check that the daemon runs "
                                 "and that the endpoint is right",
                                 text_, why));
  }
  base::Error Forbidden() const override {
    return MakeError(Code::kDenied, crd::reason::kEngineDenied,
                     fmt::format("this controller may not open the socket {}; run it as a user "
                                 "or group that owns the socket (usually the group docker)",
                                 text_));
  }
  base::Error Late() const override {
    return MakeError(Code::kTimeout,
                     fmt::format("the Docker Engine at {} did not answer in time", text_));
  }
  base::Error Broken(std::string_view why) const override {
    return MakeError(
        Code::kTransient, crd::reason::kEngineUnreachable,
        fmt::format("the connection to the Docker Engine at {} broke ({}); check that "
                    "the daemon still runs{}",
                    text_, why, is_unix_ ? "" : " and accepts the client certificate"));
  }
  // OpenSSL's words are names of protocol errors only, never key material.
  base::Error TlsFailed(std::string_view ssl, std::string_view) const override {
    return MakeError(
        Code::kDenied, crd::reason::kEngineTls,
        fmt::format("TLS with the Docker Engine at {} was refused ({}); check that ca.pem signed "
                    "the engine's certificate, that this certificate names {}, and that the engine "
                    "accepts the client certificate",
                    text_, ssl, host_));
  }
  // An engine that is just being started or stopped does that too.
  base::Error TlsBroken(std::string_view why) const override { return Unreachable(why); }
  base::Error TlsUnusable(base::TlsFault fault) const override {
    const auto which = [&] {
      switch (fault) {
        case base::TlsFault::kNoCa: return "ca.pem";
        case base::TlsFault::kCertificateUnreadable:
        case base::TlsFault::kCertificateUnusable: return "cert.pem";
        default: return "key.pem, or its match with cert.pem,";
      }
    };
    return MakeError(Code::kInvalid, crd::reason::kEngineTls,
                     fmt::format("{} for the Docker Engine at {} cannot be read; write PEM text",
                                 which(), text_));
  }

 private:
  const std::string text_, host_;
  const bool is_unix_;
};

}  // namespace

Result<EngineEndpoint> ParseEndpoint(const ports::EngineAddress& address) {
  EngineEndpoint endpoint;
  endpoint.text = address.endpoint;
  const std::string_view text = address.endpoint;
  const auto invalid = [&](std::string_view why) {
    return MakeError(Code::kInvalid, crd::reason::kEngineEndpoint,
                     fmt::format("the engine endpoint \"{}\" cannot be used: {}; write "
                                 "unix:///var/run/docker.sock or tcp://host:2376",
                                 address.endpoint, why));
  };
  if (text.starts_with("unix://")) {
    endpoint.is_unix = true;
    endpoint.path = text.substr(7);
    if (!endpoint.path.starts_with('/')) return invalid("the path is not absolute");
    // sockaddr_un has room for 107 bytes; Asio would throw.
    if (endpoint.path.size() > 107) return invalid("the path is longer than 107 bytes");
    if (endpoint.path.find('\0') != std::string::npos) return invalid("the path contains a NUL");
    return endpoint;
  }
  if (!text.starts_with("tcp://")) return invalid("it is neither unix:// nor tcp://");
  std::string_view rest = text.substr(6);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return invalid("host or port is missing");
  endpoint.host = rest.substr(0, colon);
  endpoint.port = rest.substr(colon + 1);
  if (endpoint.host.starts_with('[') && endpoint.host.ends_with(']')) {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  }
  const bool digits = !endpoint.port.empty() && endpoint.port.size() <= 5 &&
                      std::all_of(endpoint.port.begin(), endpoint.port.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return invalid("the port is not a number");
  if (endpoint.host.empty() || endpoint.host.find_first_of("/@ \t\r\n") != std::string::npos) {
    return invalid("the host is not a name or an address");
  }
  if (address.tls_ca.empty() || address.tls_cert.empty() || address.tls_key.empty()) {
    return MakeError(Code::kInvalid, crd::reason::kEngineTls,
                     fmt::format("the Docker Engine at {} is reached over TCP, so ca.pem, cert.pem "
                                 "and key.pem are needed; name the Secret in engine.tls.secretRef",
                                 address.endpoint));
  }
  endpoint.tls_ca = address.tls_ca;
  endpoint.tls_cert = address.tls_cert;
  endpoint.tls_key = address.tls_key;
  return endpoint;
}

Result<std::unique_ptr<http::HttpStream>> ConnectToEngine(const Context& ctx,
                                                          const EngineEndpoint& endpoint) {
  const auto words = std::make_shared<EngineWords>(endpoint);
  const Context limited = ctx.WithTimeout(kConnectTimeout);
  auto stream = [&] {
    if (endpoint.is_unix) return http::ConnectByUnix(limited, endpoint.path, words);
    const http::StreamTls tls{endpoint.tls_ca.Reveal(), endpoint.host, endpoint.tls_cert.Reveal(),
                              endpoint.tls_key};
    return http::ConnectByTcp(limited, {endpoint.host, endpoint.port, &tls}, words);
  }();
  // Passing that limit means that it cannot be reached.
  if (stream.Is(Code::kTimeout) && ctx.Remaining() > base::Duration(0)) {
    return words->Unreachable("no connection within 10 s");
  }
  return stream;
}

}  // namespace oms::drivers::docker

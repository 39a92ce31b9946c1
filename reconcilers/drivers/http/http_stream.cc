#include "reconcilers/drivers/http/http_stream.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <utility>  // Before Asio: 1.74 uses std::exchange without it.

#include "crd/reasons.h"

namespace oms::drivers::http {
namespace {

namespace asio = boost::asio;
using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using boost::system::error_code;

constexpr base::Duration kConnectTimeout = std::chrono::seconds(10);
// A wait is cut in pieces, so that a deadline on a clock that is not the machine's is seen too.
constexpr base::Duration kSlice = std::chrono::milliseconds(200);

base::Error Unreachable(const EngineEndpoint& endpoint, std::string_view why) {
  return MakeError(Code::kTransient, crd::reason::kEngineUnreachable,
                   fmt::format("no Docker Engine answers at {} ({}); check that the daemon runs "
                               "and that the endpoint is right",
                               endpoint.text, why));
}

// The text of an SSL error holds names of protocol errors only, never key material.
base::Error TlsRefused(const EngineEndpoint& endpoint, std::string_view why) {
  return MakeError(
      Code::kDenied, crd::reason::kEngineTls,
      fmt::format("TLS with the Docker Engine at {} was refused ({}); check that ca.pem signed the "
                  "engine's certificate, that this certificate names {}, and that the engine "
                  "accepts the client certificate",
                  endpoint.text, why, endpoint.host));
}

bool IsTlsError(const error_code& ec) {
  return ec.category() == asio::error::get_ssl_category() &&
         ec != asio::ssl::error::stream_truncated;
}

// Everything but the socket itself: runs one operation to its end, its deadline or its stop.
class StreamBase : public HttpStream {
 public:
  explicit StreamBase(const EngineEndpoint& endpoint) : endpoint_(endpoint) {}

  Result<size_t> Read(const Context& ctx, char* data, size_t size) override {
    const Outcome outcome =
        RunOperation(ctx, [&](Handler done) { StartRead(data, size, std::move(done)); });
    if (!outcome.interrupted.ok()) return outcome.interrupted.error();
    if (outcome.ec == asio::error::eof || outcome.ec == asio::ssl::error::stream_truncated) {
      return size_t{0};
    }
    if (outcome.ec) return Failed(outcome.ec);
    return outcome.bytes;
  }

  Status Write(const Context& ctx, std::string_view data) override {
    const Outcome outcome =
        RunOperation(ctx, [&](Handler done) { StartWrite(data, std::move(done)); });
    if (!outcome.interrupted.ok()) return outcome.interrupted.error();
    if (outcome.ec) return Failed(outcome.ec);
    return base::Ok();
  }

 protected:
  using Handler = std::function<void(error_code, size_t)>;
  struct Outcome {
    Status interrupted;  // Not ok: the context ended it.
    error_code ec;
    size_t bytes = 0;
  };

  Outcome RunOperation(const Context& ctx, const std::function<void(Handler)>& start) {
    if (auto check = ctx.Check(); !check.ok()) return {check, {}, 0};
    bool done = false;
    bool expired = false;
    Outcome outcome;
    io_.restart();
    start([&](error_code ec, size_t bytes) {
      done = true;
      outcome.ec = ec;
      outcome.bytes = bytes;
    });
    {
      // Posted, so that the socket is only ever touched by the thread that runs io_.
      std::stop_callback on_stop(ctx.stop(), [this] {
        asio::post(io_, [this] {
          stopped_ = true;
          Close();
        });
      });
      while (!done) {
        const base::Duration left = ctx.Remaining();
        if (left <= base::Duration(0) && !expired) {
          expired = true;
          Close();
        }
        io_.restart();
        io_.run_one_for(expired ? kSlice : std::min(left, kSlice));
      }
    }
    if (!outcome.ec) return outcome;
    if (stopped_) {
      outcome.interrupted = MakeError(Code::kCancelled, "stopping");
    } else if (expired) {
      outcome.interrupted =
          MakeError(Code::kTimeout,
                    fmt::format("the Docker Engine at {} did not answer in time", endpoint_.text));
    }
    return outcome;
  }

  virtual void Close() = 0;
  virtual void StartRead(char* data, size_t size, Handler done) = 0;
  virtual void StartWrite(std::string_view data, Handler done) = 0;

  const EngineEndpoint& endpoint() const { return endpoint_; }
  asio::io_context& io() { return io_; }

 private:
  base::Error Failed(const error_code& ec) const {
    if (IsTlsError(ec)) return TlsRefused(endpoint_, ec.message());
    return MakeError(Code::kTransient, crd::reason::kEngineUnreachable,
                     fmt::format("the connection to the Docker Engine at {} broke ({}); check that "
                                 "the daemon still runs{}",
                                 endpoint_.text, ec.message(),
                                 endpoint_.is_unix ? "" : " and accepts the client certificate"));
  }

  EngineEndpoint endpoint_;
  asio::io_context io_{1};
  bool stopped_ = false;  // Written and read by the calling thread only.
};

class UnixStream final : public StreamBase {
 public:
  using StreamBase::StreamBase;

  Status Connect(const Context& ctx) {
    const Outcome outcome = RunOperation(ctx, [&](Handler done) {
      socket_.async_connect(asio::local::stream_protocol::endpoint(endpoint().path),
                            [done](error_code ec) { done(ec, 0); });
    });
    if (!outcome.interrupted.ok()) return outcome.interrupted;
    if (!outcome.ec) return base::Ok();
    if (outcome.ec == boost::system::errc::permission_denied) {
      return MakeError(Code::kDenied, crd::reason::kEngineDenied,
                       fmt::format("this controller may not open the socket {}; run it as a user "
                                   "or group that owns the socket (usually the group docker)",
                                   endpoint().text));
    }
    return Unreachable(endpoint(), outcome.ec.message());
  }

 protected:
  void Close() override {
    error_code ignored;
    socket_.close(ignored);
  }
  void StartRead(char* data, size_t size, Handler done) override {
    socket_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void StartWrite(std::string_view data, Handler done) override {
    asio::async_write(socket_, asio::buffer(data.data(), data.size()), std::move(done));
  }

 private:
  asio::local::stream_protocol::socket socket_{io()};
};

// The context that verifies the engine by the given CA alone: a fresh SSL_CTX trusts nobody, and
// the system's CAs are not asked.
Result<std::unique_ptr<asio::ssl::context>> MakeTlsContext(const EngineEndpoint& endpoint) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  const auto invalid = [&](std::string_view which) {
    return MakeError(Code::kInvalid, crd::reason::kEngineTls,
                     fmt::format("{} for the Docker Engine at {} cannot be read; write PEM text",
                                 which, endpoint.text));
  };
  error_code ec;
  context->set_verify_mode(asio::ssl::verify_peer, ec);
  if (ec) return invalid("the TLS verify mode");
  const auto buffer = [](const base::Secret& pem) {
    return asio::buffer(pem.Reveal().data(), pem.Reveal().size());
  };
  if (context->add_certificate_authority(buffer(endpoint.tls_ca), ec)) return invalid("ca.pem");
  if (context->use_certificate_chain(buffer(endpoint.tls_cert), ec)) return invalid("cert.pem");
  if (context->use_private_key(buffer(endpoint.tls_key), asio::ssl::context::pem, ec)) {
    return invalid("key.pem, or its match with cert.pem,");
  }
  return context;
}

class TlsStream final : public StreamBase {
 public:
  TlsStream(const EngineEndpoint& endpoint, std::unique_ptr<asio::ssl::context> context)
      : StreamBase(endpoint), context_(std::move(context)), socket_(io(), *context_) {}

  Status Connect(const Context& ctx) {
    asio::ip::tcp::resolver::results_type addresses;
    Outcome outcome = RunOperation(ctx, [&](Handler done) {
      resolver_.async_resolve(endpoint().host, endpoint().port,
                              [&addresses, done](error_code ec, auto results) {
                                addresses = std::move(results);
                                done(ec, 0);
                              });
    });
    if (!outcome.interrupted.ok()) return outcome.interrupted;
    if (outcome.ec) return Unreachable(endpoint(), outcome.ec.message());

    outcome = RunOperation(ctx, [&](Handler done) {
      asio::async_connect(socket_.next_layer(), addresses,
                          [done](error_code ec, const asio::ip::tcp::endpoint&) { done(ec, 0); });
    });
    if (!outcome.interrupted.ok()) return outcome.interrupted;
    if (outcome.ec) return Unreachable(endpoint(), outcome.ec.message());
    DetectDeadPeers();

    error_code ec, not_an_address;
    asio::ip::make_address(endpoint().host, not_an_address);
    socket_.set_verify_callback(asio::ssl::host_name_verification(endpoint().host), ec);
    // A server name indication is for names only (RFC 6066).
    if (ec || (not_an_address &&
               !SSL_set_tlsext_host_name(socket_.native_handle(), endpoint().host.c_str()))) {
      return TlsRefused(endpoint(), "the host name cannot be used");
    }
    outcome = RunOperation(ctx, [&](Handler done) {
      socket_.async_handshake(asio::ssl::stream_base::client,
                              [done](error_code result) { done(result, 0); });
    });
    if (!outcome.interrupted.ok()) return outcome.interrupted;
    if (IsTlsError(outcome.ec)) return TlsRefused(endpoint(), outcome.ec.message());
    if (outcome.ec) return Unreachable(endpoint(), outcome.ec.message());
    return base::Ok();
  }

 protected:
  void Close() override {
    error_code ignored;
    resolver_.cancel();
    socket_.next_layer().close(ignored);
  }
  void StartRead(char* data, size_t size, Handler done) override {
    socket_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void StartWrite(std::string_view data, Handler done) override {
    asio::async_write(socket_, asio::buffer(data.data(), data.size()), std::move(done));
  }

 private:
  // A wait or an exec may be silent for hours; a host that vanished is seen after a minute.
  void DetectDeadPeers() {
    const int fd = socket_.next_layer().native_handle();
    const int on = 1, idle = 30, interval = 10, count = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  }

  std::unique_ptr<asio::ssl::context> context_;
  asio::ip::tcp::resolver resolver_{io()};
  asio::ssl::stream<asio::ip::tcp::socket> socket_;
};

// The stream's own Connect, with a limit of its own; passing that limit means "unreachable".
template <typename Stream>
Result<std::unique_ptr<HttpStream>> Connected(const Context& ctx, const EngineEndpoint& endpoint,
                                              std::unique_ptr<Stream> stream) {
  auto status = stream->Connect(ctx.WithTimeout(kConnectTimeout));
  if (status.Is(Code::kTimeout) && ctx.Remaining() > base::Duration(0)) {
    return Unreachable(endpoint, "no connection within 10 s");
  }
  OMS_TRY(status);
  return std::unique_ptr<HttpStream>(std::move(stream));
}

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

Result<std::unique_ptr<HttpStream>> ConnectToEngine(const Context& ctx,
                                                    const EngineEndpoint& endpoint) {
  if (endpoint.is_unix) {
    return Connected(ctx, endpoint, std::make_unique<UnixStream>(endpoint));
  }
  OMS_ASSIGN(auto context, MakeTlsContext(endpoint));
  return Connected(ctx, endpoint, std::make_unique<TlsStream>(endpoint, std::move(context)));
}

}  // namespace oms::drivers::http

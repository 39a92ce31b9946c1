#include "reconcilers/drivers/http/http_stream.h"

#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <optional>
#include <utility>  // Before Asio: 1.74 uses std::exchange without it.

namespace oms::drivers::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using boost::system::error_code;

// A wait is cut in pieces, so that a deadline on a clock that is not the machine's is seen too.
constexpr base::Duration kSlice = std::chrono::milliseconds(200);

// HTTP/1.0 ends with the connection, and not each server says so by TLS's own means.
bool IsEnd(const error_code& ec) {
  return ec == asio::error::eof || ec == asio::ssl::error::stream_truncated;
}
bool IsTlsError(const error_code& ec) {
  return ec.category() == asio::error::get_ssl_category() && !IsEnd(ec);
}

// Everything but the socket itself: runs one operation to its end, its deadline or its stop.
class StreamBase : public HttpStream {
 public:
  explicit StreamBase(std::shared_ptr<const StreamWords> words) : words_(std::move(words)) {}

  Result<size_t> Read(const Context& ctx, char* data, size_t size) override {
    const Outcome outcome =
        RunOperation(ctx, [&](Handler done) { StartRead(data, size, std::move(done)); });
    if (!outcome.interrupted.ok()) return outcome.interrupted.error();
    if (IsEnd(outcome.ec)) return size_t{0};
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
      outcome.interrupted = words_->Late();
    }
    return outcome;
  }

  virtual void Close() = 0;
  virtual void StartRead(char* data, size_t size, Handler done) = 0;
  virtual void StartWrite(std::string_view data, Handler done) = 0;

  const StreamWords& words() const { return *words_; }
  asio::io_context& io() { return io_; }

 private:
  base::Error Failed(const error_code& ec) const {
    return IsTlsError(ec) ? words_->TlsFailed(ec.message(), {}) : words_->Broken(ec.message());
  }

  const std::shared_ptr<const StreamWords> words_;
  asio::io_context io_{1};
  bool stopped_ = false;  // Written and read by the calling thread only.
};

class UnixStream final : public StreamBase {
 public:
  using StreamBase::StreamBase;

  Status Connect(const Context& ctx, const std::string& path) {
    const Outcome outcome = RunOperation(ctx, [&](Handler done) {
      socket_.async_connect(asio::local::stream_protocol::endpoint(path),
                            [done](error_code ec) { done(ec, 0); });
    });
    if (!outcome.interrupted.ok()) return outcome.interrupted;
    if (!outcome.ec) return base::Ok();
    if (outcome.ec == boost::system::errc::permission_denied) return words().Forbidden();
    return words().Unreachable(outcome.ec.message());
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

// What plain TCP and TLS have in common: the way to the host.
class NetStream : public StreamBase {
 public:
  using StreamBase::StreamBase;

 protected:
  // The addresses of the name, one after the other. One that does not answer has its share of the
  // time and no more.
  Status Reach(const Context& ctx, const TcpPeer& peer, tcp::socket& socket) {
    tcp::resolver::results_type addresses;
    const Outcome found = RunOperation(ctx, [&](Handler done) {
      resolver_.async_resolve(peer.host, peer.port, tcp::resolver::numeric_service,
                              [&addresses, done](error_code ec, auto results) {
                                addresses = std::move(results);
                                done(ec, 0);
                              });
    });
    if (!found.interrupted.ok()) return found.interrupted;
    if (found.ec) return words().Unreachable(found.ec.message());

    base::Error last = words().Unreachable("it has no address");
    auto left = static_cast<int64_t>(addresses.size());
    for (const auto& address : addresses) {
      const Context share = ctx.WithTimeout(base::Duration(ctx.Remaining().count() / left--));
      error_code ignored;
      socket.close(ignored);
      const Outcome reached = RunOperation(share, [&](Handler done) {
        socket.async_connect(address.endpoint(), [done](error_code ec) { done(ec, 0); });
      });
      if (reached.interrupted.ok() && !reached.ec) {
        DetectDeadPeers(socket);
        return base::Ok();
      }
      OMS_TRY(ctx.Stopped() || left == 0 ? reached.interrupted : base::Ok());
      last = words().Unreachable(reached.ec.message());
    }
    return last;
  }

  tcp::resolver resolver_{io()};

 private:
  // A wait or an exec may be silent for hours; a host that vanished is seen after a minute.
  static void DetectDeadPeers(tcp::socket& socket) {
    const int fd = socket.native_handle();
    const int on = 1, idle = 30, interval = 10, count = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  }
};

class TcpStream final : public NetStream {
 public:
  using NetStream::NetStream;

  Status Connect(const Context& ctx, const TcpPeer& peer) { return Reach(ctx, peer, socket_); }

 protected:
  void Close() override {
    error_code ignored;
    resolver_.cancel();
    socket_.close(ignored);
  }
  void StartRead(char* data, size_t size, Handler done) override {
    socket_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void StartWrite(std::string_view data, Handler done) override {
    asio::async_write(socket_, asio::buffer(data.data(), data.size()), std::move(done));
  }

 private:
  tcp::socket socket_{io()};
};

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

Certificate FirstOf(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  return {PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), &X509_free};
}

class TlsStream final : public NetStream {
 public:
  explicit TlsStream(std::shared_ptr<const StreamWords> words) : NetStream(std::move(words)) {}

  Status Connect(const Context& ctx, const TcpPeer& peer) {
    const StreamTls& tls = *peer.tls;
    const auto fault = base::SetUpTlsClient(
        context_.native_handle(),
        {.ca = tls.ca, .certificates = tls.certificates, .key = tls.key.Reveal()});
    if (fault != base::TlsFault::kNone) return words().TlsUnusable(fault);
    socket_.emplace(io(), context_);
    const bool pinned = tls.name.empty();
    if (pinned) {
      SSL_set_verify(socket_->native_handle(), SSL_VERIFY_NONE, nullptr);
    } else if (!AskFor(tls.name)) {
      return words().TlsFailed("the host name cannot be used",
                               "no certificate can carry this name");
    }
    OMS_TRY(Reach(ctx, peer, socket_->next_layer()));
    const Outcome shaken = RunOperation(ctx, [&](Handler done) {
      socket_->async_handshake(asio::ssl::stream_base::client,
                               [done](error_code result) { done(result, 0); });
    });
    if (!shaken.interrupted.ok()) return shaken.interrupted;
    if (shaken.ec) return NotShaken(shaken.ec);
    if (!pinned) return base::Ok();
    const Certificate meant = FirstOf(tls.ca);
    const Certificate peers(SSL_get1_peer_certificate(socket_->native_handle()), &X509_free);
    if (peers && meant && X509_cmp(peers.get(), meant.get()) == 0) return base::Ok();
    return words().TlsFailed({},
                             "it differs from the certificate that is mounted into the container");
  }

 protected:
  void Close() override {
    error_code ignored;
    resolver_.cancel();
    if (socket_) socket_->next_layer().close(ignored);
  }
  void StartRead(char* data, size_t size, Handler done) override {
    socket_->async_read_some(asio::buffer(data, size), std::move(done));
  }
  void StartWrite(std::string_view data, Handler done) override {
    asio::async_write(*socket_, asio::buffer(data.data(), data.size()), std::move(done));
  }

 private:
  // False: it cannot be asked for, and any name would do.
  bool AskFor(const std::string& name) {
    SSL* ssl = socket_->native_handle();
    error_code not_an_address;
    asio::ip::make_address(name, not_an_address);
    if (!not_an_address) {
      return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1;
    }
    // A server name indication is for names only (RFC 6066).
    return SSL_set_tlsext_host_name(ssl, name.c_str()) == 1 &&
           SSL_set1_host(ssl, name.c_str()) == 1;
  }

  base::Error NotShaken(const error_code& ec) {
    const long verified = SSL_get_verify_result(socket_->native_handle());
    if (IsTlsError(ec)) {
      return words().TlsFailed(
          ec.message(), verified == X509_V_OK ? "" : X509_verify_cert_error_string(verified));
    }
    return words().TlsBroken(IsEnd(ec) ? "the connection ended" : ec.message());
  }

  asio::ssl::context context_{asio::ssl::context::tls_client};
  std::optional<asio::ssl::stream<tcp::socket>> socket_;
};

}  // namespace

Result<std::unique_ptr<HttpStream>> ConnectByTcp(const Context& ctx, const TcpPeer& peer,
                                                 std::shared_ptr<const StreamWords> words) {
  if (peer.tls != nullptr) {
    auto stream = std::make_unique<TlsStream>(std::move(words));
    OMS_TRY(stream->Connect(ctx, peer));
    return std::unique_ptr<HttpStream>(std::move(stream));
  }
  auto stream = std::make_unique<TcpStream>(std::move(words));
  OMS_TRY(stream->Connect(ctx, peer));
  return std::unique_ptr<HttpStream>(std::move(stream));
}

Result<std::unique_ptr<HttpStream>> ConnectByUnix(const Context& ctx, const std::string& path,
                                                  std::shared_ptr<const StreamWords> words) {
  auto stream = std::make_unique<UnixStream>(std::move(words));
  OMS_TRY(stream->Connect(ctx, path));
  return std::unique_ptr<HttpStream>(std::move(stream));
}

}  // namespace oms::drivers::http

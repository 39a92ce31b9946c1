// HttpStream: one connection, over a unix socket, over TCP, or over TCP with TLS.
//
// Blocking calls for worker threads; inside, one asynchronous operation at a time on a private
// io_context (as in Asio's blocking_tcp_client example), so that each of them ends at the context's
// deadline and when the context is stopped (kCancelled). Boost.Asio is in the .cc only. Not
// thread-safe: a stream belongs to one call.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "controller/base/tls.h"

namespace oms::drivers::http {

class HttpStream {
 public:
  virtual ~HttpStream() = default;

  // Up to `size` bytes; 0 at the end of the stream.
  virtual base::Result<size_t> Read(const base::Context& ctx, char* data, size_t size) = 0;
  virtual base::Status Write(const base::Context& ctx, std::string_view data) = 0;
};

// How a stream's troubles are told to who has asked for it: what they are called depends on who was
// to answer.
class StreamWords {
 public:
  virtual ~StreamWords() = default;
  virtual base::Error Unreachable(std::string_view why) const = 0;
  // The unix socket may not be opened.
  virtual base::Error Forbidden() const = 0;
  virtual base::Error Late() const = 0;
  // The connection, which had been there, broke.
  virtual base::Error Broken(std::string_view why) const = 0;
  // The handshake, or what comes after it: `ssl` are OpenSSL's words; `certificate` is what is wrong
  // with the other side's, empty where it is not that.
  virtual base::Error TlsFailed(std::string_view ssl, std::string_view certificate) const = 0;
  // The connection ended or broke in the middle of the handshake.
  virtual base::Error TlsBroken(std::string_view why) const = 0;
  // What was given for TLS cannot be used.
  virtual base::Error TlsUnusable(base::TlsFault fault) const = 0;
};

// Whom a connection by TLS believes, and what it shows.
struct StreamTls {
  std::string ca;  // PEM
  // Name or address that the other side's certificate must carry. Empty: it must be the first of
  // `ca` itself, and no name is asked for.
  std::string name;
  std::string certificates;  // PEM; empty: none is shown.
  base::Secret key;
};

struct TcpPeer {
  std::string host;  // A name may have several addresses: they are tried one after the other.
  std::string port;
  const StreamTls* tls = nullptr;  // Null: plain. Read by the call alone.
};

// Once they have returned, the other side is believed.
base::Result<std::unique_ptr<HttpStream>> ConnectByTcp(const base::Context& ctx,
                                                       const TcpPeer& peer,
                                                       std::shared_ptr<const StreamWords> words);
base::Result<std::unique_ptr<HttpStream>> ConnectByUnix(const base::Context& ctx,
                                                        const std::string& path,
                                                        std::shared_ptr<const StreamWords> words);

}  // namespace oms::drivers::http

// HttpStream: one connection to a Docker Engine, over a unix socket or over TCP with mutual TLS.
//
// Blocking calls for worker threads; inside, one asynchronous operation at a time on a private
// io_context (as in Asio's blocking_tcp_client example), so that each of them ends at the context's
// deadline (kTimeout) and when the context is stopped (kCancelled). Boost.Asio is in the .cc only.
// Not thread-safe: a stream belongs to one call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::drivers::http {

// Where an engine answers, parsed and checked once.
struct EngineEndpoint {
  std::string text;  // As the user wrote it; for messages.
  bool is_unix = false;
  std::string path;  // Of the socket.
  std::string host;  // Also the name that the server's certificate must carry.
  std::string port;
  base::Secret tls_ca, tls_cert, tls_key;
};

// kInvalid, with what to write instead. TCP without TLS material is refused: it would give root on
// that host to anybody on the way.
base::Result<EngineEndpoint> ParseEndpoint(const ports::EngineAddress& address);

class HttpStream {
 public:
  virtual ~HttpStream() = default;

  // Up to `size` bytes; 0 at the end of the stream.
  virtual base::Result<size_t> Read(const base::Context& ctx, char* data, size_t size) = 0;
  virtual base::Status Write(const base::Context& ctx, std::string_view data) = 0;
};

// kTransient "EngineUnreachable" if nobody answers within 10 s, kDenied "EngineDenied" if the
// socket may not be opened, kDenied "EngineTls" if one side refuses the other's certificate.
base::Result<std::unique_ptr<HttpStream>> ConnectToEngine(const base::Context& ctx,
                                                          const EngineEndpoint& endpoint);

}  // namespace oms::drivers::http

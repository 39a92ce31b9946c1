// Where an engine answers, and how it is reached there: a unix socket, or TCP with mutual TLS.
#pragma once

#include <memory>
#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "reconcilers/drivers/http/http_stream.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::drivers::docker {

// Parsed and checked once.
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

// kTransient "EngineUnreachable" if nobody answers within 10 s, kDenied "EngineDenied" if the
// socket may not be opened, kDenied "EngineTls" if one side refuses the other's certificate.
base::Result<std::unique_ptr<http::HttpStream>> ConnectToEngine(const base::Context& ctx,
                                                                const EngineEndpoint& endpoint);

}  // namespace oms::drivers::docker

#include "reconcilers/drivers/http/tcp_http_probe.h"

#include "reconcilers/drivers/http/http_exchange.h"
#include "reconcilers/drivers/http/key_pair.h"

namespace oms::drivers::http {

base::Result<ports::HttpAnswer> TcpHttpProbe::Get(const base::Context& ctx, const std::string& host,
                                                  int port, const std::string& path,
                                                  const std::optional<ports::HttpsTrust>& https) {
  HttpQuestion ask;
  ask.host = host;
  ask.port = port;
  ask.path = path;
  ask.https = https;
  return HttpExchange(ctx, ask);
}

base::Result<ports::CertificateInfo> TcpHttpProbe::ReadKeyPair(const std::string& certificate,
                                                               const base::Secret& key) const {
  return http::ReadKeyPair(certificate, key);
}

}  // namespace oms::drivers::http

#include "reconcilers/drivers/tcp_http_probe.h"

#include "reconcilers/drivers/http_exchange.h"
#include "reconcilers/drivers/tls_client.h"

namespace oms::drivers {

base::Result<upgrade::HttpAnswer> TcpHttpProbe::Get(
    const base::Context& ctx, const std::string& host, int port, const std::string& path,
    const std::optional<upgrade::HttpsTrust>& https) {
  HttpQuestion ask;
  ask.host = host;
  ask.port = port;
  ask.path = path;
  ask.https = https;
  return HttpExchange(ctx, ask);
}

base::Result<upgrade::CertificateInfo> TcpHttpProbe::ReadKeyPair(const std::string& certificate,
                                                                 const base::Secret& key) const {
  return drivers::ReadKeyPair(certificate, key);
}

}  // namespace oms::drivers

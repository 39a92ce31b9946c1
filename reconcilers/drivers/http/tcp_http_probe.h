// TcpHttpProbe: ports/http_probe.h over a socket.
#pragma once

#include "reconcilers/ports/http_probe.h"

namespace oms::drivers::http {

class TcpHttpProbe final : public ports::HttpProbe {
 public:
  base::Result<ports::HttpAnswer> Get(const base::Context& ctx, const std::string& host, int port,
                                      const std::string& path,
                                      const std::optional<ports::HttpsTrust>& https) override;
  base::Result<ports::CertificateInfo> ReadKeyPair(const std::string& certificate,
                                                   const base::Secret& key) const override;
};

}  // namespace oms::drivers::http

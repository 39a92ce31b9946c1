// TcpHttpProbe: ports/http_probe.h over a socket.
#pragma once

#include "reconcilers/ports/http_probe.h"

namespace oms::drivers {

class TcpHttpProbe final : public upgrade::HttpProbe {
 public:
  base::Result<upgrade::HttpAnswer> Get(const base::Context& ctx, const std::string& host, int port,
                                        const std::string& path,
                                        const std::optional<upgrade::HttpsTrust>& https) override;
  base::Result<upgrade::CertificateInfo> ReadKeyPair(const std::string& certificate,
                                                     const base::Secret& key) const override;
};

}  // namespace oms::drivers

// HttpProbe: one GET of OMS's own health address, and a look at the certificate that it is offered
// with. Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"

namespace oms::ports {

struct HttpAnswer {
  int status = 0;
  std::string body;  // At most 64 KiB.
};

// Whom a GET by HTTPS believes.
struct HttpsTrust {
  // With a server name: the CAs (PEM), one of which must have signed a certificate of that name or
  // address. Without: the server must hold the first of these certificates itself.
  std::string certificates;
  std::string server_name;
  bool operator==(const HttpsTrust&) const = default;
};

struct CertificateInfo {
  base::WallTime not_before, not_after;
};

class HttpProbe {
 public:
  virtual ~HttpProbe() = default;
  // Plain HTTP where `https` is nullopt. kTransient "Refused" if nothing listens there, kTransient
  // "CertificateUntrusted" if what answers is not believed (nothing is sent then), kTimeout by the
  // context.
  virtual base::Result<HttpAnswer> Get(const base::Context& ctx, const std::string& host, int port,
                                       const std::string& path,
                                       const std::optional<HttpsTrust>& https) = 0;
  // Whether the (first) certificate and the key, both PEM, belong together. kInvalid
  // "CertificateUnreadable", "KeyUnreadable" or "KeyOfAnotherCertificate"; no text holds the key.
  virtual base::Result<CertificateInfo> ReadKeyPair(const std::string& certificate,
                                                    const base::Secret& key) const = 0;
};

}  // namespace oms::ports

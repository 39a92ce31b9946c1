// TlsClient: TLS over a socket that does not block, and certificates as values. OpenSSL is in the
// .cc only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "reconcilers/ports/http_probe.h"

namespace oms::drivers::http {

class TlsClient {
 public:
  // Waits until the socket is ready for POLLIN or POLLOUT; its error ends the call.
  using Wait = std::function<base::Status(short events)>;

  virtual ~TlsClient() = default;
  // Once `Open` has returned, the other side is believed.
  static base::Result<std::unique_ptr<TlsClient>> Open(int fd, const ports::HttpsTrust& trust,
                                                       const Wait& wait);
  virtual base::Status Write(std::string_view data, const Wait& wait) = 0;
  // 0 at the end.
  virtual base::Result<size_t> Read(char* data, size_t size, const Wait& wait) = 0;
};

// As ports::HttpProbe::ReadKeyPair.
base::Result<ports::CertificateInfo> ReadKeyPair(const std::string& certificate,
                                                 const base::Secret& key);

}  // namespace oms::drivers::http

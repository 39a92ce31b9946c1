// A certificate and its key, as values. OpenSSL is in the .cc only.
#pragma once

#include <string>

#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "reconcilers/ports/http_probe.h"

namespace oms::drivers::http {

// As ports::HttpProbe::ReadKeyPair.
base::Result<ports::CertificateInfo> ReadKeyPair(const std::string& certificate,
                                                 const base::Secret& key);

}  // namespace oms::drivers::http

// Base64 by the standard alphabet (RFC 4648, section 4), as a Kubernetes Secret and a kubeconfig
// have it. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace oms::base {

std::string EncodeBase64(std::string_view bytes);

// Nullopt if it is not base64, padding included. Line breaks are not expected.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace oms::base

// Base64, as the data of a Kubernetes Secret is written.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace oms::base {

// Nullopt if it is not base64. Line breaks are not expected.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace oms::base

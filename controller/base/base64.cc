#include "controller/base/base64.h"

#include <absl/strings/escaping.h>
#include <absl/strings/string_view.h>

namespace oms::base {
namespace {

// Debian's library has a type of its own.
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string EncodeBase64(std::string_view bytes) { return absl::Base64Escape(View(bytes)); }

std::optional<std::string> DecodeBase64(std::string_view text) {
  // The library takes white space, and text without its padding, as well.
  constexpr std::string_view kWhite = " \t\r\n\v\f";
  if (text.size() % 4 != 0 || text.find_first_of(kWhite) != std::string_view::npos)
    return std::nullopt;
  std::string plain;
  if (!absl::Base64Unescape(View(text), &plain)) return std::nullopt;
  return plain;
}

}  // namespace oms::base

// Secret: a text that does not print. It has no formatter and no stream operator, so a log line, an
// error text or a status field that would take it does not compile.
#pragma once

#include <string>
#include <utility>

namespace oms::base {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}

  // Only at the door to a driver.
  const std::string& Reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  std::string text_;
};

// `text` without the secret, where another program may have printed it.
inline std::string Without(std::string text, const Secret& secret) {
  constexpr const char kHidden[] = "***";
  if (secret.empty()) return text;
  for (size_t at = text.find(secret.Reveal()); at != std::string::npos;
       at = text.find(secret.Reveal(), at + sizeof(kHidden) - 1)) {
    text.replace(at, secret.Reveal().size(), kHidden);
  }
  return text;
}

}  // namespace oms::base

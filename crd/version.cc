#include "crd/version.h"

#include <fmt/format.h>

#include <cctype>
#include <optional>

#include "crd/reasons.h"

namespace oms::crd {
namespace {

// A cursor over the text, case-insensitive. Small enough to be read; no regex (slow to build, and
// its errors say nothing).
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  bool Eat(std::string_view lower) {
    if (text_.size() < lower.size()) return false;
    for (size_t i = 0; i < lower.size(); ++i) {
      if (std::tolower(static_cast<unsigned char>(text_[i])) != lower[i]) return false;
    }
    text_.remove_prefix(lower.size());
    return true;
  }
  // 1 to 4 digits.
  std::optional<int> Number() {
    int number = 0;
    size_t digits = 0;
    while (digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9') {
      if (digits == 4) return std::nullopt;
      number = number * 10 + (text_[digits] - '0');
      ++digits;
    }
    if (digits == 0) return std::nullopt;
    text_.remove_prefix(digits);
    return number;
  }
  // "-ce", "_ce", " ce", and for bundle patches also "bp" right away.
  bool EatWord(std::string_view word, bool separator_needed) {
    const std::string_view before = text_;
    const bool separator = Eat("-") || Eat("_") || Eat(" ");
    if ((separator || !separator_needed) && Eat(word)) return true;
    text_ = before;
    return false;
  }
  bool empty() const { return text_.empty(); }

 private:
  std::string_view text_;
};

std::optional<Version> TryParse(std::string_view text) {
  Cursor cursor(text);
  if (!cursor.Eat("feature_")) cursor.Eat("v");
  Version version;
  const auto major = cursor.Number();
  if (!major || !cursor.Eat(".")) return std::nullopt;
  const auto minor = cursor.Number();
  if (!minor || !cursor.Eat(".")) return std::nullopt;
  const auto patch = cursor.Number();
  if (!patch) return std::nullopt;
  version.major = *major;
  version.minor = *minor;
  version.patch = *patch;
  if (cursor.EatWord("ce", /*separator_needed=*/true)) version.edition = Edition::kCommunity;
  if (cursor.EatWord("bp", /*separator_needed=*/false)) {
    const auto bundle_patch = cursor.Number();
    if (!bundle_patch || *bundle_patch == 0) return std::nullopt;
    version.bundle_patch = *bundle_patch;
  }
  if (!cursor.empty()) return std::nullopt;
  return version;
}

// What a person wrote, short enough for a message.
std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 40)) shown += c >= 0x20 && c < 0x7f ? c : '?';
  if (text.size() > 40) shown += "...";
  return shown;
}

}  // namespace

std::string_view ToString(Edition edition) {
  return edition == Edition::kCommunity ? "Community" : "Enterprise";
}

base::Result<Version> Version::Parse(std::string_view text) {
  if (const auto version = TryParse(text)) return *version;
  return base::MakeError(
      base::Code::kInvalid, reason::kInvalidVersion,
      fmt::format("'{}' is not a version of OMS; write it as 4.3.1, 4.2.11-CE or 4.3.1-BP1",
                  Shown(text)));
}

std::string Version::ToString() const {
  std::string text = fmt::format("{}.{}.{}", major, minor, patch);
  if (edition == Edition::kCommunity) text += "-CE";
  if (bundle_patch > 0) text += fmt::format("-BP{}", bundle_patch);
  return text;
}

std::string Version::Digits() const {
  std::string text = fmt::format("{}{}{}", major, minor, patch);
  if (bundle_patch > 0) text += fmt::format("bp{}", bundle_patch);
  return text;
}

base::Result<Version> VersionFromImage(std::string_view reference) {
  std::string_view name = reference.substr(0, reference.find('@'));
  const size_t slash = name.rfind('/');
  const size_t colon = name.rfind(':');
  // A colon before the last slash belongs to the registry's port.
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    if (const auto version = TryParse(name.substr(colon + 1))) return *version;
  }
  return base::MakeError(
      base::Code::kInvalid, reason::kNoVersionInTag,
      fmt::format(
          "the tag of image '{}' does not state an OMS version such as 4.3.1 or feature_4.3.1",
          Shown(reference)));
}

std::string NewContainerName(std::string_view old_name, const Version& from, const Version& to) {
  const auto replaced = [&](const std::string& suffix, const std::string& with) {
    return std::string(old_name.substr(0, old_name.size() - suffix.size())) + with;
  };
  const std::string text = "-" + from.ToString();
  if (old_name.ends_with(text)) return replaced(text, "-" + to.ToString());
  const std::string digits = from.Digits();
  if (old_name.ends_with(digits) && old_name.size() > digits.size()) {
    // "oms_1430" ends in 430 too, but those are not the version's digits.
    const char before = old_name[old_name.size() - digits.size() - 1];
    if (before < '0' || before > '9') return replaced(digits, to.Digits());
  }
  return std::string(old_name) + "-" + to.ToString();
}

}  // namespace oms::crd

// Versions of OMS: how they are written, how they are ordered.
//
// A version is x.y.z with an optional edition (-CE: community) and an optional bundle patch (BPn,
// the fourth part: oms/README.md). Accepted, in any case of letters: 4.3.1, V4.3.1, 4.2.11-CE,
// "4.3.1 BP1", 3.2.2bp2, feature_4.0.0-ce_bp1, feature_4.2.7_ce. Never compared as text.
#pragma once

#include <fmt/format.h>

#include <compare>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace oms::crd {

enum class Edition { kEnterprise, kCommunity };
std::string_view ToString(Edition edition);  // "Enterprise", "Community"

struct Version {
  int major = 0;
  int minor = 0;
  int patch = 0;
  int bundle_patch = 0;  // 0: none.
  Edition edition = Edition::kEnterprise;

  // kInvalid with reason "InvalidVersion"; the message says what to write.
  static base::Result<Version> Parse(std::string_view text);

  // By numbers first. Versions that differ in edition only are ordered by it, so that == and <=>
  // agree; whether one may become the other is for the version path to say.
  std::strong_ordering operator<=>(const Version&) const = default;

  // Canonical: 4.3.1, 4.2.11-CE, 4.0.1-BP1, 4.0.0-CE-BP1.
  std::string ToString() const;
  // As container names end: 431, 4211, 401bp1.
  std::string Digits() const;
  // The same release, whatever its bundle patch.
  bool SameRelease(const Version& other) const {
    return major == other.major && minor == other.minor && patch == other.patch &&
           edition == other.edition;
  }
};

// The version that an image reference's tag names: registry:5000/oms:feature_4.3.1@sha256:... gives
// 4.3.1. kInvalid with reason "NoVersionInTag" where the tag names none (an image id, "latest", no
// tag).
base::Result<Version> VersionFromImage(std::string_view reference);

// The new container's name, as the guide names it: oms_430 becomes oms_431 where the name ends in
// the digits of `from`; a name that we made (<name>-4.3.0) ends in the new version; else
// <name>-4.3.1.
std::string NewContainerName(std::string_view old_name, const Version& from, const Version& to);

}  // namespace oms::crd

// As ToString() writes it.
template <>
struct fmt::formatter<oms::crd::Version> : fmt::formatter<std::string> {
  template <typename Context>
  auto format(const oms::crd::Version& version, Context& context) const {
    return fmt::formatter<std::string>::format(version.ToString(), context);
  }
};

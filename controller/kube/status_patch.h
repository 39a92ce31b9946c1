// The smallest merge patch that makes one status of another.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace oms::kube {

// {"metadata":{"resourceVersion":...},"status":{...}} with only the members that differ (a list is
// replaced as a whole; a member that `after` lacks becomes null), or nothing when both are equal.
// The resourceVersion makes the API server refuse it (409) when the object has changed since;
// empty: left out. `before` and `after` are the status members alone; null counts as {}.
std::optional<nlohmann::json> StatusPatch(const nlohmann::json& before, const nlohmann::json& after,
                                          const std::string& resource_version);

}  // namespace oms::kube

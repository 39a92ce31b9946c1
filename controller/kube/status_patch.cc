#include "controller/kube/status_patch.h"

#include <nlohmann/json.hpp>

namespace oms::kube {
namespace {

using nlohmann::json;

// Only members that differ; null for those that `after` lacks. Both are objects.
json Difference(const json& before, const json& after) {
  json patch = json::object();
  for (const auto& [name, old] : before.items()) {
    // A null in `after` and an absent member mean the same to a merge patch.
    if (!old.is_null() && (!after.contains(name) || after[name].is_null())) patch[name] = nullptr;
  }
  for (const auto& [name, value] : after.items()) {
    if (value.is_null()) continue;
    const auto old = before.find(name);
    if (old == before.end() || !old->is_object() || !value.is_object()) {
      if (old == before.end() || *old != value) patch[name] = value;
      continue;
    }
    json inner = Difference(*old, value);
    if (!inner.empty()) patch[name] = std::move(inner);
  }
  return patch;
}

}  // namespace

std::optional<json> StatusPatch(const json& before, const json& after,
                                const std::string& resource_version) {
  const json empty = json::object();
  json difference =
      Difference(before.is_object() ? before : empty, after.is_object() ? after : empty);
  if (difference.empty()) return std::nullopt;
  json patch = {{"status", std::move(difference)}};
  if (!resource_version.empty()) patch["metadata"]["resourceVersion"] = resource_version;
  return patch;
}

}  // namespace oms::kube

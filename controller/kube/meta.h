// Kubernetes metadata as values: what every object carries, and what every condition looks like.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/result.h"

namespace oms::kube {

struct ObjectKey {
  std::string ns;  // Empty for a cluster-scoped object.
  std::string name;

  std::string ToString() const;  // "ns/name", or "name" where there is no namespace.
  auto operator<=>(const ObjectKey&) const = default;
};

struct ObjectMeta {
  std::string name;
  std::string ns;
  std::string uid;
  std::string resource_version;
  int64_t generation = 0;
  std::map<std::string, std::string> annotations;
  std::map<std::string, std::string> labels;
  std::vector<std::string> finalizers;
  std::optional<base::WallTime> deletion_timestamp;
  std::optional<base::WallTime> creation;

  ObjectKey Key() const { return {ns, name}; }
  bool operator==(const ObjectMeta&) const = default;
};

enum class ConditionStatus { kUnknown, kTrue, kFalse };

std::string_view ToString(ConditionStatus status);  // "True", "False", "Unknown".

// metav1.Condition.
struct Condition {
  std::string type;
  ConditionStatus status = ConditionStatus::kUnknown;
  std::string reason;
  std::string message;
  int64_t observed_generation = 0;
  base::WallTime last_transition_time;

  bool operator==(const Condition&) const = default;
};

// The metadata of `object` (a whole object, with its "metadata" member). kInvalid when it has no
// metadata.name, or a member is of another type than Kubernetes says.
base::Result<ObjectMeta> ParseMeta(const nlohmann::json& object);
// The "metadata" member alone; empty members are left out.
nlohmann::json ToJson(const ObjectMeta& meta);

// One entry of status.conditions. kInvalid when type or status is missing or not known.
base::Result<Condition> ParseCondition(const nlohmann::json& condition);
nlohmann::json ToJson(const Condition& condition);

}  // namespace oms::kube

template <>
struct std::hash<oms::kube::ObjectKey> {
  size_t operator()(const oms::kube::ObjectKey& key) const noexcept {
    const size_t first = std::hash<std::string>()(key.ns);
    return first ^ (std::hash<std::string>()(key.name) + 0x9e3779b97f4a7c15ULL + (first << 6) +
                    (first >> 2));
  }
};

#include "controller/kube/meta.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/base/json.h"

namespace oms::kube {
namespace {

using nlohmann::json;

base::Error Invalid(std::string message) {
  return base::MakeError(base::Code::kInvalid, std::move(message));
}

// Each of these leaves `out` as it is when the member is absent or null.
base::Status ReadString(const json& from, const char* member, std::string& out) {
  const auto found = from.find(member);
  if (found == from.end() || found->is_null()) return base::Ok();
  if (!found->is_string()) return Invalid(fmt::format("{} is not a string", member));
  out = found->get<std::string>();
  return base::Ok();
}

base::Status ReadInt(const json& from, const char* member, int64_t& out) {
  const auto found = from.find(member);
  if (found == from.end() || found->is_null()) return base::Ok();
  const auto number = base::WholeNumber<int64_t>(*found);
  if (!number) return Invalid(fmt::format("{} is not an integer", member));
  out = *number;
  return base::Ok();
}

base::Status ReadTime(const json& from, const char* member, std::optional<base::WallTime>& out) {
  std::string text;
  OMS_TRY(ReadString(from, member, text));
  if (text.empty()) return base::Ok();
  OMS_ASSIGN(out, base::ParseTime(text));
  return base::Ok();
}

base::Status ReadMap(const json& from, const char* member,
                     std::map<std::string, std::string>& out) {
  const auto found = from.find(member);
  if (found == from.end() || found->is_null()) return base::Ok();
  if (!found->is_object()) return Invalid(fmt::format("{} is not a map", member));
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) return Invalid(fmt::format("{}[{}] is not a string", member, key));
    out[key] = value.get<std::string>();
  }
  return base::Ok();
}

}  // namespace

std::string ObjectKey::ToString() const { return ns.empty() ? name : ns + "/" + name; }

std::string_view ToString(ConditionStatus status) {
  switch (status) {
    case ConditionStatus::kTrue: return "True";
    case ConditionStatus::kFalse: return "False";
    case ConditionStatus::kUnknown: return "Unknown";
  }
  return "Unknown";
}

base::Result<ObjectMeta> ParseMeta(const json& object) {
  if (!object.is_object() || !object.contains("metadata") || !object["metadata"].is_object()) {
    return Invalid("the object has no metadata");
  }
  const json& from = object["metadata"];
  ObjectMeta meta;
  OMS_TRY(ReadString(from, "name", meta.name));
  if (meta.name.empty()) return Invalid("the object has no metadata.name");
  OMS_TRY(ReadString(from, "namespace", meta.ns));
  OMS_TRY(ReadString(from, "uid", meta.uid));
  OMS_TRY(ReadString(from, "resourceVersion", meta.resource_version));
  OMS_TRY(ReadInt(from, "generation", meta.generation));
  OMS_TRY(ReadMap(from, "annotations", meta.annotations));
  OMS_TRY(ReadMap(from, "labels", meta.labels));
  OMS_TRY(ReadTime(from, "deletionTimestamp", meta.deletion_timestamp));
  OMS_TRY(ReadTime(from, "creationTimestamp", meta.creation));
  if (const auto found = from.find("finalizers"); found != from.end() && !found->is_null()) {
    if (!found->is_array()) return Invalid("finalizers is not a list");
    for (const json& finalizer : *found) {
      if (!finalizer.is_string()) return Invalid("a finalizer is not a string");
      meta.finalizers.push_back(finalizer.get<std::string>());
    }
  }
  return meta;
}

json ToJson(const ObjectMeta& meta) {
  json to = json::object();
  if (!meta.name.empty()) to["name"] = meta.name;
  if (!meta.ns.empty()) to["namespace"] = meta.ns;
  if (!meta.uid.empty()) to["uid"] = meta.uid;
  if (!meta.resource_version.empty()) to["resourceVersion"] = meta.resource_version;
  if (meta.generation != 0) to["generation"] = meta.generation;
  if (!meta.annotations.empty()) to["annotations"] = meta.annotations;
  if (!meta.labels.empty()) to["labels"] = meta.labels;
  if (!meta.finalizers.empty()) to["finalizers"] = meta.finalizers;
  if (meta.deletion_timestamp) to["deletionTimestamp"] = base::FormatTime(*meta.deletion_timestamp);
  if (meta.creation) to["creationTimestamp"] = base::FormatTime(*meta.creation);
  return to;
}

base::Result<Condition> ParseCondition(const json& from) {
  if (!from.is_object()) return Invalid("a condition is not an object");
  Condition condition;
  std::string status;
  std::optional<base::WallTime> since;
  OMS_TRY(ReadString(from, "type", condition.type));
  if (condition.type.empty()) return Invalid("a condition has no type");
  OMS_TRY(ReadString(from, "status", status));
  if (status == "True") {
    condition.status = ConditionStatus::kTrue;
  } else if (status == "False") {
    condition.status = ConditionStatus::kFalse;
  } else if (status != "Unknown") {
    return Invalid(fmt::format("the status of condition {} is '{}', not True, False or Unknown",
                               condition.type, status));
  }
  OMS_TRY(ReadString(from, "reason", condition.reason));
  OMS_TRY(ReadString(from, "message", condition.message));
  OMS_TRY(ReadInt(from, "observedGeneration", condition.observed_generation));
  OMS_TRY(ReadTime(from, "lastTransitionTime", since));
  if (since) condition.last_transition_time = *since;
  return condition;
}

json ToJson(const Condition& condition) {
  return {{"type", condition.type},
          {"status", ToString(condition.status)},
          {"reason", condition.reason},
          {"message", condition.message},
          {"observedGeneration", condition.observed_generation},
          {"lastTransitionTime", base::FormatTime(condition.last_transition_time)}};
}

}  // namespace oms::kube

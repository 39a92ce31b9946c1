// The record from its text. Each field is there, and no other one: what this controller does not
// know it would lose with its next append.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "controller/base/json.h"
#include "controller/base/text.h"
#include "crd/reasons.h"
#include "reconcilers/model/old_formats.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/model/operation_names.h"

namespace oms::model {
namespace {

using nlohmann::json;

constexpr size_t kLongestName = 100;  // Of what is not known, in a message.

// Caught by FromJson, as what the library throws. Another controller has written it.
std::invalid_argument Unknown(std::string_view what, std::string_view name) {
  return std::invalid_argument(
      fmt::format("unknown {} '{}'; {}", what, base::CutText(name, kLongestName), kRunTheWriter));
}

template <typename E, size_t N>
E FromName(const std::pair<E, std::string_view> (&names)[N], const std::string& name) {
  for (const auto& [value, text] : names) {
    if (text == name) return value;
  }
  throw Unknown("word", name);
}

Step StepFromName(const std::string& name) {
  for (const auto& info : kSteps) {
    if (info.name == name) return info.step;
  }
  throw Unknown("step", name);
}

crd::Version VersionFrom(const std::string& text) {
  const auto version = crd::Version::Parse(text);
  if (!version.ok()) throw Unknown("version", text);
  return *version;
}

// No number is cut to what fits.
template <typename T>
T Whole(const json& value) {
  const auto number = base::WholeNumber<T>(value);
  if (!number) {
    throw std::out_of_range(std::string("a ") + value.type_name() +
                            " where a whole number is expected, or one that does not fit");
  }
  return *number;
}

base::WallTime TimeFrom(const json& value) {
  auto time = base::ParseTime(value.get<std::string>());
  if (!time.ok()) throw std::invalid_argument(time.error().message);
  return *time;
}
std::optional<base::WallTime> OptionalTimeFrom(const json& value) {
  if (value.is_null()) return std::nullopt;
  return TimeFrom(value);
}

template <typename T>
std::optional<T> OptionalFrom(const json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<T>();
}
std::optional<uint64_t> OptionalNumberFrom(const json& value) {
  if (value.is_null()) return std::nullopt;
  return Whole<uint64_t>(value);
}

const json& ObjectOf(const json& value) {
  if (!value.is_object())
    throw std::invalid_argument(std::string("a ") + value.type_name() + " instead of an object");
  return value;
}

// The fields of one object. End() refuses what was not asked for: somebody else knows what it is.
class Fields {
 public:
  Fields(const json& value, bool strict) : value_(ObjectOf(value)), strict_(strict) {}

  const json& operator[](const char* name) {
    asked_.push_back(name);
    return value_.at(name);
  }
  Fields In(const char* name) { return {(*this)[name], strict_}; }
  std::optional<Fields> Maybe(const char* name) {
    const json& value = (*this)[name];
    if (value.is_null()) return std::nullopt;
    return Fields(value, strict_);
  }
  std::vector<Fields> Each(const char* name) {
    const json& list = (*this)[name];
    if (!list.is_array())
      throw std::invalid_argument(std::string("a ") + list.type_name() + " instead of a list");
    std::vector<Fields> all;
    for (const auto& each : list) all.emplace_back(each, strict_);
    return all;
  }
  // Of an object whose keys are names of the world.
  std::vector<std::pair<std::string, Fields>> Entries(const char* name) {
    std::vector<std::pair<std::string, Fields>> all;
    for (const auto& [key, each] : ObjectOf((*this)[name]).items())
      all.emplace_back(key, Fields(each, strict_));
    return all;
  }
  void End() const {
    if (!strict_) return;
    for (const auto& [key, each] : value_.items()) {
      if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) throw Unknown("key", key);
    }
  }

 private:
  const json& value_;
  bool strict_;
  std::vector<std::string_view> asked_;
};

FrozenNode NodeFrom(Fields in) {
  FrozenNode node;
  in["name"].get_to(node.name);
  in["engineID"].get_to(node.engine_id);
  in["hostIP"].get_to(node.host_ip);
  in["oldID"].get_to(node.old_id);
  in["oldName"].get_to(node.old_name);
  in["oldStartedAt"].get_to(node.old_started_at);
  in["oldImage"].get_to(node.old_image);
  in["oldImageID"].get_to(node.old_image_id);
  in["oldRestartPolicy"].get_to(node.old_restart_policy);
  node.old_restart_retries = Whole<int>(in["oldRestartRetries"]);
  in["oldInspect"].get_to(node.old_inspect);
  in["newName"].get_to(node.new_name);
  in["targetImageID"].get_to(node.target_image_id);
  in["configSource"].get_to(node.config_source);
  node.role = FromName(kRoleNames, in["role"]);
  in["kept"].get_to(node.keeps_running);
  in.End();
  return node;
}

std::map<std::string, FileRef> FilesFrom(Fields& record, const char* name) {
  std::map<std::string, FileRef> files;
  for (auto& [node, in] : record.Entries(name)) {
    files[node] = {in["path"], in["sha256"], Whole<int64_t>(in["uid"]), Whole<int64_t>(in["gid"]),
                   Whole<uint32_t>(in["mode"])};
    in.End();
  }
  return files;
}

std::map<std::string, LoadedImage> LoadedFrom(Fields& record) {
  std::map<std::string, LoadedImage> images;
  for (auto& [node, in] : record.Entries("loadedImages")) {
    images[node] = {in["reference"], in["archive"], in["imageID"], in["digests"]};
    in.End();
  }
  return images;
}

std::map<std::string, UpgradedComponent> ComponentsFrom(Fields& record) {
  std::map<std::string, UpgradedComponent> components;
  for (auto& [node, in] : record.Entries("components")) {
    components[node] = {in["containerID"], VersionFrom(in["version"]), TimeFrom(in["at"])};
    in.End();
  }
  return components;
}

std::map<Step, StepProgress> StepsFrom(Fields& record) {
  std::map<Step, StepProgress> steps;
  for (auto& [name, in] : record.Entries("steps")) {
    steps[StepFromName(name)] = {Whole<int>(in["begun"]), Whole<int>(in["forgiven"]),
                                 OptionalTimeFrom(in["seen"])};
    in.End();
  }
  return steps;
}

std::optional<BackupRef> BackupFrom(Fields& record) {
  auto in = record.Maybe("backup");
  if (!in) return std::nullopt;
  BackupRef backup;
  (*in)["folder"].get_to(backup.folder);
  (*in)["manifestSHA256"].get_to(backup.manifest_sha256);
  backup.bytes = Whole<uint64_t>((*in)["bytes"]);
  (*in)["containerID"].get_to(backup.container_id);
  (*in)["startedAt"].get_to(backup.started_at);
  (*in)["otherRuns"].get_to(backup.other_runs);
  backup.heartbeat_max = Whole<uint64_t>((*in)["heartbeatMax"]);
  backup.completed = TimeFrom((*in)["completed"]);
  for (auto& part : in->Each("databases")) {
    backup.databases.push_back({part["name"], Whole<uint64_t>(part["bytes"]), part["sha256"]});
    part.End();
  }
  in->End();
  return backup;
}

void RestoreFrom(Fields in, OperationRecord& record) {
  record.differing = OptionalFrom<std::vector<std::string>>(in["differing"]);
  if (auto saved = in.Maybe("upgradedState")) {
    record.upgraded_state = SavedState{(*saved)["folder"], (*saved)["complete"], (*saved)["why"]};
    saved->End();
  }
  for (auto& [name, database] : in.Entries("databases")) {
    record.restores[name] = {Whole<int>(database["begun"]), Whole<int>(database["concluded"]),
                             Whole<int>(database["differed"]), database["difference"],
                             OptionalTimeFrom(database["restored"])};
    database.End();
  }
  in["droppedEvents"].get_to(record.dropped_events);
  in.End();
}

std::optional<OperationRef> RefFrom(std::optional<Fields> in) {
  if (!in) return std::nullopt;
  OperationRef ref{(*in)["id"], (*in)["folder"]};
  in->End();
  return ref;
}

ResourceMark MarkFrom(Fields in) {
  ResourceMark mark{in["uid"], Whole<int64_t>(in["generation"]), in["resetToken"]};
  in.End();
  return mark;
}

std::optional<StepFailure> FailureFrom(std::optional<Fields> in) {
  if (!in) return std::nullopt;
  StepFailure failure{StepFromName((*in)["step"]), Whole<int>((*in)["count"]), (*in)["reason"],
                      (*in)["message"], (*in)["retryable"]};
  in->End();
  return failure;
}

Point PointFrom(Fields in) {
  Point point{FromName(kPointNames, in["point"]), in["node"], std::nullopt,
              Whole<int>(in["attempt"]), TimeFrom(in["at"])};
  if (const json& step = in["step"]; !step.is_null()) point.step = StepFromName(step);
  in.End();
  return point;
}

crd::Image ImageFrom(Fields in) {
  crd::Image image;
  in["reference"].get_to(image.reference);
  in["archive"].get_to(image.archive);
  in["id"].get_to(image.id);
  in["sha256"].get_to(image.sha256);
  in.End();
  return image;
}

// Whose it is, what it is about, and the operations around it.
void IdentityFrom(Fields& in, OperationRecord& record) {
  in["id"].get_to(record.id);
  in["folder"].get_to(record.folder);
  in["volume"].get_to(record.volume);
  Fields owner = in.In("owner");
  owner["cluster"].get_to(record.owner_cluster);
  owner["object"].get_to(record.owner_object);
  owner.End();
  for (auto& former : in.Each("formerOwners")) {
    record.former_owners.push_back({former["cluster"], former["object"]});
    former.End();
  }
  record.epoch = Whole<uint64_t>(in["epoch"]);
  record.from = VersionFrom(in["from"]);
  record.to = VersionFrom(in["to"]);
  record.image = ImageFrom(in.In("image"));
  record.undoes = RefFrom(in.Maybe("undoes"));
  in["follows"].get_to(record.follows);
  record.previous = RefFrom(in.Maybe("previous"));
  in["secrets"].get_to(record.secrets);
  in["planHash"].get_to(record.plan_hash);
  record.handled = MarkFrom(in.In("handled"));
  record.latched = MarkFrom(in.In("latched"));
}

// What was there before it.
void FrozenFrom(Fields& in, OperationRecord& record) {
  for (const auto& node : in.Each("nodes")) record.nodes.push_back(NodeFrom(node));
  record.components = ComponentsFrom(in);
  for (auto& db : in.Each("databases")) {
    record.databases.push_back({db["role"], db["name"], db["server"]});
    db.End();
  }
  Fields ha = in.In("ha");
  record.ha_raw = OptionalFrom<std::string>(ha["raw"]);
  ha["wasOn"].get_to(record.ha_was_on);
  ha.End();
  Fields timeouts = in.In("globalQueryTimeout");
  record.global_query_timeout = OptionalNumberFrom(timeouts["rm"]);
  record.cm_global_query_timeout = OptionalNumberFrom(timeouts["cm"]);
  timeouts.End();
}

OperationRecord RecordFrom(Fields in) {
  (void)in["format"];
  OperationRecord record;
  IdentityFrom(in, record);
  for (const auto& time : in["recent"]) record.recent.push_back(TimeFrom(time));
  record.direction = FromName(kDirectionNames, in["direction"]);
  for (auto& turn : in.Each("turns")) {
    record.turns.push_back(
        {FromName(kDirectionNames, turn["direction"]), turn["why"], TimeFrom(turn["at"])});
    turn.End();
  }
  record.outcome = FromName(kOutcomeNames, in["outcome"]);
  in["outcomeReason"].get_to(record.outcome_reason);
  record.started = TimeFrom(in["started"]);
  record.ended = OptionalTimeFrom(in["ended"]);
  FrozenFrom(in, record);
  for (const auto& point : in.Each("points")) record.points.push_back(PointFrom(point));
  record.steps = StepsFrom(in);
  record.failure = FailureFrom(in.Maybe("failure"));
  record.said_whole = OptionalTimeFrom(in["saidWhole"]);
  record.t1 = OptionalTimeFrom(in["t1"]);
  record.t2 = OptionalTimeFrom(in["t2"]);
  record.t3 = OptionalTimeFrom(in["t3"]);
  record.backup_t1 = OptionalTimeFrom(in["backupT1"]);
  record.progress_since = OptionalTimeFrom(in["progressSince"]);
  record.backup = BackupFrom(in);
  RestoreFrom(in.In("restore"), record);
  record.config_backups = FilesFrom(in, "configBackups");
  record.config_rewrites = FilesFrom(in, "configRewrites");
  record.image_backups = FilesFrom(in, "imageBackups");
  in["configMeant"].get_to(record.config_meant);
  in["deadContainers"].get_to(record.dead_containers);
  record.loaded_images = LoadedFrom(in);
  in.End();
  return record;
}

base::Error RecordFormat(const std::string& what) {
  return base::MakeError(base::Code::kInvalid, crd::reason::kRecordFormat,
                         "the operation record " + what);
}

}  // namespace

base::Result<OperationRecord> OperationRecord::FromJson(std::string_view text) {
  auto parsed = base::ParseJson(text);
  if (!parsed.ok()) return RecordFormat(parsed.error().message);
  json& value = *parsed;
  try {
    const int format = Whole<int>(value.at("format"));
    if (format > kFormat) {
      return RecordFormat(fmt::format("has format {}, newer than this controller's {}; {}", format,
                                      kFormat, kRunTheWriter));
    }
    if (format < 1) {
      return RecordFormat(fmt::format("has format {}, which this controller does not know; {}",
                                      format, kRunTheWriter));
    }
    if (format < kFormat) ToFormat3(value);
    // Of before format 3, what nobody asks for was left out without a word.
    return RecordFrom({value, format >= 3});
  } catch (const std::exception& problem) {
    return RecordFormat(fmt::format("cannot be read: {}", problem.what()));
  }
}

}  // namespace oms::model

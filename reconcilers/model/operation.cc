#include "reconcilers/model/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "controller/base/json.h"
#include "crd/reasons.h"

namespace oms::model {
namespace {

using nlohmann::json;

constexpr std::pair<PointKind, std::string_view> kPointNames[] = {
    {PointKind::kHaDisabling, "HADisabling"},
    {PointKind::kStopping, "Stopping"},
    {PointKind::kNewStarting, "NewStarting"},
    {PointKind::kScriptStarting, "ScriptStarting"},
    {PointKind::kRollbackStopping, "RollbackStopping"},
    {PointKind::kFirstDrop, "FirstDrop"},
    {PointKind::kOldStarting, "OldStarting"},
    {PointKind::kComponentUpgrading, "ComponentUpgrading"},
};

constexpr std::pair<OperationOutcome, std::string_view> kOutcomeNames[] = {
    {OperationOutcome::kOpen, "Open"},
    {OperationOutcome::kSucceeded, "Succeeded"},
    {OperationOutcome::kRolledBack, "RolledBack"},
    {OperationOutcome::kAbandoned, "Abandoned"},
    {OperationOutcome::kCalledOff, "CalledOff"},
};

constexpr std::pair<crd::NodeRole, std::string_view> kRoleNames[] = {
    {crd::NodeRole::kAll, "All"},
    {crd::NodeRole::kManagement, "Management"},
    {crd::NodeRole::kComponent, "Component"},
};

template <typename E, size_t N>
E FromName(const std::pair<E, std::string_view> (&names)[N], const std::string& name) {
  for (const auto& [value, text] : names) {
    if (text == name) return value;
  }
  // Caught by FromJson: an unknown word means a newer writer, and guessing is not allowed.
  throw std::invalid_argument("unknown word '" + name + "'");
}

Direction DirectionFromName(const std::string& name) {
  if (name == "Upgrade") return Direction::kUpgrade;
  if (name == "Rollback") return Direction::kRollback;
  throw std::invalid_argument("unknown direction '" + name + "'");
}

// Caught by FromJson, as what the library throws: no number is cut to what fits.
template <typename T>
T Whole(const json& value) {
  const auto number = base::WholeNumber<T>(value);
  if (!number) {
    throw std::out_of_range(std::string("a ") + value.type_name() +
                            " where a whole number is expected, or one that does not fit");
  }
  return *number;
}

json Time(base::WallTime time) { return base::FormatMicroTime(time); }
json Time(const std::optional<base::WallTime>& time) { return time ? Time(*time) : json(); }

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
json Optional(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

json NodeToJson(const FrozenNode& node) {
  return {{"name", node.name},
          {"engineID", node.engine_id},
          {"hostIP", node.host_ip},
          {"oldID", node.old_id},
          {"oldName", node.old_name},
          {"oldStartedAt", node.old_started_at},
          {"oldImage", node.old_image},
          {"oldImageID", node.old_image_id},
          {"oldRestartPolicy", node.old_restart_policy},
          {"oldRestartRetries", node.old_restart_retries},
          {"oldInspect", node.old_inspect},
          {"newName", node.new_name},
          {"targetImageID", node.target_image_id},
          {"configSource", node.config_source},
          {"role", crd::ToString(node.role)},
          {"kept", node.keeps_running}};
}

FrozenNode NodeFromJson(const json& value) {
  FrozenNode node;
  value.at("name").get_to(node.name);
  value.at("engineID").get_to(node.engine_id);
  value.at("hostIP").get_to(node.host_ip);
  value.at("oldID").get_to(node.old_id);
  value.at("oldName").get_to(node.old_name);
  value.at("oldStartedAt").get_to(node.old_started_at);
  value.at("oldImage").get_to(node.old_image);
  value.at("oldImageID").get_to(node.old_image_id);
  value.at("oldRestartPolicy").get_to(node.old_restart_policy);
  node.old_restart_retries = Whole<int>(value.at("oldRestartRetries"));
  value.at("oldInspect").get_to(node.old_inspect);
  value.at("newName").get_to(node.new_name);
  value.at("targetImageID").get_to(node.target_image_id);
  value.at("configSource").get_to(node.config_source);
  // Of a record from before there were roles: All.
  node.role = FromName(kRoleNames, value.value("role", std::string("All")));
  node.keeps_running = value.value("kept", false);
  return node;
}

json FilesToJson(const std::map<std::string, FileRef>& files) {
  json out = json::object();
  for (const auto& [node, file] : files) {
    out[node] = {{"path", file.path},
                 {"sha256", file.sha256},
                 {"uid", file.uid},
                 {"gid", file.gid},
                 {"mode", file.mode}};
  }
  return out;
}

std::map<std::string, FileRef> FilesFromJson(const json& value) {
  std::map<std::string, FileRef> files;
  for (const auto& [node, file] : value.items()) {
    files[node] = {file.at("path"), file.at("sha256"), Whole<int64_t>(file.at("uid")),
                   Whole<int64_t>(file.at("gid")), Whole<uint32_t>(file.at("mode"))};
  }
  return files;
}

json LoadedToJson(const std::map<std::string, LoadedImage>& images) {
  json out = json::object();
  for (const auto& [node, image] : images) {
    out[node] = {{"reference", image.reference},
                 {"archive", image.archive},
                 {"imageID", image.image_id},
                 {"digests", image.digests}};
  }
  return out;
}

std::map<std::string, LoadedImage> LoadedFromJson(const json& value) {
  std::map<std::string, LoadedImage> images;
  for (const auto& [node, image] : value.items()) {
    images[node] = {image.at("reference"), image.at("archive"), image.at("imageID"),
                    image.at("digests")};
  }
  return images;
}

json ComponentsToJson(const std::map<std::string, UpgradedComponent>& components) {
  json out = json::object();
  for (const auto& [node, component] : components) {
    out[node] = {{"containerID", component.container_id},
                 {"version", component.version},
                 {"at", Time(component.at)}};
  }
  return out;
}

std::map<std::string, UpgradedComponent> ComponentsFromJson(const json& value) {
  std::map<std::string, UpgradedComponent> components;
  for (const auto& [node, component] : value.items()) {
    components[node] = {component.at("containerID"), component.at("version"),
                        TimeFrom(component.at("at"))};
  }
  return components;
}

json TimesToJson(const std::map<std::string, base::WallTime>& times) {
  json out = json::object();
  for (const auto& [name, time] : times) out[name] = Time(time);
  return out;
}

std::map<std::string, base::WallTime> TimesFromJson(const json& value) {
  std::map<std::string, base::WallTime> times;
  for (const auto& [name, time] : value.items()) times[name] = TimeFrom(time);
  return times;
}

json BackupToJson(const BackupRef& backup) {
  json out = {{"folder", backup.folder},
              {"manifestSHA256", backup.manifest_sha256},
              {"bytes", backup.bytes},
              {"containerID", backup.container_id},
              {"startedAt", backup.started_at},
              {"otherRuns", backup.other_runs},
              {"heartbeatMax", backup.heartbeat_max},
              {"completed", Time(backup.completed)},
              {"databases", json::array()}};
  for (const auto& part : backup.databases) {
    out["databases"].push_back(
        {{"name", part.name}, {"bytes", part.bytes}, {"sha256", part.sha256}});
  }
  return out;
}

BackupRef BackupFromJson(const json& value) {
  BackupRef backup;
  value.at("folder").get_to(backup.folder);
  value.at("manifestSHA256").get_to(backup.manifest_sha256);
  backup.bytes = Whole<uint64_t>(value.at("bytes"));
  value.at("containerID").get_to(backup.container_id);
  value.at("startedAt").get_to(backup.started_at);
  backup.other_runs = value.value("otherRuns", std::map<std::string, std::string>());
  backup.heartbeat_max = Whole<uint64_t>(value.at("heartbeatMax"));
  backup.completed = TimeFrom(value.at("completed"));
  for (const auto& part : value.at("databases")) {
    backup.databases.push_back(
        {part.at("name"), Whole<uint64_t>(part.at("bytes")), part.at("sha256")});
  }
  return backup;
}

json RestoreToJson(const OperationRecord& record) {
  json saved;
  if (record.upgraded_state) {
    saved = {{"folder", record.upgraded_state->folder},
             {"complete", record.upgraded_state->complete},
             {"why", record.upgraded_state->why}};
  }
  json restore = {{"differing", Optional(record.differing)},
                  {"upgradedState", saved},
                  {"restored", TimesToJson(record.restored)},
                  {"differs", record.restore_differs}};
  if (!record.dropped_events.empty()) restore["droppedEvents"] = record.dropped_events;
  return restore;
}

void RestoreFromJson(const json& value, OperationRecord& record) {
  if (const json& differing = value.at("differing"); !differing.is_null()) {
    record.differing = differing.get<std::vector<std::string>>();
  }
  if (const json& saved = value.at("upgradedState"); !saved.is_null()) {
    record.upgraded_state = SavedState{saved.at("folder"), saved.at("complete"), saved.at("why")};
  }
  record.restored = TimesFromJson(value.at("restored"));
  value.at("differs").get_to(record.restore_differs);
  record.dropped_events = value.value("droppedEvents", std::vector<std::string>());
}

// A number where there is one server, as in records of before there could be two.
json TimeoutsToJson(const OperationRecord& record) {
  if (!record.cm_global_query_timeout) return Optional(record.global_query_timeout);
  return {{"rm", Optional(record.global_query_timeout)}, {"cm", *record.cm_global_query_timeout}};
}

void TimeoutsFromJson(const json& value, OperationRecord& record) {
  const json& rm = value.is_object() ? value.at("rm") : value;
  if (!rm.is_null()) record.global_query_timeout = Whole<uint64_t>(rm);
  if (value.is_object()) record.cm_global_query_timeout = Whole<uint64_t>(value.at("cm"));
}

json RefToJson(const std::optional<OperationRef>& ref) {
  return ref ? json{{"id", ref->id}, {"folder", ref->folder}} : json();
}
std::optional<OperationRef> RefFromJson(const json& value) {
  if (value.is_null()) return std::nullopt;
  return OperationRef{value.at("id"), value.at("folder")};
}

json MarkToJson(const ResourceMark& mark) {
  return {{"uid", mark.uid}, {"generation", mark.generation}, {"resetToken", mark.reset_token}};
}
ResourceMark MarkFromJson(const json& value) {
  return {value.at("uid"), Whole<int64_t>(value.at("generation")), value.at("resetToken")};
}

json FailureToJson(const std::optional<StepFailure>& failure) {
  if (!failure) return {};
  return {{"step", NameOf(failure->step)},
          {"count", failure->count},
          {"reason", failure->reason},
          {"message", failure->message},
          {"retryable", failure->retryable}};
}
std::optional<StepFailure> FailureFromJson(const json& value) {
  if (value.is_null()) return std::nullopt;
  const std::string name = value.at("step");
  const auto* step = std::find_if(kSteps.begin(), kSteps.end(),
                                  [&](const auto& info) { return info.name == name; });
  if (step == kSteps.end()) throw std::invalid_argument("unknown step '" + name + "'");
  return StepFailure{step->step, Whole<int>(value.at("count")), value.at("reason"),
                     value.at("message"), value.at("retryable")};
}

std::vector<ports::Owner> OwnersFromJson(const json& value) {
  std::vector<ports::Owner> owners;
  for (const auto& owner : value) owners.push_back({owner.at("cluster"), owner.at("object")});
  return owners;
}

OperationRecord RecordFromJson(const json& value) {
  OperationRecord record;
  value.at("id").get_to(record.id);
  value.at("folder").get_to(record.folder);
  value.at("volume").get_to(record.volume);
  value.at("owner").at("cluster").get_to(record.owner_cluster);
  value.at("owner").at("object").get_to(record.owner_object);
  // Not of one that was never taken over, nor of one from before it was written down.
  record.former_owners = OwnersFromJson(value.value("formerOwners", json::array()));
  record.epoch = Whole<uint64_t>(value.at("epoch"));
  value.at("from").get_to(record.from);
  value.at("to").get_to(record.to);
  const json& image = value.at("image");
  image.at("reference").get_to(record.image.reference);
  image.at("archive").get_to(record.image.archive);
  image.at("id").get_to(record.image.id);
  image.at("sha256").get_to(record.image.sha256);
  record.undoes = RefFromJson(value.at("undoes"));
  value.at("follows").get_to(record.follows);
  record.previous = RefFromJson(value.at("previous"));
  value.at("secrets").get_to(record.secrets);
  value.at("planHash").get_to(record.plan_hash);
  record.handled = MarkFromJson(value.at("handled"));
  record.latched = MarkFromJson(value.at("latched"));
  for (const auto& time : value.at("recent")) record.recent.push_back(TimeFrom(time));
  record.direction = DirectionFromName(value.at("direction"));
  for (const auto& turn : value.at("turns")) {
    record.turns.push_back(
        {DirectionFromName(turn.at("direction")), turn.at("why"), TimeFrom(turn.at("at"))});
  }
  record.outcome = FromName(kOutcomeNames, value.at("outcome"));
  value.at("outcomeReason").get_to(record.outcome_reason);
  record.started = TimeFrom(value.at("started"));
  record.ended = OptionalTimeFrom(value.at("ended"));
  for (const auto& node : value.at("nodes")) record.nodes.push_back(NodeFromJson(node));
  record.components = ComponentsFromJson(value.value("components", json::object()));
  for (const auto& db : value.at("databases")) {
    record.databases.push_back({db.at("role"), db.at("name"), db.at("server")});
  }
  const json& ha = value.at("ha");
  if (!ha.at("raw").is_null()) record.ha_raw = ha.at("raw").get<std::string>();
  ha.at("wasOn").get_to(record.ha_was_on);
  TimeoutsFromJson(value.at("globalQueryTimeout"), record);
  for (const auto& point : value.at("points")) {
    record.points.push_back({FromName(kPointNames, point.at("point")), point.at("node"),
                             point.at("step"), Whole<int>(point.at("attempt")),
                             TimeFrom(point.at("at"))});
  }
  for (const auto& [name, count] : value.at("attempts").items())
    record.attempts[name] = Whole<int>(count);
  record.evidence = TimesFromJson(value.at("evidence"));
  record.failure = FailureFromJson(value.at("failure"));
  record.t1 = OptionalTimeFrom(value.at("t1"));
  record.t2 = OptionalTimeFrom(value.at("t2"));
  record.t3 = OptionalTimeFrom(value.at("t3"));
  record.backup_t1 = OptionalTimeFrom(value.at("backupT1"));
  record.progress_since = OptionalTimeFrom(value.at("progressSince"));
  if (const json& backup = value.at("backup"); !backup.is_null()) {
    record.backup = BackupFromJson(backup);
  }
  RestoreFromJson(value.at("restore"), record);
  record.config_backups = FilesFromJson(value.at("configBackups"));
  record.config_rewrites = FilesFromJson(value.at("configRewrites"));
  record.image_backups = FilesFromJson(value.at("imageBackups"));
  record.config_meant = value.value("configMeant", record.config_meant);
  record.dead_containers = value.value("deadContainers", record.dead_containers);
  record.loaded_images = LoadedFromJson(value.value("loadedImages", json::object()));
  return record;
}

}  // namespace

std::string_view ToString(Direction direction) {
  return direction == Direction::kUpgrade ? "Upgrade" : "Rollback";
}

std::string_view ToString(OperationOutcome outcome) {
  for (const auto& [value, text] : kOutcomeNames) {
    if (value == outcome) return text;
  }
  return "Open";
}

std::string_view ToString(PointKind kind) {
  for (const auto& [value, text] : kPointNames) {
    if (value == kind) return text;
  }
  return "HADisabling";
}

bool OperationRecord::Passed(PointKind kind) const {
  return std::any_of(points.begin(), points.end(), [&](const Point& p) { return p.kind == kind; });
}

bool OperationRecord::Passed(PointKind kind, const std::string& node) const {
  return std::any_of(points.begin(), points.end(),
                     [&](const Point& p) { return p.kind == kind && p.node == node; });
}

bool OperationRecord::TouchedOms() const {
  // The points of an undo begin with those of the upgrade that it undoes, but for HA's.
  const bool stopped = undoes
                           ? Passed(PointKind::kRollbackStopping)
                           : Passed(PointKind::kStopping) || Passed(PointKind::kComponentUpgrading);
  return stopped || Passed(PointKind::kHaDisabling);
}

int OperationRecord::LastAttempt(PointKind kind, const std::string& node,
                                 const std::string& step) const {
  int last = 0;
  for (const auto& p : points) {
    if (p.kind == kind && p.node == node && p.step == step) last = std::max(last, p.attempt);
  }
  return last;
}

std::optional<base::WallTime> OperationRecord::PassedAt(PointKind kind,
                                                        const std::string& node) const {
  std::optional<base::WallTime> last;
  for (const auto& p : points) {
    if (p.kind == kind && p.node == node) last = last ? std::max(*last, p.at) : p.at;
  }
  return last;
}

const FrozenNode& OperationRecord::ScriptNode() const {
  const auto found = std::find_if(nodes.begin(), nodes.end(), [](const FrozenNode& node) {
    return node.role != crd::NodeRole::kComponent;
  });
  return found == nodes.end() ? nodes.front() : *found;
}

bool OperationRecord::KeepsTasks() const {
  return std::any_of(nodes.begin(), nodes.end(),
                     [](const FrozenNode& node) { return node.keeps_running; });
}

bool OperationRecord::ComponentUpgraded(const FrozenNode& node) const {
  const auto done = components.find(node.name);
  return done != components.end() && done->second.container_id == node.old_id &&
         done->second.version == to;
}

bool OperationRecord::ConfigEditedInPlace(const FrozenNode& node) const {
  const auto rewritten = config_rewrites.find(node.name);
  return rewritten != config_rewrites.end() && rewritten->second.path == node.config_source;
}

bool OperationRecord::MeantConfig(const std::string& node, const std::string& sha256) const {
  const auto written = config_rewrites.find(node);
  if (written != config_rewrites.end() && written->second.sha256 == sha256) return true;
  const auto meant = config_meant.find(node);
  return meant != config_meant.end() &&
         std::find(meant->second.begin(), meant->second.end(), sha256) != meant->second.end();
}

const FrozenNode* OperationRecord::Node(std::string_view name) const {
  for (const auto& node : nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

std::string OperationRecord::Database(std::string_view role) const {
  for (const auto& db : databases) {
    if (db.role == role) return db.name;
  }
  return {};
}

std::optional<OperationRef> OperationRecord::WayBack() const {
  if (outcome == OperationOutcome::kSucceeded) return OperationRef{id, folder};
  const bool maybe_not_undone =
      outcome == OperationOutcome::kCalledOff || outcome == OperationOutcome::kAbandoned;
  return maybe_not_undone && undoes ? undoes : previous;
}

std::string OperationRecord::ToJson() const {
  json out = {{"format", KeepsTasks() ? kFormat : 1},
              {"id", id},
              {"folder", folder},
              {"volume", volume},
              {"owner", {{"cluster", owner_cluster}, {"object", owner_object}}},
              {"epoch", epoch},
              {"from", from},
              {"to", to},
              {"image",
               {{"reference", image.reference},
                {"archive", image.archive},
                {"id", image.id},
                {"sha256", image.sha256}}},
              {"undoes", RefToJson(undoes)},
              {"follows", follows},
              {"previous", RefToJson(previous)},
              {"secrets", secrets},
              {"planHash", plan_hash},
              {"handled", MarkToJson(handled)},
              {"latched", MarkToJson(latched)},
              {"recent", json::array()},
              {"direction", ToString(direction)},
              {"turns", json::array()},
              {"outcome", ToString(outcome)},
              {"outcomeReason", outcome_reason},
              {"started", Time(started)},
              {"ended", Time(ended)},
              {"nodes", json::array()},
              {"databases", json::array()},
              {"ha", {{"raw", Optional(ha_raw)}, {"wasOn", ha_was_on}}},
              {"globalQueryTimeout", TimeoutsToJson(*this)},
              {"points", json::array()},
              {"attempts", attempts},
              {"evidence", TimesToJson(evidence)},
              {"failure", FailureToJson(failure)},
              {"t1", Time(t1)},
              {"t2", Time(t2)},
              {"t3", Time(t3)},
              {"backupT1", Time(backup_t1)},
              {"progressSince", Time(progress_since)},
              {"backup", backup ? BackupToJson(*backup) : json()},
              {"restore", RestoreToJson(*this)},
              {"configBackups", FilesToJson(config_backups)},
              {"configRewrites", FilesToJson(config_rewrites)},
              {"imageBackups", FilesToJson(image_backups)}};
  if (!config_meant.empty()) out["configMeant"] = config_meant;
  if (!dead_containers.empty()) out["deadContainers"] = dead_containers;
  if (!loaded_images.empty()) out["loadedImages"] = LoadedToJson(loaded_images);
  if (!components.empty()) out["components"] = ComponentsToJson(components);
  for (const auto& turn : turns) {
    out["turns"].push_back(
        {{"direction", ToString(turn.direction)}, {"why", turn.why}, {"at", Time(turn.at)}});
  }
  for (const auto& node : nodes) out["nodes"].push_back(NodeToJson(node));
  for (const auto& db : databases) {
    out["databases"].push_back({{"role", db.role}, {"name", db.name}, {"server", db.server}});
  }
  for (const auto& p : points) {
    out["points"].push_back({{"point", ToString(p.kind)},
                             {"node", p.node},
                             {"step", p.step},
                             {"attempt", p.attempt},
                             {"at", Time(p.at)}});
  }
  for (const auto& time : recent) out["recent"].push_back(Time(time));
  for (const auto& owner : former_owners) {
    out["formerOwners"].push_back({{"cluster", owner.cluster}, {"object", owner.object}});
  }
  return out.dump(1, ' ', false, json::error_handler_t::replace);
}

base::Result<OperationRecord> OperationRecord::FromJson(std::string_view text) {
  const auto parsed = base::ParseJson(text);
  if (!parsed.ok()) {
    return base::MakeError(base::Code::kInvalid, crd::reason::kRecordFormat,
                           "the operation record " + parsed.error().message);
  }
  const json& value = *parsed;
  try {
    const int format = Whole<int>(value.at("format"));
    if (format > kFormat) {
      return base::MakeError(base::Code::kInvalid, crd::reason::kRecordFormat,
                             fmt::format("the operation record has format {}, newer than this "
                                         "controller's {}; use the newer controller",
                                         format, kFormat));
    }
    return RecordFromJson(value);
  } catch (const std::exception& problem) {
    return base::MakeError(base::Code::kInvalid, crd::reason::kRecordFormat,
                           fmt::format("the operation record cannot be read: {}", problem.what()));
  }
}

base::Result<OperationRecord> FoldRecords(const std::vector<std::string>& texts) {
  if (texts.empty())
    return base::MakeError(base::Code::kNotFound, "the folder contains no operation record");
  std::vector<Point> points;
  std::optional<OperationRecord> last;
  for (const auto& text : texts) {
    OMS_ASSIGN(last, OperationRecord::FromJson(text));
    for (const auto& point : last->points) {
      const bool known = std::any_of(points.begin(), points.end(),
                                     [&](const Point& p) { return p.SameAs(point); });
      if (!known) points.push_back(point);
    }
  }
  last->points = std::move(points);
  return *std::move(last);
}

}  // namespace oms::model

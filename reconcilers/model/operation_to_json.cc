// The record as text, in the format that this controller writes. Each field is in each record.
#include <nlohmann/json.hpp>

#include "reconcilers/model/operation.h"
#include "reconcilers/model/operation_names.h"

namespace oms::model {
namespace {

using nlohmann::json;

json Time(base::WallTime time) { return base::FormatMicroTime(time); }
json Time(const std::optional<base::WallTime>& time) { return time ? Time(*time) : json(); }

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

json ComponentsToJson(const std::map<std::string, UpgradedComponent>& components) {
  json out = json::object();
  for (const auto& [node, component] : components) {
    out[node] = {{"containerID", component.container_id},
                 {"version", component.version.ToString()},
                 {"at", Time(component.at)}};
  }
  return out;
}

json StepsToJson(const std::map<Step, StepProgress>& steps) {
  json out = json::object();
  for (const auto& [step, progress] : steps) {
    out[std::string(NameOf(step))] = {
        {"begun", progress.begun}, {"forgiven", progress.forgiven}, {"seen", Time(progress.seen)}};
  }
  return out;
}

json BackupToJson(const std::optional<BackupRef>& backup) {
  if (!backup) return {};
  json out = {{"folder", backup->folder},
              {"manifestSHA256", backup->manifest_sha256},
              {"bytes", backup->bytes},
              {"containerID", backup->container_id},
              {"startedAt", backup->started_at},
              {"otherRuns", backup->other_runs},
              {"heartbeatMax", backup->heartbeat_max},
              {"completed", Time(backup->completed)},
              {"databases", json::array()}};
  for (const auto& part : backup->databases) {
    out["databases"].push_back(
        {{"name", part.name}, {"bytes", part.bytes}, {"sha256", part.sha256}});
  }
  return out;
}

json RestoreToJson(const OperationRecord& record) {
  json saved;
  if (record.upgraded_state) {
    saved = {{"folder", record.upgraded_state->folder},
             {"complete", record.upgraded_state->complete},
             {"why", record.upgraded_state->why}};
  }
  json databases = json::object();
  for (const auto& [name, restore] : record.restores) {
    databases[name] = {{"begun", restore.begun},
                       {"concluded", restore.concluded},
                       {"differed", restore.differed},
                       {"difference", restore.difference},
                       {"restored", Time(restore.restored)}};
  }
  return {{"differing", Optional(record.differing)},
          {"upgradedState", saved},
          {"databases", databases},
          {"droppedEvents", record.dropped_events}};
}

json RefToJson(const std::optional<OperationRef>& ref) {
  return ref ? json{{"id", ref->id}, {"folder", ref->folder}} : json();
}

json MarkToJson(const ResourceMark& mark) {
  return {{"uid", mark.uid}, {"generation", mark.generation}, {"resetToken", mark.reset_token}};
}

json FailureToJson(const std::optional<StepFailure>& failure) {
  if (!failure) return {};
  return {{"step", NameOf(failure->step)},
          {"count", failure->count},
          {"reason", failure->reason},
          {"message", failure->message},
          {"retryable", failure->retryable}};
}

json PointToJson(const Point& point) {
  return {{"point", ToString(point.kind)},
          {"node", point.node},
          {"step", point.step ? json(NameOf(*point.step)) : json()},
          {"attempt", point.attempt},
          {"at", Time(point.at)}};
}

json ImageToJson(const crd::Image& image) {
  return {{"reference", image.reference},
          {"archive", image.archive},
          {"id", image.id},
          {"sha256", image.sha256}};
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

std::string OperationRecord::ToJson() const {
  json out = {{"format", kFormat},
              {"id", id},
              {"folder", folder},
              {"volume", volume},
              {"owner", {{"cluster", owner_cluster}, {"object", owner_object}}},
              {"formerOwners", json::array()},
              {"epoch", epoch},
              {"from", from.ToString()},
              {"to", to.ToString()},
              {"image", ImageToJson(image)},
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
              {"components", ComponentsToJson(components)},
              {"databases", json::array()},
              {"ha", {{"raw", Optional(ha_raw)}, {"wasOn", ha_was_on}}},
              {"globalQueryTimeout",
               {{"rm", Optional(global_query_timeout)}, {"cm", Optional(cm_global_query_timeout)}}},
              {"points", json::array()},
              {"steps", StepsToJson(steps)},
              {"failure", FailureToJson(failure)},
              {"saidWhole", Time(said_whole)},
              {"t1", Time(t1)},
              {"t2", Time(t2)},
              {"t3", Time(t3)},
              {"backupT1", Time(backup_t1)},
              {"progressSince", Time(progress_since)},
              {"backup", BackupToJson(backup)},
              {"restore", RestoreToJson(*this)},
              {"configBackups", FilesToJson(config_backups)},
              {"configRewrites", FilesToJson(config_rewrites)},
              {"configMeant", config_meant},
              {"imageBackups", FilesToJson(image_backups)},
              {"loadedImages", LoadedToJson(loaded_images)},
              {"deadContainers", dead_containers}};
  for (const auto& owner : former_owners) {
    out["formerOwners"].push_back({{"cluster", owner.cluster}, {"object", owner.object}});
  }
  for (const auto& time : recent) out["recent"].push_back(Time(time));
  for (const auto& turn : turns) {
    out["turns"].push_back(
        {{"direction", ToString(turn.direction)}, {"why", turn.why}, {"at", Time(turn.at)}});
  }
  for (const auto& node : nodes) out["nodes"].push_back(NodeToJson(node));
  for (const auto& db : databases) {
    out["databases"].push_back({{"role", db.role}, {"name", db.name}, {"server", db.server}});
  }
  for (const auto& point : points) out["points"].push_back(PointToJson(point));
  return out.dump(1, ' ', false, json::error_handler_t::replace);
}

}  // namespace oms::model

#include "reconcilers/record/open_operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "crd/reasons.h"
#include "reconcilers/model/databases.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/oms/ha_config.h"

namespace oms::record {

namespace {

std::string FolderName(const NewOperation& operation, const crd::Version& from,
                       const crd::Version& to) {
  return fmt::format("{}-{}-{}-to-{}-{}", operation.key.ns, operation.key.name, from, to,
                     operation.id.substr(0, 8));
}

void Begin(const NewOperation& operation, model::OperationRecord& record) {
  record.id = operation.id;
  record.owner_cluster = operation.owner.cluster;
  record.owner_object = operation.owner.object;
  record.epoch = operation.epoch;
  record.handled = operation.resource;
  record.plan_hash = operation.plan_hash;
  record.started = operation.now;
  record.recent = operation.recent;
  record.recent.push_back(record.started);
}

}  // namespace

base::Result<model::OperationRecord> FirstRecord(const crd::Spec& spec, const observe::Site& site,
                                                 const model::Facts& facts,
                                                 const NewOperation& operation) {
  if (!facts.volume || !facts.meta || !facts.config) {
    return base::MakeError(base::Code::kInvalid,
                           "an operation cannot be opened before all is known");
  }
  model::OperationRecord record;
  record.folder = (std::filesystem::path(spec.backup.directory) /
                   FolderName(operation, operation.from, operation.to))
                      .string();
  record.volume = facts.volume->identity;
  record.from = operation.from;
  record.to = operation.to;
  record.image = spec.image;
  record.follows = operation.follows;
  if (site.record) {
    record.previous = site.record->WayBack();
    record.components = site.record->components;
    record.former_owners = site.record->former_owners;
  }
  Begin(operation, record);
  for (const auto& node : facts.nodes) {
    if (!node.engine || !node.old_container) {
      return base::MakeError(base::Code::kInvalid,
                             "an operation cannot be opened before all nodes are known");
    }
    const ports::ContainerInfo& old = *node.old_container;
    const ports::Mount* config = old.FindMount(product::kConfigMount);
    model::FrozenNode frozen;
    frozen.name = node.name;
    frozen.role = node.role;
    frozen.keeps_running = node.keeps_running;
    frozen.engine_id = node.engine->id;
    frozen.host_ip = old.EnvValue("OMS_HOST_IP");
    frozen.old_id = old.id;
    frozen.old_name = old.name;
    frozen.old_started_at = old.started_at;
    frozen.old_image = old.image;
    frozen.old_image_id = old.image_id;
    frozen.old_restart_policy = old.restart_policy.empty() ? "no" : old.restart_policy;
    frozen.old_restart_retries = old.restart_max_retries;
    frozen.old_inspect = old.inspect;
    frozen.new_name = crd::NewContainerName(old.name, operation.from, operation.to);
    frozen.config_source = config == nullptr ? std::string() : config->source;
    record.nodes.push_back(std::move(frozen));
  }
  record.databases = model::DatabasesOf(*facts.config, *facts.meta);
  record.ha_raw = facts.meta->ha_raw;
  if (record.ha_raw) {
    OMS_ASSIGN(const product::HaState ha, product::ReadHa(*record.ha_raw));
    record.ha_was_on = ha.enabled;
  }
  return record;
}

model::OperationRecord UndoRecord(const model::OperationRecord& undone,
                                  const NewOperation& operation) {
  const std::filesystem::path old_folder = undone.folder;
  model::OperationRecord record = undone;
  record.folder =
      (old_folder.parent_path() / FolderName(operation, undone.to, undone.from)).string();
  record.undoes = model::OperationRef{undone.id, undone.folder};
  record.follows = operation.follows;
  record.failure.reset();
  record.latched = {};
  record.secrets.clear();
  record.outcome = model::OperationOutcome::kOpen;
  record.outcome_reason.clear();
  record.ended.reset();
  record.backup_t1 = undone.t1;
  record.t1.reset();
  record.t2.reset();
  record.t3.reset();
  record.progress_since.reset();
  Begin(operation, record);
  record.direction = model::Direction::kRollback;
  record.turns = {{model::Direction::kRollback, crd::reason::kVersionReverted, record.started}};
  // HA is looked at anew: what a person has switched since is theirs.
  std::erase_if(record.points, [](const model::Point& point) {
    return point.kind == model::PointKind::kHaDisabling;
  });
  record.steps.clear();
  record.restores.clear();
  record.said_whole.reset();
  // Whether what it led to was in use.
  if (const auto used = undone.Progress(model::Step::kAwaitHealth).seen)
    record.NoteSeen(model::Step::kAwaitHealth, *used);
  record.global_query_timeout.reset();
  record.cm_global_query_timeout.reset();
  // Where they lie, seen from another folder.
  if (record.backup) record.backup->folder = (old_folder / record.backup->folder).string();
  for (auto* files : {&record.config_backups, &record.image_backups}) {
    for (auto& [node, file] : *files) file.path = (old_folder / file.path).string();
  }
  return record;
}

std::optional<base::WallTime> DowntimeStart(const model::OperationRecord& record,
                                            const model::Facts& facts) {
  std::optional<base::WallTime> earliest;
  const auto consider = [&](base::WallTime time) {
    earliest = earliest ? std::min(*earliest, time) : time;
  };
  for (const auto& point : record.points) {
    if (point.kind == model::PointKind::kStopping) consider(point.at);
  }
  if (!earliest) return std::nullopt;
  for (const auto& node : facts.nodes) {
    if (!node.old_container || node.old_container->running) continue;
    const auto started = base::ParseTime(node.old_container->started_at);
    const auto finished = base::ParseTime(node.old_container->finished_at);
    if (started.ok() && finished.ok() && *finished > *started) consider(*finished);
  }
  if (facts.meta) {
    for (const auto& [node, beat] : facts.meta->heartbeats) {
      if (beat.found) consider(facts.now - base::Duration(beat.age_ms));
    }
  }
  return earliest;
}

void ApplyOverrides(const crd::Spec& spec, product::PathSteps& path) {
  if (path.legacy_steps) {
    if (!spec.legacy.jar_path.empty()) path.correction_jar = spec.legacy.jar_path;
    if (!spec.legacy.working_directory.empty())
      path.legacy_working_directory = spec.legacy.working_directory;
  }
  if (!spec.deployment.upgrade_script) return;
  const crd::UpgradeScript& script = *spec.deployment.upgrade_script;
  if (!script.path.empty()) path.upgrade_script = script.path;
  if (!script.working_directory.empty()) path.working_directory = script.working_directory;
  if (!script.completion_line.empty()) path.completion_lines = {script.completion_line};
}

}  // namespace oms::record

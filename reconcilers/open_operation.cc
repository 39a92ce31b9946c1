#include "reconcilers/open_operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "reconcilers/container_clone.h"
#include "reconcilers/databases.h"
#include "reconcilers/ha_config.h"

namespace oms::upgrade {

namespace {

std::string FolderName(const NewOperation& operation, const std::string& from,
                       const std::string& to) {
  return fmt::format("{}-{}-{}-to-{}-{}", operation.key.ns, operation.key.name, from, to,
                     operation.id.substr(0, 8));
}

void Begin(const base::Context& ctx, const NewOperation& operation, OperationRecord& record) {
  record.id = operation.id;
  record.owner_cluster = operation.owner.cluster;
  record.owner_object = operation.owner.object;
  record.epoch = operation.epoch;
  record.handled = operation.resource;
  record.plan_hash = operation.plan_hash;
  record.started = ctx.clock().Wall();
  record.recent = operation.recent;
  record.recent.push_back(record.started);
}

}  // namespace

base::Result<OperationRecord> FirstRecord(const base::Context& ctx, const crd::Spec& spec,
                                          const Site& site, const Facts& facts,
                                          const NewOperation& operation) {
  if (!facts.volume || !facts.meta || !facts.config) {
    return base::MakeError(base::Code::kInvalid,
                           "an operation cannot be opened before all is known");
  }
  OMS_ASSIGN(const crd::Version from, crd::Version::Parse(operation.from));
  OMS_ASSIGN(const crd::Version to, crd::Version::Parse(operation.to));
  OperationRecord record;
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
  Begin(ctx, operation, record);
  for (const auto& node : facts.nodes) {
    if (!node.engine || !node.old_container) {
      return base::MakeError(base::Code::kInvalid,
                             "an operation cannot be opened before all nodes are known");
    }
    const ContainerInfo& old = *node.old_container;
    const Mount* config = old.FindMount(kConfigMount);
    FrozenNode frozen;
    frozen.name = node.name;
    frozen.role = node.role;
    frozen.kept = node.kept;
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
    frozen.new_name = crd::NewContainerName(old.name, from, to);
    frozen.config_source = config == nullptr ? std::string() : config->source;
    record.nodes.push_back(std::move(frozen));
  }
  record.databases = DatabasesOf(*facts.config, *facts.meta);
  record.ha_raw = facts.meta->ha_raw;
  if (record.ha_raw) {
    OMS_ASSIGN(const HaState ha, ReadHa(*record.ha_raw));
    record.ha_was_on = ha.enabled;
  }
  return record;
}

OperationRecord UndoRecord(const base::Context& ctx, const OperationRecord& undone,
                           const NewOperation& operation) {
  const std::filesystem::path old_folder = undone.folder;
  OperationRecord record = undone;
  record.folder =
      (old_folder.parent_path() / FolderName(operation, undone.to, undone.from)).string();
  record.undoes = OperationRef{undone.id, undone.folder};
  record.follows = operation.follows;
  record.failure.reset();
  record.latched = {};
  record.secrets.clear();
  record.outcome = OperationOutcome::kOpen;
  record.outcome_reason.clear();
  record.ended.reset();
  record.backup_t1 = undone.t1;
  record.t1.reset();
  record.t2.reset();
  record.t3.reset();
  record.progress_since.reset();
  Begin(ctx, operation, record);
  record.direction = Direction::kRollback;
  record.turns = {{Direction::kRollback, crd::reason::kVersionReverted, record.started}};
  // HA is looked at anew: what a person has switched since is theirs.
  std::erase_if(record.points,
                [](const Point& point) { return point.kind == PointKind::kHaDisabling; });
  record.attempts.clear();
  const std::string used(NameOf(Step::kAwaitHealth));
  std::erase_if(record.evidence, [&](const auto& seen) { return seen.first != used; });
  record.global_query_timeout.reset();
  record.cm_global_query_timeout.reset();
  // Where they lie, seen from another folder.
  if (record.backup) record.backup->folder = (old_folder / record.backup->folder).string();
  for (auto* files : {&record.config_backups, &record.image_backups}) {
    for (auto& [node, file] : *files) file.path = (old_folder / file.path).string();
  }
  return record;
}

std::optional<base::WallTime> DowntimeStart(const OperationRecord& record, const Facts& facts) {
  std::optional<base::WallTime> earliest;
  const auto consider = [&](base::WallTime time) {
    earliest = earliest ? std::min(*earliest, time) : time;
  };
  for (const auto& point : record.points) {
    if (point.kind == PointKind::kStopping) consider(point.at);
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

void ApplyOverrides(const crd::Spec& spec, PathSteps& path) {
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

}  // namespace oms::upgrade

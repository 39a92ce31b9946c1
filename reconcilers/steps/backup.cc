#include "reconcilers/steps/backup.h"

#include <fmt/format.h>

#include <filesystem>

#include "controller/base/human.h"
#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/record/manifest.h"
#include "reconcilers/steps/compaction.h"
#include "reconcilers/steps/dump_task.h"
#include "reconcilers/steps/new_containers.h"
#include "reconcilers/steps/old_containers.h"

namespace oms::steps {

namespace {

namespace fs = std::filesystem;

// The folder of attempt n, below the operation's.
std::string AttemptFolder(int attempt) { return fmt::format("dump/{}", attempt); }

// A finished attempt becomes the backup of this operation; what lies on the disk is hashed before
// it is believed.
base::Status Adopt(const base::Context& ctx, OperationSession& op, const std::string& folder) {
  const fs::path path = fs::path(op.record().folder) / folder;
  OMS_ASSIGN(const record::Manifest manifest, record::ReadManifest(*op.world()->store, path));
  OMS_ASSIGN(const std::string sha256, op.world()->store->Sha256(path / record::kManifestName));
  model::BackupRef backup{.folder = folder,
                          .manifest_sha256 = sha256,
                          .bytes = manifest.TotalBytes(),
                          .container_id = manifest.container_id,
                          .started_at = manifest.started_at,
                          .other_runs = manifest.other_runs,
                          .heartbeat_max = manifest.heartbeat_max,
                          .completed = ctx.clock().Wall()};
  for (const auto& database : manifest.databases) {
    std::string sums;
    for (const auto& file : database.files) sums += file.sha256 + "  " + file.path + "\n";
    backup.databases.push_back({database.name, database.Bytes(), base::Sha256Hex(sums)});
  }
  // An attempt that died had raised it, and this one may be of another tool.
  OMS_TRY(RestoreQueryTimeouts(ctx, *op.world(), RememberedTimeouts(op.record())));
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) { record.backup = backup; }));
  op.Event(crd::reason::kDatabasesBackedUp,
           fmt::format("the databases are backed up by {} in {}", record::ToString(manifest.tool),
                       path.string()));
  return base::Ok();
}

record::RestoreHints HintsFor(const model::OperationRecord& record, const model::FrozenNode& node) {
  const fs::path folder = record.folder;
  record::RestoreHints hints;
  hints.restart_policy = node.old_restart_policy;
  if (node.old_restart_retries > 0)
    hints.restart_policy += fmt::format(":{}", node.old_restart_retries);
  hints.old_image = node.old_image;
  if (const auto image = record.image_backups.find(node.name); image != record.image_backups.end())
    hints.image_archive = (folder / image->second.path).string();
  if (const auto config = record.config_backups.find(node.name);
      record.ConfigEditedInPlace(node) && config != record.config_backups.end()) {
    hints.config_copy = (folder / config->second.path).string();
    hints.config_place = node.config_source;
  }
  return hints;
}

}  // namespace

bool BackupHolds(const StepInput& in) {
  if (!in.record.backup) return false;
  if (in.Passed(model::PointKind::kNewStarting)) return true;
  const model::BackupRef& backup = *in.record.backup;
  // Of every node: whichever of them has run since may have written. (A component that keeps
  // running has written in any case; the backup is of the moment in which it was taken.)
  for (const auto& frozen : in.record.nodes) {
    if (frozen.keeps_running) continue;
    const model::NodeFacts* node = in.facts.Node(frozen.name);
    if (node == nullptr || !node->old_container) return false;
    // What a new one wrote that somebody started shows in the heartbeat's ids, once it is gone.
    if (node->new_container && HasRun(*node->new_container)) return false;
    const auto other = backup.other_runs.find(node->name);
    const bool lead = frozen.name == in.record.LeadNode().name;
    const bool same = lead ? node->old_container->id == backup.container_id &&
                                 node->old_container->started_at == backup.started_at
                           : other != backup.other_runs.end() && other->second == RunOf(*node);
    if (!same) return false;
  }
  return in.facts.meta &&
         (in.record.KeepsTasks() || in.facts.meta->sequence.base.max_id == backup.heartbeat_max);
}

StepState BackUpDatabases::Judge(const StepInput& in) {
  if (BackupHolds(in)) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  if (const model::TaskView* task = in.facts.Task(TaskName(model::Step::kBackUpDatabases, ""));
      task != nullptr && task->state != model::TaskView::State::kSucceeded) {
    return FromTask(*task, "dumping the databases");
  }
  return Pending();
}

base::Status BackUpDatabases::Act(const base::Context& ctx, OperationSession& op) {
  const int last = op.record().Progress(kStep).begun;
  const std::string task = TaskName(model::Step::kBackUpDatabases, "");
  const model::TaskView* view = op.facts().Task(task);
  if (view != nullptr && view->state == model::TaskView::State::kSucceeded && last > 0 &&
      !(op.record().backup && op.record().backup->folder == AttemptFolder(last))) {
    return Adopt(ctx, op, AttemptFolder(last));
  }
  // Also where there was nothing to compact, and before each further attempt.
  OMS_TRY(EndForeignConnections(ctx, op));
  const model::FrozenNode& frozen = op.record().LeadNode();
  const model::NodeFacts* node = op.facts().Node(frozen.name);
  act::BackupPlan plan = DumpPlan(op, AttemptFolder(last + 1), {});
  plan.container_id = frozen.old_id;
  plan.container_name = frozen.old_name;
  plan.started_at = node != nullptr && node->old_container ? node->old_container->started_at
                                                           : frozen.old_started_at;
  plan.hints = HintsFor(op.record(), frozen);
  plan.written_meanwhile = op.record().KeepsTasks();
  if (op.record().nodes.size() > 1) plan.hints.node = frozen.name;
  for (const auto& other : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(other.name);
    if (other.name == frozen.name || facts == nullptr) continue;
    if (other.keeps_running) {
      plan.hints.components.push_back(
          {other.name, other.old_name, HintsFor(op.record(), other).restart_policy});
      continue;
    }
    plan.other_runs[other.name] = RunOf(*facts);
    const record::RestoreHints hints = HintsFor(op.record(), other);
    plan.hints.others.push_back({other.name, other.old_name, hints.restart_policy, hints.old_image,
                                 hints.image_archive, hints.config_copy, hints.config_place});
  }
  return StartDump(ctx, op, model::Step::kBackUpDatabases, last + 1, std::move(plan));
}

std::string BackUpDatabases::Plan(const UpgradeSubject& plan) {
  std::vector<std::string> sizes;
  for (const auto& name : plan.databases) {
    const auto bytes = plan.BytesOf(name);
    sizes.push_back(bytes ? fmt::format("{} ({})", name, base::Human(*bytes)) : name);
  }
  return fmt::format("dump {} into {} with {}, with a checksum of each table{}", List(sizes),
                     plan.directory, NameOfTool(plan.spec, &plan.facts),
                     plan.Kept() ? "; each in one transaction, because components keep writing: "
                                   "what they write later is not in the backup"
                                 : "");
}

std::string BackUpDatabases::Summary(const model::OperationRecord& record) {
  if (!record.backup) return {};
  return fmt::format("{} databases, {}, verified, in {}/{}", record.backup->databases.size(),
                     base::Human(record.backup->bytes), record.folder, record.backup->folder);
}

}  // namespace oms::steps

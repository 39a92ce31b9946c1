#include "reconcilers/steps/preflight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "controller/base/human.h"
#include "crd/reasons.h"
#include "reconcilers/model/dump_choice.h"
#include "reconcilers/model/maintenance_window.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/oms/overview_limits.h"
#include "reconcilers/oms/task_limits.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/steps/preflight_nodes.h"

namespace oms::steps {
namespace {

void CheckSpace(const crd::Spec& spec, const model::Facts& facts, Troubles& found) {
  if (!facts.volume || !facts.meta) return;
  uint64_t dumps = 0;
  for (const auto& db : facts.meta->databases) dumps += db.bytes;
  // Two dumps (before, and of the upgraded state before a restore) and room to breathe; the saved
  // image where asked for.
  uint64_t need = 2 * dumps + (64ULL << 20);
  if (spec.backup.image) {
    for (const auto& node : facts.nodes) {
      if (!node.old_image_saved) need += node.old_image_size;
    }
  }
  if (facts.volume->free_bytes < need) {
    found.push_back(
        {crd::reason::kDiskLow,
         fmt::format("{} has {} free, but two dumps{} need about {}; free some space or set "
                     "spec.backup.directory to a larger volume",
                     spec.backup.directory, base::Human(facts.volume->free_bytes),
                     spec.backup.image ? " and the saved image" : "", base::Human(need)),
         true});
  }
}

void CheckWindow(const crd::Spec& spec, const model::Facts& facts, Troubles& found) {
  if (!spec.maintenance_window) return;
  if (const auto window = model::LookAtWindow(*spec.maintenance_window, facts.now); !window.ok()) {
    found.push_back({window.error().reason, window.error().message});
  }
}

constexpr size_t kMostNamed = 5;  // A message is short.

// Names with their ids, and the statement that renames one of them.
std::string DescribeDuplicates(const std::vector<ports::DuplicateTask>& duplicates,
                               const std::string& rm) {
  std::vector<std::string> named;
  for (const auto& task : duplicates) {
    if (named.size() == kMostNamed) break;
    named.push_back(fmt::format(
        "'{}' in {} (ids {}{})", task.name, task.table, fmt::join(task.ids, ", "),
        task.ids.size() < task.count ? fmt::format(" and {} more", task.count - task.ids.size())
                                     : ""));
  }
  if (duplicates.size() > named.size())
    named.push_back(fmt::format("{} more names", duplicates.size() - named.size()));
  const ports::DuplicateTask& first = duplicates.front();
  return fmt::format(
      "tasks have the same name, which OMS from 4.0.1 on does not allow: {}; rename all but one of "
      "each in database {}, for instance UPDATE {} SET project_name='<new name>' WHERE id={}; this "
      "is looked at again by itself",
      fmt::join(named, "; "), rm, first.table, first.ids.empty() ? "<id>" : first.ids.back());
}

// What the guide's second part asks for before an upgrade from below 4.0.1.
void CheckLegacy(const crd::Spec& spec, const model::Facts& facts, Troubles& found) {
  if (!facts.meta->legacy) return;
  const ports::LegacyFindings& legacy = *facts.meta->legacy;
  if (!legacy.duplicates.empty()) {
    found.push_back(
        {crd::reason::kDuplicateTaskNames,
         DescribeDuplicates(legacy.duplicates, facts.config ? facts.config->drc_rm_db : "of rm"),
         true});
  }
  if (legacy.black_regions.empty() || spec.legacy.data_source_used_at_both_ends == false) return;
  const std::vector<std::string> values(
      legacy.black_regions.begin(),
      legacy.black_regions.begin() + std::min(legacy.black_regions.size(), kMostNamed));
  found.push_back(
      {crd::reason::kBlackRegionNoChanged,
       fmt::format(
           "config_job of database {} has sourceFile.blackRegionNo = {}, and cm_location is {}; if "
           "a data source is still the target of one task and the source of another, contact OMS "
           "Technical Support; if none is, set spec.legacy.dataSourceUsedAtBothEnds to false",
           facts.config ? facts.config->drc_cm_db : "cm", fmt::join(values, ", "),
           facts.config ? facts.config->cm_location : "another"),
       true});
}

void CheckMeta(const crd::Spec& spec, const model::Facts& facts, Troubles& found) {
  CheckHosts(facts, found);
  CheckLegacy(spec, facts, found);
  for (const auto& db : facts.meta->databases) {
    if (!db.denied.empty()) found.push_back({crd::reason::kMetaDbDenied, db.denied, true});
    if (!db.broken_view.empty()) {
      found.push_back(
          {crd::reason::kViewBroken, fmt::format("the view {}, so a restore would fail; drop it, "
                                                 "or restore the tables that it selects from",
                                                 db.broken_view)});
    }
  }
  if (const auto tool = model::ChooseTool(spec, facts); !tool.ok())
    found.push_back({tool.error().reason, tool.error().message});
  if (facts.meta->ha_raw) {
    if (const auto ha = product::ReadHa(*facts.meta->ha_raw); !ha.ok())
      found.push_back({ha.error().reason, ha.error().message});
  }
  if (facts.meta->heartbeat_moves == false) {
    found.push_back(
        {crd::reason::kNotThisOms,
         "the heart_beat row of this node's OMS_HOST_IP does not change although OMS is running: "
         "these are not the databases that this OMS writes to; correct spec.metaDB.connect",
         true});
  }
}

// A misspelt word would acknowledge nothing, and be waited for in vain.
void CheckWords(const crd::Spec& spec, Troubles& found) {
  const auto unknown = product::UnknownWords(spec.acknowledge);
  if (unknown.empty()) return;
  found.push_back({crd::reason::kInvalidSpec,
                   fmt::format("unknown value in spec.acknowledge: {}; allowed values: {}",
                               fmt::join(unknown, ", "), fmt::join(product::KnownWords(), ", "))});
}

product::TaskEvidence SeenIn(const model::Facts& facts) {
  product::TaskEvidence seen;
  seen.separate_cm = facts.meta && facts.meta->cm_server;
  if (facts.meta && facts.meta->ha_raw) {
    // One that cannot be read is told as that, and the limit is asked for once it can.
    const auto ha = product::ReadHa(*facts.meta->ha_raw);
    seen.connector_unguarded = ha.ok() && ha->connector_unguarded;
  }
  if (facts.oms_tasks) seen.tasks = &*facts.oms_tasks;
  return seen;
}

// One finding for all words, so that a person writes them at once.
void CheckOverview(const crd::Spec& spec, const crd::Version& from, const crd::Version& to,
                   const model::Facts& facts, Troubles& found) {
  // Behind what else is wrong: an OMS that is not well answers nothing.
  if (facts.oms_tasks_trouble) found.push_back(*facts.oms_tasks_trouble);
  std::vector<product::OverviewLimit> broken, missing;
  for (auto& limit :
       product::LimitsNotAcknowledged(from, to, SeenIn(facts), spec, product::Asks::kWait))
    (limit.tasks.empty() ? missing : broken).push_back(std::move(limit));
  if (!broken.empty())
    found.push_back({crd::reason::kTasksNotReady, product::TextOfBroken(broken), true});
  if (missing.empty()) return;
  std::string text = product::TextOf(missing, spec.acknowledge);
  if (spec.task_api && !product::OffersTaskApi(from))
    text += fmt::format(" (spec.taskAPI is not asked: {} does not offer it)", from.ToString());
  found.push_back({crd::reason::kAcknowledgementNeeded, std::move(text)});
}

// Fields of the schema that this controller cannot honour yet. To go on as if they were not there
// would do what the user has asked not to be done.
void CheckSupported(const crd::Spec& spec, Troubles& found) {
  const auto refuse = [&](bool set, std::string_view field, std::string_view instead) {
    if (!set) return;
    found.push_back(
        {crd::reason::kNotSupportedYet,
         fmt::format("{} is not supported by this controller yet; {}", field, instead)});
  };
  refuse(spec.meta_db && spec.meta_db->cm_heartbeat, "spec.metaDB.cmHeartbeat",
         "config.yaml has the heartbeat database on the server of CM: set spec.metaDB.cm for both");
}

}  // namespace

product::PathOptions PathOptionsOf(const crd::Spec& spec) {
  product::PathOptions options;
  options.oat = spec.deployment.provisioner == crd::Provisioner::kOat;
  if (const auto version = crd::Version::Parse(spec.deployment.oat_version); version.ok()) {
    options.oat_version = *version;
  }
  options.accept_unlisted = std::find(spec.acknowledge.begin(), spec.acknowledge.end(),
                                      product::kAcknowledgeUnlisted) != spec.acknowledge.end();
  return options;
}

std::vector<model::Trouble> CheckPreflight(const crd::Spec& spec, const crd::Version& from,
                                           const crd::Version& to, const model::Facts& facts) {
  Troubles found = facts.troubles;
  if (const auto path = product::CheckPath(from, to, PathOptionsOf(spec)); !path.ok()) {
    found.insert(found.begin(), {path.error().reason, path.error().message});
  }
  CheckWords(spec, found);
  CheckSupported(spec, found);
  CheckTargetImage(spec, to, facts, found);
  CheckWindow(spec, facts, found);
  for (const auto& node : facts.nodes) {
    CheckHttps(spec, node, facts.now, found);
    CheckNode(node, found);
  }
  CheckNodesTogether(from, to, facts, found);
  CheckComponents(spec, from, to, facts, found);
  CheckCmNodes(facts, found);
  if (facts.meta) CheckMeta(spec, facts, found);
  CheckSpace(spec, facts, found);
  CheckOverview(spec, from, to, facts, found);
  return found;
}

std::vector<std::string> AdvisoriesBeforeStart(const crd::Spec& spec, const crd::Version& from,
                                               const crd::Version& to, const model::Facts& facts) {
  std::vector<std::string> told;
  for (const auto& limit :
       product::LimitsNotAcknowledged(from, to, SeenIn(facts), spec, product::Asks::kTell)) {
    told.push_back(
        limit.tasks.empty()
            ? fmt::format("Check that {}; confirm with {} in spec.acknowledge", limit.must,
                          limit.word)
            : fmt::format("Check that {}; but OMS reports: {}", limit.must, limit.tasks));
  }
  std::vector<std::string> events;
  if (facts.meta) {
    for (const auto& db : facts.meta->databases) {
      for (const auto& event : db.events) events.push_back(db.name + "." + event);
    }
  }
  if (!events.empty()) {
    const bool more = events.size() > kMostNamed;
    const size_t all = events.size();
    if (more) events.resize(kMostNamed);
    told.push_back(fmt::format(
        "Save the output of SHOW CREATE EVENT for {}{}: no dump contains scheduled events, so a "
        "rollback that restores their database removes them, and you have to create them again",
        fmt::join(events, ", "), more ? fmt::format(" and {} more", all - kMostNamed) : ""));
  }
  return told;
}

bool PreflightStillLooking(const model::Facts& facts) {
  return !facts.meta || !facts.meta->heartbeat_moves.has_value();
}

StepState PreflightState(const crd::Spec& spec, const crd::Version& from, const crd::Version& to,
                         const model::Facts& facts) {
  const auto troubles = CheckPreflight(spec, from, to, facts);
  if (!troubles.empty()) {
    const model::Trouble& first = troubles.front();
    std::string message = first.message;
    if (troubles.size() > 1) {
      message += fmt::format(" ({} more: ", troubles.size() - 1);
      for (size_t i = 1; i < troubles.size(); ++i)
        message += (i > 1 ? ", " : "") + troubles[i].reason;
      message += ")";
    }
    StepState state = Failed(first.reason, std::move(message));
    state.retryable = first.passing;
    return state;
  }
  if (PreflightStillLooking(facts)) {
    StepState looking = Running("watching whether the heartbeat of this OMS moves");
    looking.look_again = std::chrono::milliseconds(500);
    return looking;
  }
  return Done();
}

StepState Preflight::Judge(const StepInput& in) {
  if (in.Passed(model::PointKind::kStopping)) return Done("passed before OMS was stopped");
  return PreflightState(in.spec, in.record.from, in.record.to, in.facts);
}

std::string Preflight::Plan(const UpgradeSubject& plan) {
  return fmt::format("check the engines, {}, the MetaDB and the backup folder; nothing is changed",
                     plan.Kept() ? plan.OldOnes() + ", " + plan.Components() : plan.OldOnes());
}

}  // namespace oms::steps

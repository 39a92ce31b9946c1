#include "reconcilers/steps/preflight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "controller/base/human.h"
#include "reconcilers/model/dump_choice.h"
#include "reconcilers/model/maintenance_window.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/oms/overview_limits.h"
#include "reconcilers/oms/task_limits.h"
#include "reconcilers/oms/version_path.h"

namespace oms::steps {
namespace {

using Troubles = std::vector<model::Trouble>;

void CheckOldContainer(const model::NodeFacts& node, Troubles& found) {
  if (!node.old_container) return;
  const ports::ContainerInfo& old = *node.old_container;
  if (old.auto_remove) {
    found.push_back(
        {"AutoRemove",
         fmt::format("node {}: container '{}' was started with --rm, so a stop would delete it "
                     "and the way back with it; start OMS without --rm",
                     node.name, old.name)});
  } else if (const auto flags = product::CheckGuideFlags(old); !flags.ok()) {
    found.push_back(
        {flags.error().reason, fmt::format("node {}: {}", node.name, flags.error().message)});
  }
  for (const auto* label :
       {"com.docker.compose.project", "com.docker.stack.namespace", "com.docker.swarm.service.name",
        "io.kubernetes.pod.name", "PODMAN_SYSTEMD_UNIT"}) {
    if (old.labels.contains(label)) {
      found.push_back(
          {"OwnedByOtherTool",
           fmt::format(
               "node {}: container '{}' is run by another tool (label {}), which would start it "
               "again in the middle; take it out of that tool's hands first",
               node.name, old.name, label)});
    }
  }
  if (!old.running) {
    found.push_back(
        {"OMSNotRunning",
         fmt::format(
             "node {}: container '{}' is {}; start it and see that OMS is well before an upgrade",
             node.name, old.name, old.status),
         true});
  }
}

// The guide's certificate mounts: both or none, and such as nginx can still use after the upgrade.
void CheckHttps(const crd::Spec& spec, const model::NodeFacts& node, base::WallTime now,
                Troubles& found) {
  if (!node.https) return;
  const model::HttpsFacts& https = *node.https;
  if (https.certificate_mounted != https.key_mounted) {
    found.push_back(
        {"CertificateHalfMounted",
         fmt::format("node {}: {} is mounted and {} is not; HTTPS needs both: run OMS with both "
                     "mounts, or with none",
                     node.name,
                     https.certificate_mounted ? product::kCertificateMount : product::kKeyMount,
                     https.certificate_mounted ? product::kKeyMount : product::kCertificateMount)});
  } else if (https.error) {
    found.push_back(
        {https.error->reason.empty() ? "CertificateUnreadable" : https.error->reason,
         fmt::format("node {}: the mounted certificate and key ({}, {}) cannot be used: {}; put "
                     "the right files where they are mounted from",
                     node.name, product::kCertificateMount, product::kKeyMount,
                     https.error->message),
         true});
  } else if (https.certificate &&
             (https.certificate->not_after <= now || https.certificate->not_before > now)) {
    const bool expired = https.certificate->not_after <= now;
    found.push_back(
        {expired ? "CertificateExpired" : "CertificateNotYetValid",
         fmt::format("node {}: the mounted certificate {} {} {}; put a valid one where it is "
                     "mounted from, with its key, and restart nginx of OMS",
                     node.name, product::kCertificateMount,
                     expired ? "has expired at" : "is not valid before",
                     base::FormatTime(expired ? https.certificate->not_after
                                              : https.certificate->not_before)),
         true});
  } else if (spec.https && !https.certificate_mounted) {
    found.push_back(
        {"CertificateNotMounted",
         fmt::format("node {}: spec.https is set, but no certificate is mounted at {}, so OMS "
                     "speaks HTTP; leave spec.https out, or run OMS with the two mounts",
                     node.name, product::kCertificateMount)});
  }
}

// As far as it can be told without loading anything: what the archive holds is looked at by the
// step that loads it.
void CheckTargetImage(const crd::Spec& spec, const crd::Version& to, const model::Facts& facts,
                      Troubles& found) {
  for (const auto& node : facts.nodes) {
    if (node.kept || !node.target_image || !node.old_container || !spec.image.archive.empty())
      continue;
    const model::RunningImage running{node.name, node.old_container->name,
                                      node.old_container->image_id};
    if (auto wrong = model::CheckImage(spec, to, running, *node.target_image))
      found.push_back(*std::move(wrong));
  }
  if (auto wrong = model::CheckImageTag(spec, to)) found.push_back(*std::move(wrong));
}

void CheckNode(const model::NodeFacts& node, Troubles& found) {
  CheckOldContainer(node, found);
  if (!node.second_running.empty()) {
    found.push_back(
        {"SecondContainerRuns",
         fmt::format("node {}: container '{}' of this OMS runs as well; stop the one that is not "
                     "wanted, so that it is clear which of them OMS is",
                     node.name, node.second_running),
         true});
  }
  if (node.planned_name_taken) {
    found.push_back(
        {"NameTaken",
         fmt::format("node {}: the new container's name is taken by a container that is not of "
                     "this upgrade; rename or remove that one",
                     node.name)});
  }
  if (node.config && !node.config->regular) {
    found.push_back(
        {"ConfigUnreadable",
         fmt::format(
             "node {}: /home/admin/conf/config.yaml is not a regular file (Docker makes a folder "
             "where the source of a mount does not exist); put the file back",
             node.name)});
  }
  if (!node.config_in_the_way.empty()) {
    found.push_back(
        {"ConfigFileExists",
         fmt::format(
             "node {0}: {1} is there, where the new version's config.yaml is to be written, "
             "and was not made by this upgrade; move it away, and put what it says beyond "
             "config.yaml into config.yaml itself",
             node.name, node.config_in_the_way),
         true});
  }
  if (!node.config_link.empty()) {
    found.push_back(
        {"ConfigIsLink",
         fmt::format(
             "node {}: config.yaml on the host is a symbolic link to {}, and an edit in "
             "place would put a file in its place; write spec.deployment.config: Beside, or "
             "run OMS with the file itself mounted",
             node.name, node.config_link),
         true});
  }
  // While a component's upgrade is under way it may not be well; that step waits for it.
  if (node.health && !(node.component && node.component->begun)) {
    // That the heartbeat moves says more than its age, and has a reason of its own (CheckMeta).
    model::HealthFacts health = *node.health;
    health.heartbeat_fresh = true;
    if (const std::string missing = health.Missing(); !missing.empty()) {
      found.push_back(
          {"OMSUnhealthy",
           fmt::format("node {}: OMS is not well before the upgrade: {}; mend that first",
                       node.name, missing),
           true});
    }
  }
}

void CheckHosts(const model::Facts& facts, Troubles& found) {
  std::set<std::string> listed;
  for (const auto& node : facts.nodes) {
    if (node.old_container) listed.insert(node.old_container->EnvValue("OMS_HOST_IP"));
  }
  for (const auto& host : facts.meta->hosts) {
    if (host.status == "ONLINE" && !listed.contains(host.ip)) {
      found.push_back(
          {"UnlistedHostOnline",
           fmt::format(
               "OMS host {} is ONLINE in the table host of the CM database, but no entry of "
               "spec.nodes has that OMS_HOST_IP (they have: {}); list every node of this OMS, or "
               "stop the one that does not belong",
               host.ip, fmt::join(listed, ", "))});
    }
  }
}

// spec.deployment.keepTasksRunning: what the upgrade of a component in place needs (guide step 2.1,
// note).
void CheckComponents(const crd::Spec& spec, const crd::Version& from, const crd::Version& to,
                     const model::Facts& facts, Troubles& found) {
  if (!spec.deployment.keep_tasks_running) return;
  if (!facts.keeps_tasks()) {
    found.push_back({crd::reason::kInvalidSpec,
                     "spec.deployment.keepTasksRunning is set, and no entry of spec.nodes has the "
                     "role Component; add it, or set keepTasksRunning to false"});
  }
  if (!spec.deployment.assistant) {
    found.push_back({crd::reason::kInvalidSpec,
                     "spec.deployment.keepTasksRunning needs the upgrade assistant's image; write "
                     "spec.deployment.assistant, or set keepTasksRunning to false"});
  }
  if (product::NeedsLegacySteps(from, to)) {
    found.push_back(
        {"KeepTasksImpossible",
         fmt::format("from {} the tables are restructured while nobody may write them, so tasks "
                     "cannot keep running; set spec.deployment.keepTasksRunning to false",
                     from.ToString())});
  }
  for (const auto& node : facts.nodes) {
    if (!node.kept || !node.component) continue;
    if (node.component->name_taken) {
      found.push_back(
          {"NameTaken",
           fmt::format("node {}: there is a container '{}' that is not of this upgrade; see that "
                       "nobody upgrades the component by hand, and remove it",
                       node.name, model::kAssistantName),
           true});
    }
    const ports::Mount* run =
        node.old_container ? node.old_container->FindMount(model::kRunFolder) : nullptr;
    if (node.old_container && (run == nullptr || !run->source.starts_with('/') ||
                               run->source.find(':') != std::string::npos)) {
      found.push_back(
          {"RunFolderNotMounted",
           fmt::format("node {}: container '{}' has no folder of the host at {}, where the upgrade "
                       "assistant puts its packages; run the component with that mount, or set "
                       "spec.deployment.keepTasksRunning to false",
                       node.name, node.old_container->name, model::kRunFolder)});
    }
  }
}

// IPv4 in digits, or IPv6.
bool IsAddress(const std::string& text) {
  return text.find(':') != std::string::npos ||
         text.find_first_not_of("0123456789.") == std::string::npos;
}

// "The CM database for each region is as expected" (guide, step 4): OMS finds its own hosts by
// these addresses. That the databases are reached, and have names of their own, is looked at
// elsewhere. A host name may be any address, so a list that holds one is not judged.
void CheckCmNodes(const model::Facts& facts, Troubles& found) {
  if (!facts.config) return;
  for (const auto& node : facts.nodes) {
    if (!node.old_container) continue;
    const auto& listed = (node.parsed_config ? *node.parsed_config : *facts.config).cm_nodes;
    if (listed.empty() || !std::all_of(listed.begin(), listed.end(), IsAddress)) continue;
    const std::string ip = node.old_container->EnvValue("OMS_HOST_IP");
    if (ip.empty() || std::find(listed.begin(), listed.end(), ip) != listed.end()) continue;
    found.push_back(
        {"HostNotInConfig",
         fmt::format("node {}: its OMS_HOST_IP {} is not in cm_nodes of config.yaml ({}), so the "
                     "new version would take this host for another region's; correct cm_nodes",
                     node.name, ip, fmt::join(listed, ", "))});
  }
}

std::string PlaceOf(const product::MetaAddress& address) {
  return fmt::format("{}:{}", address.host, address.port);
}

// What must be the same, and what must differ, between one node and the first.
void CheckAgainstFirst(const model::NodeFacts& first, const model::NodeFacts& node,
                       Troubles& found) {
  if (first.running_version && node.running_version &&
      *first.running_version != *node.running_version) {
    found.push_back(
        {"NodeVersionsDiffer",
         fmt::format("node {} runs {}, and node {} runs {}; all nodes of an OMS run one version: "
                     "bring them to the same one first",
                     first.name, *first.running_version, node.name, *node.running_version)});
  }
  if (!first.parsed_config || !node.parsed_config) return;
  const product::OmsConfig &mine = *node.parsed_config, &theirs = *first.parsed_config;
  const auto differs = [&](const std::string& what, const std::string& a, const std::string& b) {
    if (a == b) return;
    found.push_back(
        {"NodeMetaDBsDiffer",
         fmt::format("config.yaml of node {} has {} {}, and that of node {} has {}; all entries of "
                     "spec.nodes must be nodes of one OMS and one region, on the same databases",
                     first.name, what, a, node.name, b)});
  };
  differs("the RM server", PlaceOf(theirs.rm), PlaceOf(mine.rm));
  differs("the CM server", PlaceOf(theirs.cm), PlaceOf(mine.cm));
  differs("drc_rm_db", theirs.drc_rm_db, mine.drc_rm_db);
  differs("drc_cm_db", theirs.drc_cm_db, mine.drc_cm_db);
  differs("drc_cm_heartbeat_db", theirs.drc_cm_heartbeat_db, mine.drc_cm_heartbeat_db);
}

void CheckTwo(const crd::Version& from, const crd::Version& to, const model::NodeFacts& a,
              const model::NodeFacts& b, Troubles& found) {
  if (!a.old_container || !b.old_container || !a.engine || !b.engine) return;
  const ports::ContainerInfo &one = *a.old_container, &other = *b.old_container;
  const std::string ip = one.EnvValue("OMS_HOST_IP");
  if (a.engine->id == b.engine->id && one.id == other.id) {
    found.push_back(
        {"SameContainer",
         fmt::format("nodes {} and {} are the same container '{}' of the same engine; list each "
                     "node of OMS once",
                     a.name, b.name, one.name)});
    return;
  }
  if (!ip.empty() && ip == other.EnvValue("OMS_HOST_IP")) {
    found.push_back(
        {"SameHostIP",
         fmt::format("nodes {} and {} have the same OMS_HOST_IP {}; each node of OMS has its own, "
                     "by which its heartbeat is told from the other's",
                     a.name, b.name, ip)});
  }
  if (a.kept || b.kept) return;
  const std::string name = crd::NewContainerName(one.name, from, to);
  if (a.engine->id == b.engine->id && name == crd::NewContainerName(other.name, from, to)) {
    found.push_back(
        {"NameTaken",
         fmt::format("nodes {} and {}, on one engine, would both have the new container '{}'; "
                     "rename one of the containers",
                     a.name, b.name, name)});
  }
}

// spec.nodes has several entries: are they the nodes of one OMS?
void CheckNodesTogether(const crd::Version& from, const crd::Version& to, const model::Facts& facts,
                        Troubles& found) {
  if (facts.nodes.empty()) return;
  if (std::all_of(facts.nodes.begin(), facts.nodes.end(), [](const model::NodeFacts& node) {
        return node.role == crd::NodeRole::kComponent;
      })) {
    found.push_back({"NoManagementNode",
                     "every entry of spec.nodes has the role Component, and the upgrade script "
                     "runs on a management node; list one with the role All or Management"});
  }
  for (size_t i = 1; i < facts.nodes.size(); ++i) {
    CheckAgainstFirst(facts.nodes.front(), facts.nodes[i], found);
    for (size_t j = 0; j < i; ++j) CheckTwo(from, to, facts.nodes[j], facts.nodes[i], found);
  }
}

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
        {"DiskLow",
         fmt::format("{} has {} free, but two dumps{} need about {}; make room or set "
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
        {"DuplicateTaskNames",
         DescribeDuplicates(legacy.duplicates, facts.config ? facts.config->drc_rm_db : "of rm"),
         true});
  }
  if (legacy.black_regions.empty() || spec.legacy.data_source_used_at_both_ends == false) return;
  const std::vector<std::string> values(
      legacy.black_regions.begin(),
      legacy.black_regions.begin() + std::min(legacy.black_regions.size(), kMostNamed));
  found.push_back(
      {"BlackRegionNoChanged",
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
    if (!db.denied.empty()) found.push_back({"MetaDBDenied", db.denied, true});
    if (!db.broken_view.empty()) {
      found.push_back({"ViewBroken",
                       fmt::format("the view {}; it could not be created again from a backup; drop "
                                   "it, or bring back what it reads",
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
        {"NotThisOMS",
         "the heart_beat row of this node's OMS_HOST_IP stands still although OMS runs: the "
         "databases that "
         "are reached are not the ones that this OMS writes; correct spec.metaDB.connect",
         true});
  }
}

// A misspelt word would acknowledge nothing, and be waited for in vain.
void CheckWords(const crd::Spec& spec, Troubles& found) {
  const auto unknown = product::UnknownWords(spec.acknowledge);
  if (unknown.empty()) return;
  found.push_back({"InvalidSpec",
                   fmt::format("spec.acknowledge has {}, which nothing asks for; the words that "
                               "it may hold are {}",
                               fmt::join(unknown, ", "), fmt::join(product::KnownWords(), ", "))});
}

product::SeenOfOms SeenIn(const model::Facts& facts) {
  product::SeenOfOms seen;
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
  if (!broken.empty()) found.push_back({"TasksNotReady", product::TextOfBroken(broken), true});
  if (missing.empty()) return;
  std::string text = product::TextOf(missing, spec.acknowledge);
  if (spec.task_api && !product::OffersTaskApi(from))
    text += fmt::format(" (spec.taskAPI is not asked: {} does not offer it)", from.ToString());
  found.push_back({"AcknowledgementNeeded", std::move(text)});
}

// Fields of the schema that this controller cannot honour yet. To go on as if they were not there
// would do what the user has asked not to be done.
void CheckSupported(const crd::Spec& spec, Troubles& found) {
  const auto refuse = [&](bool set, std::string_view field, std::string_view instead) {
    if (!set) return;
    found.push_back(
        {"NotSupportedYet",
         fmt::format("{} is not supported by this controller yet; {}", field, instead)});
  };
  refuse(spec.meta_db && spec.meta_db->cm_heartbeat, "spec.metaDB.cmHeartbeat",
         "config.yaml has the heartbeat database on the server of CM: say by spec.metaDB.cm how "
         "both are reached");
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

std::vector<std::string> ToldBefore(const crd::Spec& spec, const crd::Version& from,
                                    const crd::Version& to, const model::Facts& facts) {
  std::vector<std::string> told;
  for (const auto& limit :
       product::LimitsNotAcknowledged(from, to, SeenIn(facts), spec, product::Asks::kTell)) {
    told.push_back(
        limit.tasks.empty()
            ? fmt::format("See that {}; {} in spec.acknowledge says that you have", limit.must,
                          limit.word)
            : fmt::format("See that {}; OMS shows otherwise: {}", limit.must, limit.tasks));
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
        "Note what SHOW CREATE EVENT says of {}{}: no dump has scheduled events, so a rollback "
        "that "
        "restores their database takes them, and you create them again",
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
  const auto from = crd::Version::Parse(in.record.from);
  const auto to = crd::Version::Parse(in.record.to);
  if (!from.ok()) return Failed(from.error().reason, from.error().message);
  if (!to.ok()) return Failed(to.error().reason, to.error().message);
  return PreflightState(in.spec, *from, *to, in.facts);
}

std::string Preflight::Plan(const UpgradeSubject& plan) {
  return fmt::format(
      "look at the engines, {}, the MetaDB and the backup folder; nothing is touched",
      plan.Kept() ? plan.OldOnes() + ", " + plan.Components() : plan.OldOnes());
}

}  // namespace oms::steps

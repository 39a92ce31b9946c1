#include "reconcilers/steps/preflight_nodes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "crd/reasons.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/oms/version_path.h"

namespace oms::steps {
namespace {

void CheckOldContainer(const model::NodeFacts& node, Troubles& found) {
  if (!node.old_container) return;
  const ports::ContainerInfo& old = *node.old_container;
  if (old.auto_remove) {
    found.push_back(
        {crd::reason::kAutoRemove,
         fmt::format("node {}: container '{}' was started with --rm, so a stop would delete it, "
                     "and no rollback would be possible; start OMS without --rm",
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
          {crd::reason::kOwnedByOtherTool,
           fmt::format("node {}: container '{}' is run by another tool (label {}), which would "
                       "restart it during the upgrade; remove it from that tool first",
                       node.name, old.name, label)});
    }
  }
  if (!old.running) {
    found.push_back({crd::reason::kOmsNotRunning,
                     fmt::format("node {}: container '{}' is {}; start it and check that OMS is "
                                 "healthy before an upgrade",
                                 node.name, old.name, old.status),
                     true});
  }
}

// IPv4 in digits, or IPv6.
bool IsAddress(const std::string& text) {
  return text.find(':') != std::string::npos ||
         text.find_first_not_of("0123456789.") == std::string::npos;
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
        {crd::reason::kNodeVersionsDiffer,
         fmt::format("node {} runs {}, and node {} runs {}; all nodes of an OMS must run the same "
                     "version: bring them to the same version first",
                     first.name, *first.running_version, node.name, *node.running_version)});
  }
  if (!first.parsed_config || !node.parsed_config) return;
  const product::OmsConfig &mine = *node.parsed_config, &theirs = *first.parsed_config;
  const auto differs = [&](const std::string& what, const std::string& a, const std::string& b) {
    if (a == b) return;
    found.push_back(
        {crd::reason::kNodeMetaDbsDiffer,
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
        {crd::reason::kSameContainer,
         fmt::format("nodes {} and {} are the same container '{}' of the same engine; list each "
                     "node of OMS once",
                     a.name, b.name, one.name)});
    return;
  }
  if (!ip.empty() && ip == other.EnvValue("OMS_HOST_IP")) {
    found.push_back({crd::reason::kSameHostIp,
                     fmt::format("nodes {} and {} have the same OMS_HOST_IP {}; each node of OMS "
                                 "needs its own, which identifies its heartbeat",
                                 a.name, b.name, ip)});
  }
  if (a.keeps_running || b.keeps_running) return;
  const std::string name = crd::NewContainerName(one.name, from, to);
  if (a.engine->id == b.engine->id && name == crd::NewContainerName(other.name, from, to)) {
    found.push_back(
        {crd::reason::kNameTaken,
         fmt::format("nodes {} and {}, on one engine, would both have the new container '{}'; "
                     "rename one of the containers",
                     a.name, b.name, name)});
  }
}

}  // namespace

void CheckNode(const model::NodeFacts& node, Troubles& found) {
  CheckOldContainer(node, found);
  if (!node.second_running.empty()) {
    found.push_back({crd::reason::kSecondContainerRuns,
                     fmt::format("node {}: container '{}' of this OMS runs as well; stop the wrong "
                                 "one, so that it is clear which of them is OMS",
                                 node.name, node.second_running),
                     true});
  }
  if (node.planned_name_taken) {
    found.push_back(
        {crd::reason::kNameTaken,
         fmt::format("node {}: the new container's name is taken by a container that is not of "
                     "this upgrade; rename or remove that one",
                     node.name)});
  }
  if (node.config && !node.config->regular) {
    found.push_back(
        {crd::reason::kConfigUnreadable,
         fmt::format("node {}: /home/admin/conf/config.yaml is not a regular file (Docker creates "
                     "a folder if the source of a mount does not exist); restore the file",
                     node.name)});
  }
  if (!node.config_in_the_way.empty()) {
    found.push_back({crd::reason::kConfigFileExists,
                     fmt::format("node {0}: {1} exists where the new version's config.yaml is to "
                                 "be written, and was not made by this upgrade; move it away, and "
                                 "put its additional settings into config.yaml itself",
                                 node.name, node.config_in_the_way),
                     true});
  }
  if (!node.config_link.empty()) {
    found.push_back(
        {crd::reason::kConfigIsLink,
         fmt::format("node {}: config.yaml on the host is a symbolic link to {}, and an edit in "
                     "place would replace the link with a file; write spec.deployment.config: "
                     "Beside, or run OMS with the file itself mounted",
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
          {crd::reason::kOmsUnhealthy,
           fmt::format("node {}: OMS is not healthy before the upgrade: {}; repair it first",
                       node.name, missing),
           true});
    }
  }
}

void CheckHttps(const crd::Spec& spec, const model::NodeFacts& node, base::WallTime now,
                Troubles& found) {
  if (!node.https) return;
  const model::HttpsFacts& https = *node.https;
  if (https.certificate_mounted != https.key_mounted) {
    found.push_back(
        {crd::reason::kCertificateHalfMounted,
         fmt::format("node {}: {} is mounted and {} is not; HTTPS needs both: run OMS with both "
                     "mounts, or with neither",
                     node.name,
                     https.certificate_mounted ? product::kCertificateMount : product::kKeyMount,
                     https.certificate_mounted ? product::kKeyMount : product::kCertificateMount)});
  } else if (https.error) {
    found.push_back(
        {https.error->reason.empty() ? crd::reason::kCertificateUnreadable : https.error->reason,
         fmt::format("node {}: the mounted certificate and key ({}, {}) cannot be used: {}; "
                     "replace the mounted files with the right ones",
                     node.name, product::kCertificateMount, product::kKeyMount,
                     https.error->message),
         true});
  } else if (https.certificate &&
             (https.certificate->not_after <= now || https.certificate->not_before > now)) {
    const bool expired = https.certificate->not_after <= now;
    found.push_back(
        {expired ? crd::reason::kCertificateExpired : crd::reason::kCertificateNotYetValid,
         fmt::format("node {}: the mounted certificate {} {} {}; replace the mounted file and its "
                     "key with valid ones, and restart nginx of OMS",
                     node.name, product::kCertificateMount,
                     expired ? "has expired at" : "is not valid before",
                     base::FormatTime(expired ? https.certificate->not_after
                                              : https.certificate->not_before)),
         true});
  } else if (spec.https && !https.certificate_mounted) {
    found.push_back(
        {crd::reason::kCertificateNotMounted,
         fmt::format("node {}: spec.https is set, but no certificate is mounted at {}, so OMS "
                     "speaks HTTP; leave spec.https out, or run OMS with the two mounts",
                     node.name, product::kCertificateMount)});
  }
}

void CheckTargetImage(const crd::Spec& spec, const crd::Version& to, const model::Facts& facts,
                      Troubles& found) {
  for (const auto& node : facts.nodes) {
    if (node.keeps_running || !node.target_image || !node.old_container ||
        !spec.image.archive.empty())
      continue;
    const model::RunningImage running{node.name, node.old_container->name,
                                      node.old_container->image_id};
    if (auto wrong = model::CheckImage(spec, to, running, *node.target_image))
      found.push_back(*std::move(wrong));
  }
  if (auto wrong = model::CheckImageTag(spec, to)) found.push_back(*std::move(wrong));
}

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
        {crd::reason::kKeepTasksImpossible,
         fmt::format("from {} the tables are restructured while nobody may write them, so tasks "
                     "cannot keep running; set spec.deployment.keepTasksRunning to false",
                     from.ToString())});
  }
  for (const auto& node : facts.nodes) {
    if (!node.keeps_running || !node.component) continue;
    if (node.component->name_taken) {
      found.push_back(
          {crd::reason::kNameTaken,
           fmt::format("node {}: there is a container '{}' that is not of this upgrade; check that "
                       "nobody upgrades the component manually, and remove it",
                       node.name, model::kAssistantName),
           true});
    }
    const ports::Mount* run =
        node.old_container ? node.old_container->FindMount(model::kRunFolder) : nullptr;
    if (node.old_container && (run == nullptr || !run->source.starts_with('/') ||
                               run->source.find(':') != std::string::npos)) {
      found.push_back(
          {crd::reason::kRunFolderNotMounted,
           fmt::format("node {}: container '{}' has no folder of the host at {}, where the upgrade "
                       "assistant puts its packages; run the component with that mount, or set "
                       "spec.deployment.keepTasksRunning to false",
                       node.name, node.old_container->name, model::kRunFolder)});
    }
  }
}

void CheckNodesTogether(const crd::Version& from, const crd::Version& to, const model::Facts& facts,
                        Troubles& found) {
  if (facts.nodes.empty()) return;
  if (std::all_of(facts.nodes.begin(), facts.nodes.end(), [](const model::NodeFacts& node) {
        return node.role == crd::NodeRole::kComponent;
      })) {
    found.push_back({crd::reason::kNoManagementNode,
                     "every entry of spec.nodes has the role Component, and the upgrade script "
                     "runs on a management node; list one with the role All or Management"});
  }
  for (size_t i = 1; i < facts.nodes.size(); ++i) {
    CheckAgainstFirst(facts.nodes.front(), facts.nodes[i], found);
    for (size_t j = 0; j < i; ++j) CheckTwo(from, to, facts.nodes[j], facts.nodes[i], found);
  }
}

void CheckCmNodes(const model::Facts& facts, Troubles& found) {
  if (!facts.config) return;
  for (const auto& node : facts.nodes) {
    if (!node.old_container) continue;
    const auto& listed = (node.parsed_config ? *node.parsed_config : *facts.config).cm_nodes;
    if (listed.empty() || !std::all_of(listed.begin(), listed.end(), IsAddress)) continue;
    const std::string ip = node.old_container->EnvValue("OMS_HOST_IP");
    if (ip.empty() || std::find(listed.begin(), listed.end(), ip) != listed.end()) continue;
    found.push_back(
        {crd::reason::kHostNotInConfig,
         fmt::format("node {}: its OMS_HOST_IP {} is not in cm_nodes of config.yaml ({}), so the "
                     "new version would assign this host to another region; correct cm_nodes",
                     node.name, ip, fmt::join(listed, ", "))});
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
          {crd::reason::kUnlistedHostOnline,
           fmt::format(
               "OMS host {} is ONLINE in the table host of the CM database, but no entry of "
               "spec.nodes has that OMS_HOST_IP (they have: {}); list every node of this OMS, or "
               "stop the one that does not belong",
               host.ip, fmt::join(listed, ", "))});
    }
  }
}

}  // namespace oms::steps

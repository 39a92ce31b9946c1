#include "reconcilers/observe/observer.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/model/databases.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/observe/health.h"
#include "reconcilers/observe/script_look.h"
#include "reconcilers/observe/task_look.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/oms/task_limits.h"

namespace oms::observe {
namespace {

constexpr base::Duration kHeartbeatPatience = std::chrono::seconds(60);
constexpr base::Duration kMetaTimeout = std::chrono::seconds(10);  // Of each health question.
constexpr int64_t kFreshHeartbeatMs = 60'000;
// Less than the time between two looks at a trouble. A list that took long is kept longer, so that
// asking takes at most a fifth of the time.
constexpr base::Duration kFreshTasks = std::chrono::seconds(5);
constexpr base::Duration kTasksTimeout = std::chrono::minutes(2);

class Observation {
 public:
  Observation(const base::Context& ctx, const Ports& ports, const Look& look, ProofCache& proofs)
      : ctx_(ctx),
        ports_(ports),
        look_(look),
        proofs_(proofs),
        record_(look.site.record && look.site.record->open() ? look.site.record.get() : nullptr) {}

  model::Facts Run(std::map<std::string, model::TaskView> tasks);
  model::Facts RunIdle();

 private:
  bool Passed(model::PointKind kind) const { return record_ != nullptr && record_->Passed(kind); }
  bool GoingBack() const {
    return record_ != nullptr && record_->direction == model::Direction::kRollback;
  }
  // Which of the two stands for OMS now: the new one from its start on, the old one on the way
  // back.
  bool NewOne() const { return Passed(model::PointKind::kNewStarting) && !GoingBack(); }
  void Trouble(const base::Error& error, const char* reason) {
    facts_.troubles.push_back(
        {error.reason.empty() ? reason : error.reason, error.message, error.Retryable()});
  }

  void LookAtNode(const SiteNode& site);
  crd::NodeRole RoleOf(const std::string& node) const;
  bool KeepsRunning(const model::NodeFacts& node) const;
  void LookAtContainers(const SiteNode& site, model::NodeFacts& node);
  void LookForSecond(const SiteNode& site, model::NodeFacts& node);
  void LookForHelpers(const SiteNode& site, model::NodeFacts& node);
  void LookForOldAgain(const SiteNode& site, const model::FrozenNode& frozen,
                       model::NodeFacts& node);
  void LookAtImage(const SiteNode& site, model::NodeFacts& node);
  void LookAtConfig(const SiteNode& site, model::NodeFacts& node);
  void LookAtComponent(const SiteNode& site, model::NodeFacts& node);
  void LookAtScript(const SiteNode& site, model::NodeFacts& node);
  void LookAtServices(const SiteNode& site, model::NodeFacts& node);
  void LookAtCertificate(const SiteNode& site, model::NodeFacts& node);
  base::Result<std::string> ReadText(const SiteNode& site, const std::string& container,
                                     std::string_view path);
  base::Result<std::optional<ports::HttpsTrust>> TrustIn(const SiteNode& site,
                                                         const ports::ContainerInfo& container);
  void LookAtMeta();
  void LookAtMetaGoingBack();
  void LookAtHeartbeats(model::MetaFacts& meta);
  model::MetaFacts Servers() const;
  base::Result<ports::LegacyFindings> LookForLegacy(const product::OmsConfig& config);
  void LookAtDatabases(model::MetaFacts& meta);
  void JoinHealth(const model::MetaFacts& meta);
  void LookAtVolume();
  base::Result<HealthQuery> QueryOf(const SiteNode& site, const ports::ContainerInfo& container);
  base::Result<std::vector<ports::OmsTask>> AskOmsTasks();
  void LookAtOmsTasks();
  std::optional<uint64_t> SizeOf(const crd::Image& image, const char* field);
  void Rehearse(model::NodeFacts& node);
  void ForgetAnothers();

  const base::Context& ctx_;
  const Ports& ports_;
  const Look& look_;
  ProofCache& proofs_;
  const model::OperationRecord* record_;
  model::Facts facts_;
};

void Observation::LookAtContainers(const SiteNode& site, model::NodeFacts& node) {
  const model::FrozenNode* frozen = record_ == nullptr ? nullptr : record_->Node(site.name);
  const std::string planned =
      frozen != nullptr ? frozen->new_name
                        : crd::NewContainerName(site.Current()->name, look_.from, look_.to);
  if (frozen == nullptr) {
    node.old_container = *site.Current();
    const auto running = RunningVersion(look_.spec, *node.old_container);
    if (UpgradedInPlace(look_.site, site)) {
      // Its image says what it was.
    } else if (running.ok()) {
      node.running_version = running->ToString();
    } else {
      Trouble(running.error().Wrap("node " + site.name), crd::reason::kVersionUnknown);
    }
  } else {
    auto old = site.engine->Inspect(ctx_, frozen->old_id);
    if (old.ok()) {
      node.old_container = *std::move(old);
    } else if (!old.Is(base::Code::kNotFound)) {
      Trouble(old.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
    } else if (GoingBack()) {
      LookForOldAgain(site, *frozen, node);
    } else {
      node.old_gone = true;
      if (!Passed(model::PointKind::kStopping)) {
        facts_.troubles.push_back(
            {crd::reason::kContainerNotFound,
             fmt::format("node {}: the container '{}' (id {}) that was to be upgraded is gone",
                         site.name, frozen->old_name, frozen->old_id.substr(0, 12))});
      }
    }
    for (const auto& container : site.labelled) {
      const auto operation = container.labels.find(model::labels::kOperation);
      if (operation != container.labels.end() && record_->MadeHere(operation->second))
        node.new_container = container;
    }
    if (GoingBack()) LookForHelpers(site, node);
  }
  LookForSecond(site, node);
  if (!node.new_container && !node.keeps_running) {
    const auto holder = site.engine->Inspect(ctx_, planned);
    node.planned_name_taken =
        holder.ok() && (!node.old_container || holder->id != node.old_container->id);
    node.planned_name_runs = node.planned_name_taken && holder->running;
  }
}

// Both would own the host's ports and write the same databases; which of them is OMS?
void Observation::LookForSecond(const SiteNode& site, model::NodeFacts& node) {
  const auto look = [&](const ports::ContainerInfo& container) {
    const bool known = (node.old_container && container.id == node.old_container->id) ||
                       (node.new_container && container.id == node.new_container->id);
    if (container.running && !known) node.second_running = container.name;
  };
  if (site.named) look(*site.named);
  for (const auto& container : site.labelled) look(container);
}

// One that wrote a file when its process died; nothing else would take it away.
void Observation::LookForHelpers(const SiteNode& site, model::NodeFacts& node) {
  if (record_->Seen(model::Step::kStopNewContainers)) return;
  const auto made = site.engine->ListByLabel(ctx_, model::labels::kOperation, record_->id);
  if (!made.ok())
    return Trouble(made.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
  for (const auto& container : *made) {
    const auto role = container.labels.find(model::labels::kRole);
    const auto on = container.labels.find(model::labels::kNode);
    if (!container.dead && role != container.labels.end() && role->second == "helper" &&
        on != container.labels.end() && on->second == site.name) {
      node.helpers.push_back(container.id);
    }
  }
}

// It is gone: made again by us, or still to be made, from an image that is there or not.
void Observation::LookForOldAgain(const SiteNode& site, const model::FrozenNode& frozen,
                                  model::NodeFacts& node) {
  auto again = site.engine->Inspect(ctx_, frozen.old_name);
  if (again.ok() && again->image_id == frozen.old_image_id) {
    node.old_container = *std::move(again);
    return;
  }
  if (!again.ok() && !again.Is(base::Code::kNotFound))
    return Trouble(again.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
  node.old_name_taken = again.ok();
  node.old_image_gone =
      site.engine->InspectImage(ctx_, frozen.old_image_id).Is(base::Code::kNotFound);
}

void Observation::LookAtImage(const SiteNode& site, model::NodeFacts& node) {
  if (Passed(model::PointKind::kNewStarting) || GoingBack() || node.keeps_running) return;
  node.old_image_saved = record_ != nullptr && record_->image_backups.contains(site.name);
  if (look_.spec.backup.image && !node.old_image_saved && !Passed(model::PointKind::kStopping) &&
      node.old_container) {
    const auto old = site.engine->InspectImage(ctx_, node.old_container->image_id);
    if (old.ok()) node.old_image_size = old->size;
  }
  const model::FrozenNode* frozen = record_ == nullptr ? nullptr : record_->Node(site.name);
  // Once the new container is made from it, it is that image, whatever its name comes to mean.
  const std::string& reference = frozen == nullptr                 ? look_.spec.image.reference
                                 : frozen->target_image_id.empty() ? record_->image.reference
                                                                   : frozen->target_image_id;
  auto image = site.engine->InspectImage(ctx_, reference);
  if (!image.ok()) {
    if (!image.Is(base::Code::kNotFound))
      Trouble(image.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
    return;
  }
  node.target_image = *std::move(image);
}

void Observation::LookAtConfig(const SiteNode& site, model::NodeFacts& node) {
  if (Passed(model::PointKind::kNewStarting) || GoingBack()) return;
  if (node.new_container && !node.new_container->dead && !node.keeps_running) {
    // Where the file is gone from the host an engine answers with an error, or makes a folder.
    if (const auto fresh = site.engine->ReadFile(ctx_, node.new_container->id, kConfigPath);
        fresh.ok() && fresh->regular) {
      node.new_config_sha256 = base::Sha256Hex(fresh->content);
    }
  }
  if (!node.old_container) return;
  auto file = site.engine->ReadFile(ctx_, node.old_container->id, kConfigPath);
  if (!file.ok())
    return Trouble(file.error().Wrap("node " + site.name + ": " + kConfigPath),
                   crd::reason::kConfigUnreadable);
  node.config = *std::move(file);
  node.config_sha256 = base::Sha256Hex(node.config->content);
  if (look_.site.nodes.size() > 1) {
    auto parsed = product::ParseConfig(node.config->content);
    if (!parsed.ok())
      return Trouble(parsed.error().Wrap("node " + site.name + ": config.yaml"),
                     crd::reason::kConfigInvalid);
    node.parsed_config = *std::move(parsed);
  }
  if (!node.keeps_running) Rehearse(node);
}

void Observation::LookAtComponent(const SiteNode& site, model::NodeFacts& node) {
  if (!node.keeps_running || GoingBack() || Passed(model::PointKind::kStopping)) return;
  if (const model::FrozenNode* frozen = record_ == nullptr ? nullptr : record_->Node(site.name);
      frozen != nullptr && record_->ComponentUpgraded(*frozen)) {
    return;
  }
  model::ComponentFacts component;
  component.begun =
      record_ != nullptr && record_->Passed(model::PointKind::kComponentUpgrading, site.name);
  if (look_.spec.deployment.assistant) {
    auto image = site.engine->InspectImage(ctx_, look_.spec.deployment.assistant->reference);
    if (image.ok()) {
      component.image = *std::move(image);
    } else if (!image.Is(base::Code::kNotFound)) {
      return Trouble(image.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
    }
  }
  auto assistant = site.engine->Inspect(ctx_, model::kAssistantName);
  if (!assistant.ok() && !assistant.Is(base::Code::kNotFound))
    return Trouble(assistant.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
  if (assistant.ok()) {
    const auto operation = assistant->labels.find(model::labels::kOperation);
    const auto on = assistant->labels.find(model::labels::kNode);
    component.name_taken = record_ == nullptr || operation == assistant->labels.end() ||
                           operation->second != record_->id;
    // Of two components on one engine it may be the other's, which goes first.
    if (!component.name_taken && on != assistant->labels.end() && on->second == site.name)
      component.assistant = *std::move(assistant);
  }
  if (component.begun && node.old_container) {
    const auto script = site.engine->ReadFile(
        ctx_, node.old_container->id,
        fmt::format("{}/{}", model::kComponentScriptFolder, model::kComponentScriptFile));
    if (!script.ok() && !script.Is(base::Code::kNotFound))
      return Trouble(script.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
    component.script_there = script.ok() && script->regular;
  }
  node.component = std::move(component);
}

void Observation::LookAtScript(const SiteNode& site, model::NodeFacts& node) {
  if (record_ == nullptr) return;
  // That of a component may still run when the operation is turned back.
  const model::FrozenNode* frozen = record_->Node(site.name);
  const bool component =
      frozen != nullptr && frozen->keeps_running && !record_->ComponentUpgraded(*frozen);
  const bool ours = !GoingBack() && record_->ScriptNode().name == site.name;
  const auto& container = component ? node.old_container : node.new_container;
  if (!container || !(component || ours)) return;
  const std::span<const model::ContainerScript> scripts =
      component ? std::span(&model::kComponentScript, 1) : std::span(model::kContainerScripts);
  for (const model::ContainerScript& each : scripts) {
    const int attempt =
        record_->LastAttempt(model::PointKind::kScriptStarting, site.name, each.step);
    if (attempt == 0 || (!component && record_->Seen(each.step))) continue;
    const auto marker = MarkerPath(record_->id, std::string(each.mark), attempt);
    if (!marker.ok()) return Trouble(marker.error(), "Internal");
    auto script = observe::LookAtScript(ctx_, *site.engine, container->id, *marker);
    if (!script.ok())
      return Trouble(script.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
    node.script = *std::move(script);
    // Its last line is shown, and a client that fails may print what it was called with.
    if (look_.site.config) {
      node.script->output =
          base::Without(std::move(node.script->output), look_.site.config->rm.password);
      node.script->output =
          base::Without(std::move(node.script->output), look_.site.config->cm.password);
    }
    node.script_of = each.step;
    return;  // They run one after the other.
  }
}

base::Result<std::string> Observation::ReadText(const SiteNode& site, const std::string& container,
                                                std::string_view path) {
  auto file = site.engine->ReadFile(ctx_, container, std::string(path));
  if (!file.ok()) return file.error().Wrap(std::string(path));
  if (file->regular) return std::move(file->content);
  return base::MakeError(base::Code::kInvalid, crd::reason::kCertificateUnreadable,
                         fmt::format("{} is not a regular file (Docker creates a folder if the "
                                     "source of a mount does not exist); restore the file",
                                     path));
}

// By the CA that the user names; else by the mounted certificate itself, which needs no CA and no
// name.
base::Result<std::optional<ports::HttpsTrust>> Observation::TrustIn(
    const SiteNode& site, const ports::ContainerInfo& container) {
  if (container.FindMount(product::kCertificateMount) == nullptr)
    return std::optional<ports::HttpsTrust>();
  ports::HttpsTrust trust;
  if (look_.spec.https && !look_.site.https_ca.empty()) {
    trust.certificates = look_.site.https_ca;
    trust.server_name = look_.spec.https->server_name;
    if (trust.server_name.empty()) trust.server_name = container.EnvValue("OMS_HOST_IP");
  } else {
    OMS_ASSIGN(trust.certificates, ReadText(site, container.id, product::kCertificateMount));
  }
  return std::optional<ports::HttpsTrust>(std::move(trust));
}

void Observation::LookAtCertificate(const SiteNode& site, model::NodeFacts& node) {
  if (Passed(model::PointKind::kStopping) || GoingBack() || !node.old_container) return;
  const ports::ContainerInfo& old = *node.old_container;
  model::HttpsFacts https;
  https.certificate_mounted = old.FindMount(product::kCertificateMount) != nullptr;
  https.key_mounted = old.FindMount(product::kKeyMount) != nullptr;
  if (https.certificate_mounted && https.key_mounted) {
    auto pair = [&]() -> base::Result<ports::CertificateInfo> {
      OMS_ASSIGN(const std::string certificate, ReadText(site, old.id, product::kCertificateMount));
      OMS_ASSIGN(std::string key, ReadText(site, old.id, product::kKeyMount));
      return ports_.probe->ReadKeyPair(certificate, base::Secret(std::move(key)));
    }();
    if (pair.ok()) {
      https.certificate = *pair;
    } else {
      https.error = pair.error();
    }
  }
  node.https = std::move(https);
}

base::Result<HealthQuery> Observation::QueryOf(const SiteNode& site,
                                               const ports::ContainerInfo& container) {
  HealthQuery query;
  query.container = container.id;
  query.host = container.EnvValue("OMS_HOST_IP");
  if (query.host.empty()) query.host = "127.0.0.1";
  if (look_.site.config) query.port = look_.site.config->ports.nginx;
  OMS_ASSIGN(query.https, TrustIn(site, container));
  return query;
}

void Observation::LookAtServices(const SiteNode& site, model::NodeFacts& node) {
  if (GoingBack()) {
    if (!record_->Passed(model::PointKind::kOldStarting, site.name)) return;
  } else if (Passed(model::PointKind::kStopping) && !NewOne()) {
    return;  // Nothing runs.
  }
  const model::Step health = GoingBack() ? model::Step::kAwaitOldHealth : model::Step::kAwaitHealth;
  if (record_ != nullptr && record_->Seen(health)) return;
  const auto& container = NewOne() && !node.keeps_running ? node.new_container : node.old_container;
  if (!container || !container->running) return;
  auto query = QueryOf(site, *container);
  if (!query.ok())
    return Trouble(query.error().Wrap("node " + site.name), crd::reason::kCertificateUnreadable);
  query->needs = NeedsOf(node.role);
  node.health = LookAtHealth(ctx_, *site.engine, *ports_.probe, *query);
}

bool Observation::KeepsRunning(const model::NodeFacts& node) const {
  if (const model::FrozenNode* frozen = record_ == nullptr ? nullptr : record_->Node(node.name))
    return frozen->keeps_running;
  return look_.spec.deployment.keep_tasks_running && node.role == crd::NodeRole::kComponent;
}

crd::NodeRole Observation::RoleOf(const std::string& node) const {
  if (const model::FrozenNode* frozen = record_ == nullptr ? nullptr : record_->Node(node))
    return frozen->role;
  for (const auto& listed : look_.spec.nodes) {
    if (listed.name == node) return listed.role;
  }
  return crd::NodeRole::kAll;
}

void Observation::LookAtNode(const SiteNode& site) {
  model::NodeFacts node;
  node.name = site.name;
  node.engine = site.info;
  node.role = RoleOf(site.name);
  node.keeps_running = KeepsRunning(node);
  LookAtContainers(site, node);
  LookAtImage(site, node);
  LookAtConfig(site, node);
  LookAtComponent(site, node);
  LookAtScript(site, node);
  LookAtCertificate(site, node);
  LookAtServices(site, node);
  facts_.nodes.push_back(std::move(node));
}

void Observation::LookAtHeartbeats(model::MetaFacts& meta) {
  bool all_moved = true, waited_out = false, any = false;
  for (const auto& node : facts_.nodes) {
    const auto& container = node.old_container ? node.old_container : node.new_container;
    if (!container) continue;
    const std::string ip = container->EnvValue("OMS_HOST_IP");
    auto beat = look_.site.meta.cm().Heartbeat(ctx_.WithTimeout(kMetaTimeout),
                                               look_.site.config->drc_cm_heartbeat_db, ip);
    if (!beat.ok()) {
      Trouble(beat.error().Wrap("MetaDB"), crd::reason::kMetaDbUnreachable);
      all_moved = false;
      continue;
    }
    if (!beat->found && !NeedsOf(node.role).host) continue;
    // Its upgrade may stop it for a while: that it moved was seen before.
    if (node.component && node.component->begun) {
      any = true;
      meta.heartbeats[node.name] = *std::move(beat);
      continue;
    }
    any = true;
    ProofCache::Beat& proofs = proofs_.beats[node.name];
    if (proofs.since == base::SteadyTime{}) {
      proofs = {beat->modified, beat->sequence_max, facts_.steady_now, false};
    } else if (beat->found && beat->modified != proofs.modified) {
      proofs.moved = true;
    }
    // It did move, and stands still now (its age by the server's own clock): watched anew.
    if (proofs.moved && beat->age_ms > kFreshHeartbeatMs) {
      proofs = {beat->modified, beat->sequence_max, facts_.steady_now, false};
    }
    all_moved = all_moved && proofs.moved;
    waited_out =
        waited_out || (!proofs.moved && facts_.steady_now - proofs.since > kHeartbeatPatience);
    meta.heartbeats[node.name] = *std::move(beat);
  }
  if (all_moved && any) {
    meta.heartbeat_moves = true;
  } else if (waited_out) {
    meta.heartbeat_moves = false;
  }
}

model::MetaFacts Observation::Servers() const {
  model::MetaFacts meta;
  meta.server = *look_.site.server;
  if (look_.site.cm_server->identity != meta.server.identity) meta.cm_server = look_.site.cm_server;
  return meta;
}

base::Result<ports::LegacyFindings> Observation::LookForLegacy(const product::OmsConfig& config) {
  const ports::MetaDbs& servers = look_.site.meta;
  const std::string &rm = config.drc_rm_db, &cm = config.drc_cm_db;
  if (!servers.separate()) return servers.rm().LookForLegacy(ctx_, rm, cm, config.cm_location);
  OMS_ASSIGN(auto found, servers.rm().LookForLegacy(ctx_, rm, "", config.cm_location));
  OMS_ASSIGN(auto of_cm, servers.cm().LookForLegacy(ctx_, "", cm, config.cm_location));
  found.black_regions = std::move(of_cm.black_regions);
  return found;
}

void Observation::LookAtDatabases(model::MetaFacts& meta) {
  const product::OmsConfig& config = *look_.site.config;
  for (const auto& frozen : model::DatabasesOf(config, meta)) {
    const std::string& name = frozen.name;
    auto database = look_.site.meta.For(frozen.role)->Database(ctx_, name);
    if (!database.ok()) {
      Trouble(database.error().Wrap("MetaDB, database " + name),
              database.Is(base::Code::kNotFound) ? crd::reason::kDatabaseNotFound
                                                 : crd::reason::kMetaDbUnreachable);
      continue;
    }
    meta.databases.push_back(*std::move(database));
  }
}

// On the way back a database may be gone for a moment: what is not there is absent, and only what
// could not be asked is a trouble.
void Observation::LookAtMetaGoingBack() {
  const product::OmsConfig& config = *look_.site.config;
  const ports::MetaDbs& servers = look_.site.meta;
  model::MetaFacts meta = Servers();
  bool whole = true;
  const auto keep = [&](auto result, auto& into) {
    if (result.ok()) {
      into = *std::move(result);
    } else if (!result.Is(base::Code::kNotFound)) {
      Trouble(result.error().Wrap("MetaDB"), crd::reason::kMetaDbUnreachable);
      whole = false;
    }
  };
  auto ha = servers.rm().ReadHaConfig(ctx_, record_->Database("rm"));
  if (ha.Is(base::Code::kTerminal)) {
    // The server answers: what the upgrade has made of that table is no reason to wait.
    meta.ha_unreadable = ha.error().message;
  } else {
    keep(std::move(ha), meta.ha_raw);
  }
  const bool awaits =
      std::any_of(facts_.nodes.begin(), facts_.nodes.end(),
                  [](const model::NodeFacts& node) { return node.health.has_value(); });
  if (awaits) {
    LookAtHeartbeats(meta);
    keep(servers.cm().Hosts(ctx_.WithTimeout(kMetaTimeout), record_->Database("cm")), meta.hosts);
  } else if (Passed(model::PointKind::kStopping)) {
    keep(servers.cm().Sequence(ctx_, record_->Database("cm_hb")), meta.sequence);
    keep(servers.ForeignConnections(ctx_, config.drc_rm_db, config.drc_cm_db,
                                    config.drc_cm_heartbeat_db),
         meta.foreign);
  }
  JoinHealth(meta);
  if (whole) facts_.meta = std::move(meta);
}

void Observation::LookAtMeta() {
  if (GoingBack()) return LookAtMetaGoingBack();
  const Site& site = look_.site;
  const product::OmsConfig& config = *site.config;
  model::MetaFacts meta = Servers();
  const auto keep = [&](auto result, auto& into) {
    const bool seen = result.ok();
    if (seen) {
      into = *std::move(result);
    } else {
      Trouble(result.error().Wrap("MetaDB"), crd::reason::kMetaDbUnreachable);
    }
    return seen;
  };
  bool whole = keep(site.meta.rm().ReadHaConfig(ctx_, config.drc_rm_db), meta.ha_raw);
  if (!Passed(model::PointKind::kStopping)) {
    LookAtDatabases(meta);
    LookAtHeartbeats(meta);
    if (look_.path.legacy_steps) {
      keep(LookForLegacy(config), meta.legacy);
    }
  } else if (!Passed(model::PointKind::kNewStarting)) {
    LookAtHeartbeats(meta);
    whole = keep(site.meta.cm().Sequence(ctx_, config.drc_cm_heartbeat_db), meta.sequence) && whole;
    whole = keep(site.meta.ForeignConnections(ctx_, config.drc_rm_db, config.drc_cm_db,
                                              config.drc_cm_heartbeat_db),
                 meta.foreign) &&
            whole;
  } else {
    LookAtHeartbeats(meta);
  }
  whole =
      keep(site.meta.cm().Hosts(ctx_.WithTimeout(kMetaTimeout), config.drc_cm_db), meta.hosts) &&
      whole;
  JoinHealth(meta);
  // After the stop a fact that could not be read must not look like an empty one.
  if (whole || !Passed(model::PointKind::kStopping)) facts_.meta = std::move(meta);
}

void Observation::JoinHealth(const model::MetaFacts& meta) {
  for (auto& node : facts_.nodes) {
    if (!node.health) continue;
    const bool fresh = NewOne() && !node.keeps_running;
    const auto& container = fresh ? node.new_container : node.old_container;
    const std::string ip = container->EnvValue("OMS_HOST_IP");
    const auto row = std::find_if(meta.hosts.begin(), meta.hosts.end(),
                                  [&](const ports::HostRow& host) { return host.ip == ip; });
    node.health->host_online = row != meta.hosts.end() && row->status == "ONLINE";
    const auto beat = meta.heartbeats.find(node.name);
    const bool beats = beat != meta.heartbeats.end() && beat->second.found;
    if (!NeedsOf(node.role).host) {
      if (row == meta.hosts.end()) node.health->host_online = true;
      if (!beats) node.health->heartbeat_fresh = true;
    }
    if (row == meta.hosts.end()) {
      node.health->host_problem =
          fmt::format("the table host of the CM database has no row for {}", ip);
    } else if (!node.health->host_online) {
      node.health->host_problem = fmt::format(
          "host {} is {} in the table host of the CM database, not ONLINE", ip, row->status);
    }
    if (!beats) continue;
    int64_t limit = kFreshHeartbeatMs;
    if (fresh || GoingBack()) {
      // Newer than this container's start, as two ages: one by the server's clock, one by ours;
      // never clock against clock.
      const auto started = record_->PassedAt(
          fresh ? model::PointKind::kNewStarting : model::PointKind::kOldStarting, node.name);
      // Where our clock was set back since, the age of the start is not known.
      if (started && facts_.now >= *started) {
        limit = std::min(limit,
                         std::chrono::duration_cast<base::Duration>(facts_.now - *started).count());
      }
    }
    node.health->heartbeat_fresh = beat->second.age_ms <= limit;
  }
}

void Observation::LookAtVolume() {
  facts_.volume = look_.site.volume;
  if (!facts_.volume && record_ == nullptr) {
    // Not made yet: the space of the place where it will be.
    const auto free = ports_.store->FreeBytes(look_.spec.backup.directory);
    if (free.ok()) {
      facts_.volume = ports::VolumeInfo{{}, *free};
    } else {
      Trouble(free.error(), crd::reason::kBackupVolume);
    }
  }
  // Where it has to be loaded, or looked into for which image it holds.
  const crd::Image& image = record_ != nullptr ? record_->image : look_.spec.image;
  const bool everywhere =
      std::all_of(facts_.nodes.begin(), facts_.nodes.end(), [&](const model::NodeFacts& node) {
        if (node.keeps_running) return true;
        const model::FrozenNode* frozen = record_ == nullptr ? nullptr : record_->Node(node.name);
        if (frozen != nullptr) return model::IsBrought(*record_, *frozen, node.target_image, image);
        return node.target_image && !image.id.empty() &&
               model::IsWantedImage(*node.target_image, image);
      });
  if (!everywhere) facts_.archive_bytes = SizeOf(look_.spec.image, "spec.image.archive");
  const bool needs_assistant =
      std::any_of(facts_.nodes.begin(), facts_.nodes.end(), [](const model::NodeFacts& node) {
        return node.component && !node.component->begun && !node.component->image;
      });
  if (needs_assistant && look_.spec.deployment.assistant)
    (void)SizeOf(*look_.spec.deployment.assistant, "spec.deployment.assistant.archive");
}

std::optional<uint64_t> Observation::SizeOf(const crd::Image& image, const char* field) {
  if (image.archive.empty()) return std::nullopt;
  const auto size = ports_.store->Size(image.archive);
  if (size.ok()) return *size;
  facts_.troubles.push_back(
      {crd::reason::kArchiveNotFound,
       fmt::format(
           "{} {} cannot be read ({}); put the archive at that path on the controller's host",
           field, image.archive, size.error().message),
       true});
  return std::nullopt;
}

// The console of the first node that has one answers for all.
base::Result<std::vector<ports::OmsTask>> Observation::AskOmsTasks() {
  for (const auto& site : look_.site.nodes) {
    const model::NodeFacts* node = facts_.Node(site.name);
    if (node == nullptr || !NeedsOf(node->role).console) continue;
    const auto& container = node->old_container;
    if (!container || !container->running) continue;
    OMS_ASSIGN(const HealthQuery query, QueryOf(site, *container));
    return AskForTasks(ctx_.WithTimeout(kTasksTimeout), ports_, look_.site.ns, *look_.spec.task_api,
                       {query.host, query.port, query.https});
  }
  return base::MakeError(base::Code::kTransient, crd::reason::kTaskApiUnreachable,
                         "no running node has a console to ask");
}

void Observation::LookAtOmsTasks() {
  if (!look_.spec.task_api || !product::OffersTaskApi(look_.from)) return;
  const auto now = [&] { return ctx_.clock().Now(); };
  if (!proofs_.oms_tasks || now() >= proofs_.oms_tasks_until) {
    proofs_.oms_tasks.reset();
    const base::SteadyTime begun = now();
    auto tasks = AskOmsTasks();
    if (!tasks.ok()) {
      facts_.oms_tasks_trouble = TroubleOfTasks(tasks.error(), look_.site.ns, *look_.spec.task_api);
      return;
    }
    const base::SteadyTime ended = now();
    proofs_.oms_tasks = *std::move(tasks);
    proofs_.oms_tasks_until =
        ended + std::max<base::SteadyTime::duration>(kFreshTasks, 4 * (ended - begun));
  }
  facts_.oms_tasks = proofs_.oms_tasks;
}

void Observation::Rehearse(model::NodeFacts& node) {
  if (!look_.path.config_rewrite || Passed(model::PointKind::kNewStarting)) return;
  auto rewritten = product::RewriteMetaKeys(node.config->content);
  if (!rewritten.ok())
    return Trouble(rewritten.error().Wrap("config.yaml"), crd::reason::kConfigInvalid);
  if (*rewritten != node.config->content) node.rehearsed_config = *std::move(rewritten);
}

// Another world: nothing was seen of it yet.
void Observation::ForgetAnothers() {
  std::string of = WorldOf(look_.site);
  if (proofs_.of == of) return;
  proofs_ = {};
  proofs_.of = std::move(of);
}

model::Facts Observation::Run(std::map<std::string, model::TaskView> tasks) {
  ForgetAnothers();
  facts_.now = ctx_.clock().Wall();
  facts_.steady_now = ctx_.clock().Now();
  facts_.config = look_.site.config;
  facts_.tasks = std::move(tasks);
  for (const auto& node : look_.site.nodes) {
    // One that was listed since is no part of the open operation.
    if (record_ == nullptr || record_->Node(node.name) != nullptr) LookAtNode(node);
  }
  LookAtMeta();
  if (GoingBack()) return std::move(facts_);
  if (!Passed(model::PointKind::kStopping)) {
    LookAtVolume();
    LookAtOmsTasks();
  } else {
    proofs_.oms_tasks.reset();  // May be many, and nobody asks again.
  }
  return std::move(facts_);
}

model::Facts Observation::RunIdle() {
  facts_.now = ctx_.clock().Wall();
  facts_.steady_now = ctx_.clock().Now();
  const product::OmsConfig& config = *look_.site.config;
  model::MetaFacts meta = Servers();
  bool whole = true;
  for (const auto& site : look_.site.nodes) {
    model::NodeFacts node;
    node.name = site.name;
    node.role = RoleOf(site.name);
    if (site.Current() != nullptr) node.old_container = *site.Current();
    LookAtServices(site, node);
    if (node.health) {
      auto beat =
          look_.site.meta.cm().Heartbeat(ctx_.WithTimeout(kMetaTimeout), config.drc_cm_heartbeat_db,
                                         node.old_container->EnvValue("OMS_HOST_IP"));
      whole = whole && beat.ok();
      if (beat.ok()) meta.heartbeats[site.name] = *std::move(beat);
    }
    facts_.nodes.push_back(std::move(node));
  }
  auto hosts = look_.site.meta.cm().Hosts(ctx_.WithTimeout(kMetaTimeout), config.drc_cm_db);
  if (!whole || !hosts.ok()) return std::move(facts_);
  meta.hosts = *std::move(hosts);
  JoinHealth(meta);
  facts_.meta = std::move(meta);
  return std::move(facts_);
}

}  // namespace

std::string WorldOf(const Site& site) {
  std::string after;
  if (site.record) after = site.record->open() ? site.record->follows : site.record->id;
  std::string of =
      fmt::format("{} {} {} {}", site.server->identity, site.meta.rm().address().Name(),
                  site.config->drc_cm_heartbeat_db, after);
  if (site.meta.separate()) {
    const ports::DbServerAddress& cm = site.meta.cm().address();
    of += fmt::format(" {} {} {}", site.cm_server->identity, cm.Name(), cm.user);
  }
  return of;
}

model::Facts ObserveIdle(const base::Context& ctx, const Ports& ports, const Look& look) {
  ProofCache none;
  return Observation(ctx, ports, look, none).RunIdle();
}

model::Facts Observe(const base::Context& ctx, const Ports& ports, const Look& look,
                     std::map<std::string, model::TaskView> tasks, ProofCache& proofs) {
  return Observation(ctx, ports, look, proofs).Run(std::move(tasks));
}

}  // namespace oms::observe

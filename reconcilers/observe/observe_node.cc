#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/observe/observation.h"
#include "reconcilers/observe/script_look.h"
#include "reconcilers/oms/container_clone.h"

namespace oms::observe {

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
      return views_.probe->ReadKeyPair(certificate, base::Secret(std::move(key)));
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
  node.health = LookAtHealth(ctx_, *site.engine, *views_.probe, *query);
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

void Observation::Rehearse(model::NodeFacts& node) {
  if (!look_.path.config_rewrite || Passed(model::PointKind::kNewStarting)) return;
  auto rewritten = product::RewriteMetaKeys(node.config->content);
  if (!rewritten.ok())
    return Trouble(rewritten.error().Wrap("config.yaml"), crd::reason::kConfigInvalid);
  if (*rewritten != node.config->content) node.rehearsed_config = *std::move(rewritten);
}

}  // namespace oms::observe

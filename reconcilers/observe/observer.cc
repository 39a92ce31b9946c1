#include "reconcilers/observe/observer.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/observe/observation.h"
#include "reconcilers/observe/task_look.h"
#include "reconcilers/oms/task_limits.h"

namespace oms::observe {
namespace {

// Less than the time between two looks at a trouble. A list that took long is kept longer, so that
// asking takes at most a fifth of the time.
constexpr base::Duration kFreshTasks = std::chrono::seconds(5);
constexpr base::Duration kTasksTimeout = std::chrono::minutes(2);

}  // namespace

void Observation::LookAtVolume() {
  facts_.volume = look_.site.volume;
  if (!facts_.volume && record_ == nullptr) {
    // Not made yet: the space of the place where it will be.
    const auto free = views_.store->FreeBytes(look_.spec.backup.directory);
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
  const auto size = views_.store->Size(image.archive);
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
    return AskForTasks(ctx_.WithTimeout(kTasksTimeout), views_, look_.site.ns, *look_.spec.task_api,
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
      auto beat = look_.site.meta.cm().tables->Heartbeat(
          ctx_.WithTimeout(kMetaTimeout), config.drc_cm_heartbeat_db,
          node.old_container->EnvValue("OMS_HOST_IP"));
      whole = whole && beat.ok();
      if (beat.ok()) meta.heartbeats[site.name] = *std::move(beat);
    }
    facts_.nodes.push_back(std::move(node));
  }
  auto hosts = look_.site.meta.cm().tables->Hosts(ctx_.WithTimeout(kMetaTimeout), config.drc_cm_db);
  if (!whole || !hosts.ok()) return std::move(facts_);
  meta.hosts = *std::move(hosts);
  JoinHealth(meta);
  facts_.meta = std::move(meta);
  return std::move(facts_);
}

std::string WorldOf(const Site& site) {
  std::string after;
  if (site.record) after = site.record->open() ? site.record->follows : site.record->id;
  std::string of =
      fmt::format("{} {} {} {}", site.server->identity, site.meta.rm().server->address().Name(),
                  site.config->drc_cm_heartbeat_db, after);
  if (site.meta.separate()) {
    const ports::DbServerAddress& cm = site.meta.cm().server->address();
    of += fmt::format(" {} {} {}", site.cm_server->identity, cm.Name(), cm.user);
  }
  return of;
}

model::Facts ObserveIdle(const base::Context& ctx, const Views& views, const Look& look) {
  ProofCache none;
  return Observation(ctx, views, look, none).RunIdle();
}

model::Facts Observe(const base::Context& ctx, const Views& views, const Look& look,
                     std::map<std::string, model::TaskView> tasks, ProofCache& proofs) {
  return Observation(ctx, views, look, proofs).Run(std::move(tasks));
}

}  // namespace oms::observe

#include "tests/unit/reconcilers/upgrade_facts.h"

#include "controller/base/sha256.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/steps/old_containers.h"

namespace oms::fixtures {

crd::Spec SpecOf(const std::string& version) {
  crd::Spec spec;
  spec.version = version;
  spec.image.reference = "oms:4.3.1";
  spec.image.archive = "/images/oms_4.3.1.tar.gz";
  crd::Node node;
  node.name = "oms-1";
  node.engine.endpoint = "unix:///var/run/docker.sock";
  node.container.name = "oms_430";
  spec.nodes = {node};
  return spec;
}

ports::ContainerInfo OldContainer() {
  ports::ContainerInfo old;
  old.id = "old-id";
  old.name = "oms_430";
  old.image = "oms:4.3.0";
  old.image_id = "sha256:old";
  old.status = "running";
  old.running = true;
  old.started_at = "2026-01-01T00:00:00.000000Z";
  old.finished_at = "0001-01-01T00:00:00Z";
  old.restart_policy = "always";
  old.privileged = true;
  old.network_mode = "host";
  old.pids_limit = -1;
  old.nproc_soft = old.nproc_hard = 65535;
  old.mounts = {{"bind", "/data/conf/config.yaml", "/home/admin/conf/config.yaml", true},
                {"bind", "/data/logs", "/home/admin/logs", true},
                {"bind", "/data/store", "/home/ds/store", true},
                {"bind", "/data/run", "/home/ds/run", true}};
  old.env = {"OMS_HOST_IP=10.0.0.1"};
  old.inspect = "{}";
  return old;
}

model::HealthFacts Well() {
  model::HealthFacts health;
  health.supervisor_answers = true;
  health.programs = {{"nginx", "RUNNING"}, {"oms_console", "RUNNING"}};
  health.host_online = health.heartbeat_fresh = true;
  return health;
}

Upgrade::Upgrade() {
  record.id = "0123456789abcdef0123456789abcdef";
  record.folder = "/backups/op";
  record.volume = "volume-1";
  record.owner_cluster = "cluster";
  record.owner_object = "ns/oms";
  record.epoch = 1;
  record.from = VersionOf("4.3.0");
  record.to = VersionOf("4.3.1");
  record.image.reference = "oms:4.3.1";
  record.started = At(0);
  model::FrozenNode frozen;
  frozen.name = "oms-1";
  frozen.old_id = "old-id";
  frozen.old_name = "oms_430";
  frozen.old_started_at = OldContainer().started_at;
  frozen.old_image_id = "sha256:old";
  frozen.old_restart_policy = "always";
  frozen.new_name = "oms_431";
  frozen.config_source = "/data/conf/config.yaml";
  record.nodes = {frozen};
  record.databases = {{"rm", "oms_rm", "s"}, {"cm", "oms_cm", "s"}, {"cm_hb", "oms_cm_hb", "s"}};
  record.ha_raw = kHaOn;
  record.ha_was_on = true;

  facts.now = At(100);
  facts.steady_now = base::SteadyTime(std::chrono::seconds(1000));
  model::NodeFacts node;
  node.name = "oms-1";
  node.engine = ports::EngineInfo{"engine", "20.10", "1.41"};
  node.old_container = OldContainer();
  node.config = ports::FileContent{"text", 0, 0, 0644, true};
  node.config_sha256 = "config-sum";
  node.rehearsed_config = "new text";
  node.health = Well();
  facts.nodes = {node};
  facts.volume = ports::VolumeInfo{"volume-1", 1ULL << 40};
  model::MetaFacts meta;
  meta.databases = {{"oms_rm", "utf8mb4", "c", 1000},
                    {"oms_cm", "utf8mb4", "c", 1000},
                    {"oms_cm_hb", "utf8mb4", "c", 1000}};
  meta.ha_raw = kHaOn;
  meta.hosts = {{"10.0.0.1", "ONLINE"}};
  meta.heartbeats["oms-1"] = {true, 1000, "t", 100'000};
  meta.heartbeat_moves = true;
  meta.sequence.base = {true, 100'000, 100'000, 100'001};
  facts.meta = meta;
}

void Upgrade::Pass(model::PointKind kind, const std::string& node, std::optional<model::Step> step,
                   int attempt, base::WallTime at) {
  record.points.push_back({kind, node, step, attempt, at});
}

void Upgrade::Task(model::Step step, model::TaskView::State state, base::Error error) {
  model::TaskView view;
  view.state = state;
  view.error = std::move(error);
  view.ended = facts.steady_now;
  facts.tasks[steps::TaskName(step, step == model::Step::kBackUpDatabases ? "" : "oms-1")] = view;
}

Upgrade& Upgrade::ImageThere() {
  ports::ImageInfo image;
  image.id = "sha256:new";
  image.size = 1000;
  node().target_image = image;
  node().script_in_image = true;
  record.loaded_images["oms-1"] = {spec.image.reference, spec.image.archive, image.id, {}};
  return *this;
}

Upgrade& Upgrade::Prepared() {
  ImageThere();
  record.image_backups["oms-1"] = {"images/oms-1.tar", "sum", 0, 0, 0600};
  record.config_backups["oms-1"] = {"config/oms-1/config.yaml", "config-sum", 0, 0, 0644};
  const std::string sum = base::Sha256Hex(*node().rehearsed_config);
  record.config_rewrites["oms-1"] = {"/data/conf/config-4.3.1.yaml", sum, 0, 0, 0644};
  ports::ContainerInfo fresh = OldContainer();
  for (auto& mount : fresh.mounts) {
    if (mount.destination == product::kConfigMount) mount.source = "/data/conf/config-4.3.1.yaml";
  }
  fresh.id = "new-id";
  fresh.name = "oms_431";
  fresh.image = "oms:4.3.1";
  fresh.image_id = record.nodes.front().target_image_id = "sha256:new";
  fresh.status = "created";
  fresh.running = false;
  fresh.started_at = "0001-01-01T00:00:00Z";
  fresh.restart_policy = "no";
  node().new_container = fresh;
  node().new_config_sha256 = sum;
  return *this;
}

Upgrade& Upgrade::HaOff() {
  Prepared();
  Pass(model::PointKind::kHaDisabling, "", std::nullopt, 1, At(100));
  meta().ha_raw = kHaOff;
  return *this;
}

Upgrade& Upgrade::Stopped() {
  HaOff();
  Pass(model::PointKind::kStopping);
  auto& old = *node().old_container;
  old.running = false;
  old.status = "exited";
  old.finished_at = "2026-01-02T03:04:10.000000Z";
  old.restart_policy = "no";
  node().health.reset();
  meta().heartbeat_moves.reset();
  return *this;
}

Upgrade& Upgrade::Compact() {
  Stopped();
  meta().sequence.base = {true, 1, 100'000, 100'001};
  return *this;
}

Upgrade& Upgrade::Dumped() {
  Compact();
  record.steps[model::Step::kBackUpDatabases].begun = 1;
  record.backup = model::BackupRef{"dump/1", "sum",   10,     "old-id", OldContainer().started_at,
                                   {},       100'000, At(90), {}};
  return *this;
}

Upgrade& Upgrade::Started() {
  Dumped();
  Pass(model::PointKind::kNewStarting, "oms-1", std::nullopt, 1);
  node().new_container->running = true;
  node().new_container->status = "running";
  node().health = model::HealthFacts{};
  meta().sequence = {};
  return *this;
}

Upgrade& Upgrade::ScriptBegun() {
  Started();
  node().health->supervisor_answers = true;
  Pass(model::PointKind::kScriptStarting, "oms-1", model::Step::kRunUpgradeScript, 1);
  node().script = model::ScriptState{model::ScriptState::Kind::kRunning, 0, {}};
  return *this;
}

Upgrade& Upgrade::ScriptEnded() {
  ScriptBegun();
  node().script = model::ScriptState{model::ScriptState::Kind::kEnded, 0, "done\n"};
  return *this;
}

Upgrade& Upgrade::Healthy() {
  ScriptEnded();
  Seen(model::Step::kRunUpgradeScript);
  node().script.reset();
  node().health = Well();
  return *this;
}

Upgrade& Upgrade::Accepted() {
  Healthy();
  Seen(model::Step::kAwaitHealth);
  node().health.reset();
  return *this;
}

decide::Decision Upgrade::Decide(decide::FailureCount failures) const {
  decide::UserRequests asked = requests;
  asked.version = crd::Version::Parse(spec.version);
  return decide::Decide(spec, record, state(), facts, asked, failures, 0.5);
}

const steps::StepState& Upgrade::At(const steps::State& state, model::Step step) {
  return steps::At(state, step);
}

Upgrade WithSecond(Upgrade upgrade) {
  model::FrozenNode frozen = upgrade.record.nodes.front();
  frozen.name = "oms-2";
  frozen.engine_id = "engine-2";
  model::NodeFacts second = upgrade.node();
  second.name = "oms-2";
  if (second.old_container) second.old_container->id = frozen.old_id = "old-id-2";
  if (second.new_container) second.new_container->id = "new-id-2";
  upgrade.record.nodes.push_back(frozen);
  for (auto* files : {&upgrade.record.image_backups, &upgrade.record.config_backups,
                      &upgrade.record.config_rewrites}) {
    if (files->contains("oms-1")) (*files)["oms-2"] = (*files)["oms-1"];
  }
  if (upgrade.record.backup) upgrade.record.backup->other_runs["oms-2"] = steps::RunOf(second);
  if (upgrade.record.Passed(model::PointKind::kNewStarting))
    upgrade.Pass(model::PointKind::kNewStarting, "oms-2", std::nullopt, 1);
  upgrade.facts.nodes.push_back(second);
  return upgrade;
}

}  // namespace oms::fixtures

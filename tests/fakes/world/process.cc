#include <fmt/format.h>

#include "tests/fakes/fake_world.h"
#include "tests/fakes/world/api.h"
#include "tests/fakes/world/console.h"
#include "tests/fakes/world/engine.h"
#include "tests/fakes/world/meta_db.h"
#include "tests/fakes/world/row.h"
#include "tests/fakes/world/volume.h"

namespace oms::fakes {
namespace {

const kube::ResourceType kUpgrades{crd::kGroup, crd::kVersionName, crd::kPlural};
const kube::ObjectKey kKey{"ns", "oms"};

}  // namespace

struct Process::Doors {
  Doors(World& world, Life& life)
      : engines(world, life),
        dbs(world, life),
        row(world, life),
        store(world, life),
        archives(world, life),
        dumper(world, life),
        probe(world, life),
        tasks(world, life),
        api(world, life) {}
  Engines engines;
  Dbs dbs;
  Row row;
  Store store;
  Archives archives;
  Dumper dumper;
  Probe probe;
  TaskDoor tasks;
  Api api;
};

Process::Process(World& world, std::string name, std::string cluster)
    : world_(world),
      doors_(std::make_unique<Doors>(world, life)),
      random_(base::MakeSystemRandom()),
      tasks_(std::make_shared<act::ThreadedTasks>()),
      one_thread_(false) {
  pass::UpgradeReconciler::Options options;
  options.cluster = std::move(cluster);
  options.process = std::move(name);
  Assemble(std::move(options));
}

Process::Process(World& world, Determined parts)
    : world_(world),
      doors_(std::make_unique<Doors>(world, life)),
      random_(std::move(parts.random)),
      tasks_(std::move(parts.tasks)),
      one_thread_(true) {
  pass::UpgradeReconciler::Options options;
  options.cluster = "cluster-1";
  options.process = std::move(parts.name);
  options.new_id = std::move(parts.new_id);
  Assemble(std::move(options));
}

void Process::Assemble(pass::UpgradeReconciler::Options options) {
  world_.Locked([&] { world_.promises.BeginProcess(); });
  options.limits = {{kFirstEngine, kSecondEngine}, {"/var/lib/oms-upgrade"}, {"/images"}};
  pass::Ports ports{.api = &doors_->api,
                    .engines = &doors_->engines,
                    .meta_dbs = &doors_->dbs,
                    .ownerships = &doors_->row,
                    .store = &doors_->store,
                    .backup_tool = &doors_->dumper,
                    .archives = &doors_->archives,
                    .probe = &doors_->probe,
                    .task_api = &doors_->tasks};
  reconciler_ = std::make_unique<pass::UpgradeReconciler>(
      std::move(options), ports,
      [this](const kube::ObjectKey& key) -> std::shared_ptr<const crd::OmsUpgrade> {
        if (frozen_) return frozen_;
        const auto found = world_.api.Find(kUpgrades, key);
        if (!found) return nullptr;
        return std::make_shared<crd::OmsUpgrade>(*crd::FromJson(*found));
      },
      *this, *random_, *tasks_,
      [this](const kube::ObjectKey&) {
        std::lock_guard lock(mutex_);
        woken_.notify_all();
      });
}

// A process that ends takes its tasks with it; what it began in containers goes on.
Process::~Process() {
  world_.Kill(life);
  if (!one_thread_) tasks_->Stop("");
}

Result<runtime::Outcome> Process::Pass() {
  world_.BeginPass();
  Context ctx(world_.clock, {});
  if (pass_timeout) ctx = ctx.WithTimeout(*pass_timeout);
  auto outcome = reconciler_->Reconcile(ctx, {kKey});
  after_ = outcome.ok() ? outcome->after : std::nullopt;
  last_error_ = outcome.ok() ? ""
                             : fmt::format("{}: {}", base::ToString(outcome.error().code),
                                           outcome.error().message);
  return outcome;
}

bool Process::SomethingRuns() const {
  for (const auto& [name, view] : tasks_->LookAll("")) {
    if (view.state == model::TaskView::State::kRunning) return true;
  }
  return false;
}

void Process::AwaitTasks() {
  std::unique_lock lock(mutex_);
  // A held task is not waited for; the deadline only keeps a broken test from hanging.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
  while (SomethingRuns() && !world_.Held() && std::chrono::steady_clock::now() < deadline) {
    woken_.wait_for(lock, std::chrono::milliseconds(5));
  }
}

bool Process::RunUntil(const std::function<bool()>& done, int limit) {
  for (int i = 0; i < limit; ++i) {
    (void)Pass();
    AwaitTasks();
    if (world_.IsDead(life)) return false;
    if (done()) return true;
    world_.clock.Advance(std::clamp<base::Duration>(after_.value_or(std::chrono::seconds(1)),
                                                    std::chrono::milliseconds(100),
                                                    std::chrono::seconds(60)));
  }
  return false;
}

bool Process::RunToReady() {
  return RunUntil([&] { return ConditionOf(world_.Resource(), "Ready").starts_with("True"); });
}

void Process::FreezeCache() { frozen_ = std::make_shared<crd::OmsUpgrade>(world_.Resource()); }

void Process::Settle(int limit) {
  int quiet = 0;
  RunUntil(
      [&] {
        const bool far = !after_ || *after_ >= std::chrono::seconds(10);
        quiet = far && !SomethingRuns() ? quiet + 1 : 0;
        return quiet >= 2;
      },
      limit);
}

void Process::Event(const runtime::ObjectRef&, runtime::EventType type, const std::string& reason,
                    const std::string& message, const std::map<std::string, std::string>&) {
  std::lock_guard lock(world_.mutex());
  world_.events.push_back(fmt::format(
      "{} {}: {}", type == runtime::EventType::kWarning ? "Warning" : "Normal", reason, message));
}

std::string ConditionOf(const crd::OmsUpgrade& resource, std::string_view type) {
  const auto* found = crd::FindCondition(resource.status.conditions, type);
  if (found == nullptr) return "absent";
  return fmt::format("{}/{}", kube::ToString(found->status), found->reason);
}

}  // namespace oms::fakes

#include "tests/property/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "reconcilers/model/labels.h"
#include "reconcilers/oms/ha_config.h"

namespace oms::property {

using fakes::Life;
using fakes::Process;
using fakes::SteppedTasks;
using nlohmann::json;
using std::chrono::seconds;

namespace {

const std::string kArchives = "/images/oms_";

// The same numbers for the same seed, on every machine.
class SeededRandom final : public base::Random {
 public:
  explicit SeededRandom(uint64_t seed) : numbers_(seed) {}
  double Fraction() override { return static_cast<double>(numbers_() % 1000) / 1000; }

 private:
  std::mt19937_64 numbers_;
};

bool IsLegacy(Shape shape) { return shape == Shape::kLegacy || shape == Shape::kLegacyTwoNodes; }

}  // namespace

Stage::Stage(const Sequence& of, Played& into, bool with_trace, bool with_tally)
    : sequence(of),
      played(into),
      trace(with_trace),
      tally(with_tally),
      first(IsLegacy(of.shape) ? "3.4.0" : "4.3.0"),
      world(first) {
  BuildWorld();
  NewProcess();
}

void Stage::BuildWorld() {
  using enum Shape;
  const Shape shape = sequence.shape;
  for (const std::string version : {first.c_str(), "4.3.1", "4.3.2"}) {
    const std::string archive = kArchives + version + ".tar.gz";
    world.archives[archive] = "oms:" + version;
    world.files[archive] = "the archive of " + version;
    if (version == first) world.archive_ids[archive] = "sha256:oms430";
  }
  world.execs_break = world.scripts_migrate = world.short_reads = true;
  world.ha = kHaTextOn;
  if (shape == kTwoNodes || shape == kOneEngine || shape == kLegacyTwoNodes) {
    world.AddSecondNode(first, shape != kOneEngine);
  } else if (shape == kKeepTasks || shape == kKeepTasksHere) {
    world.SeparateAndKeepTasks(shape == kKeepTasks);
  } else if (shape == kTwoServers) {
    world.SeparateCm();
  } else if (shape == kInPlace) {
    world.EditSpec([](json& spec) { spec["deployment"]["config"] = "InPlace"; });
  } else if (shape == kHaOff) {
    world.ha = kHaTextOff;
    ha_wanted = false;
  }
  if (sequence.seed % 2 == 0) world.EditSpec([](json& spec) { spec["backup"]["retain"] = 1; });
  nodes = world.Resource().spec.nodes.size();
  for (const auto& [path, file] : world.host_files) configs[path] = file.content;
}

void Stage::NewProcess() {
  tasks = std::make_shared<SteppedTasks>();
  Process::Determined parts;
  parts.name = fmt::format("process-{}", ++processes_);
  parts.tasks = tasks;
  parts.random = std::make_unique<SeededRandom>(sequence.seed * 31 + processes_);
  parts.new_id = [this] { return fmt::format("{:08x}{:024x}", ++operations_, sequence.seed); };
  process = std::make_unique<Process>(world, std::move(parts));
}

void Stage::Silence() {
  const bool engine = engine_silent > 0, meta = meta_silent > 0;
  world.engine_down = engine && !last_engine;
  world.engines_down.clear();
  if (engine && last_engine)
    world.engines_down.insert(world.Resource().spec.nodes.back().engine.endpoint);
  world.meta_down = meta && !(last_meta && world.separate_cm);
  world.cm_down = meta;
}

// How long it is until the next one, as the controller asks for it.
base::Duration Stage::Round() {
  if (Exists()) Silence();
  if (engine_silent > 0) --engine_silent;
  if (meta_silent > 0) --meta_silent;
  const auto outcome = process->Pass();
  SayWhatWasDone();
  if (world.IsDead(process->life)) {
    Say("  ! the process dies");
    if (tally) ++played.came["died at a write"];
    Restart();
    return base::Duration(0);
  }
  return outcome.ok() ? outcome->after.value_or(seconds(60)) : seconds(1);
}

void Stage::StepTasks(int only) {
  if (only < 0) {
    tasks->StepAll();
  } else {
    (void)tasks->Step(static_cast<size_t>(only));
  }
  SayWhatWasDone();
}

// All that goes on without the controller. What runs, and finds databases of its version, writes.
void Stage::Tick() {
  world.clock.Advance(seconds(1));
  world.HappenLate();
  for (auto& [id, container] : world.containers) {
    if (!container.info.running || !World::IsOms(container.info)) continue;
    auto& base = world.sequence.base;
    if (base.exists && world.databases.contains("oms_cm_hb"))
      base = {true, base.rows + 1, base.max_id + 1, base.auto_increment + 1};
    if (IsComponent(container) || !Fits(world.VersionOf(container))) continue;
    std::string& cm = world.databases["oms_cm"];
    const size_t rows = cm.find(" +");
    cm = fmt::format("{} +{}", cm.substr(0, rows),
                     rows == std::string::npos ? 1 : std::stoi(cm.substr(rows + 2)) + 1);
  }
}

void Stage::GoOn(int rounds) {
  for (int i = 0; i < rounds && !Broken(); ++i) {
    const auto wait = Round();
    Tick();
    StepTasks(-1);
    if (world.IsDead(process->life)) Restart();
    world.clock.Advance(std::min<base::Duration>(wait, seconds(4)));
  }
}

void Stage::DieAt(int write, Life::End end) {
  process->life.DieAt(world.WritesOf(process->life) + write, end);
  Round();
  Tick();
  StepTasks(-1);
  Restart();
}

std::vector<World::Container*> Stage::OfHost(size_t node) {
  std::vector<World::Container*> found;
  const std::string ip = node == 0 ? "10.0.0.1" : "10.0.0.2";
  for (auto& [id, container] : world.containers) {
    if (World::IsOms(container.info) && container.info.EnvValue("OMS_HOST_IP") == ip)
      found.push_back(&container);
  }
  return found;
}

// The container that the last operation replaced, or would have; and the one that it made.
World::Container* Stage::Old(size_t node) {
  const auto* record = Record();
  if (record == nullptr) return Current(node);
  World::Container* old = world.Find(record->nodes.at(node).old_id);
  return old != nullptr ? old : world.Find(record->nodes.at(node).old_name);
}

World::Container* Stage::New(size_t node) {
  const auto* record = Record();
  if (record == nullptr) return nullptr;
  for (World::Container* container : OfHost(node)) {
    const auto label = container->info.labels.find(model::labels::kOperation);
    if (label != container->info.labels.end() && record->MadeHere(label->second)) return container;
  }
  return nullptr;
}

// What runs, or what ran last.
World::Container* Stage::Current(size_t node) {
  World::Container* last = nullptr;
  for (World::Container* container : OfHost(node)) {
    if (container->info.running) return container;
    if (last == nullptr || container->info.finished_at > last->info.finished_at) last = container;
  }
  return last;
}

void Stage::AskFor(const std::string& version) {
  Edit([&](json& spec) {
    spec["version"] = version;
    spec["image"] = {{"reference", "oms:" + version}, {"archive", kArchives + version + ".tar.gz"}};
  });
}

void Stage::SayWhatWasDone() {
  if (!trace) return;
  std::string line;
  for (; said_ < world.log.size(); ++said_) {
    const std::string& write = world.log[said_];
    if (write.starts_with("Register") || write.starts_with("kube")) continue;
    line += (line.empty() ? "" : ", ") + write;
  }
  if (!line.empty()) Say("  * ", line);
  const crd::OmsUpgrade resource = world.Resource();
  Say("  = ", fakes::ConditionOf(resource, "Ready"), ": ", resource.status.message);
  for (const auto& promise : world.promises.broken()) Say("  # ", promise);
}

void Stage::Reset() { Annotate(crd::kResetAt, fmt::format("reset-{}", ++tokens)); }

void Stage::MendBackups() {
  for (auto& [path, content] : whole) {
    if (world.files.contains(path)) world.files[path] = content;
  }
  whole.clear();
}

bool Stage::Fits(const std::string& version) const {
  const auto holds = [&](const char* name, const std::string& what) {
    const auto found = world.databases.find(name);
    return found != world.databases.end() && found->second.starts_with(what);
  };
  return holds("oms_rm", "rm of " + version) && holds("oms_cm", "cm of " + version) &&
         holds("oms_cm_hb", "beats");
}

bool Stage::HaOn() const {
  if (!world.ha) return false;
  const auto ha = product::ReadHa(*world.ha);
  return ha.ok() && ha->enabled;
}

void Stage::Remove(World::Container& container) {
  const std::string id = container.info.id;
  world.EndContainer(id, 137);
  world.containers.erase(id);
}

}  // namespace oms::property

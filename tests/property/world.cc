#include "tests/property/world.h"

#include <algorithm>

#include "reconcilers/oms/ha_config.h"

namespace oms::property {

using model::OperationRecord;
using model::PointKind;
using ports::CompactionAct;

std::string VersionText(int version) {
  return std::to_string(version / 100) + "." + std::to_string(version / 10 % 10) + "." +
         std::to_string(version % 10);
}

int VersionNumber(const std::string& text) {
  return (text[0] - '0') * 100 + (text[2] - '0') * 10 + (text[4] - '0');
}

bool Databases::Same(const Databases& other, size_t database) const {
  if (!(of[database] == other.of[database])) return false;
  if (database == kRm) return ha == other.ha;
  if (database != kHeartbeat) return true;
  return sequence.base.max_id == other.sequence.base.max_id &&
         sequence.base.rows == other.sequence.base.rows;
}

bool Databases::Fits(int version) const {
  return std::all_of(of.begin(), of.end(), [&](const Content& c) { return c.schema == version; });
}

World::World() : wall(std::chrono::seconds(1'767'323'045)), steady(std::chrono::seconds(100'000)) {
  databases.sequence.base = {true, 1000, 1000, 1001};
  databases.ha = R"({"enable":true,"own":7,"perceiveStoreClientCheckpoint":false})";
  PersonInstalls();
  containers.front().by_person = false;
}

Container* World::Find(const std::string& id_or_name) {
  for (auto& container : containers) {
    if (container.id == id_or_name || container.name == id_or_name) return &container;
  }
  return nullptr;
}

Container* World::OfOperation(const OperationRecord& record) {
  Container* found = nullptr;
  for (auto& container : containers) {
    if (!container.operation.empty() && record.MadeHere(container.operation)) found = &container;
  }
  return found;
}

Container* World::Current() {
  Container* named = Find(resource.spec.nodes.front().container.name);
  if (named != nullptr && named->running) return named;
  const auto ours = [&](auto wanted) -> Container* {
    for (auto at = containers.rbegin(); at != containers.rend(); ++at) {
      if (!at->operation.empty() && wanted(*at)) return &*at;
    }
    return nullptr;
  };
  if (auto* running = ours([](const Container& c) { return c.running; })) return running;
  Container* last = nullptr;
  for (auto& container : containers) {
    const bool stands_for_it = &container == named || !container.operation.empty();
    if (stands_for_it && container.ended > (last == nullptr ? 0 : last->ended)) last = &container;
  }
  if (last != nullptr) return last;
  if (named != nullptr) return named;
  return ours([](const Container&) { return true; });
}

bool World::HaOn() const {
  if (!databases.ha) return false;
  const auto ha = product::ReadHa(*databases.ha);
  return ha.ok() && ha->enabled;
}

bool World::Well(const Container& container) const {
  return container.running && container.up >= 2 && databases.Fits(container.version) &&
         !faults.sick;
}

// ------------------------------------------------------------------------------------------- time

void World::TickScript(Attempt& attempt, const std::string& operation) {
  if (attempt.claimed || attempt.exit_code) return;
  const Container* container = Find(attempt.container);
  const bool up = container != nullptr && container->running;
  if (attempt.running && !up) attempt.running = false;  // It ended with its container.
  if (!up) return;
  if (!attempt.folder) {
    if (faults.slow_exec) return;
    attempt.folder = attempt.running = true;
    Say("  * the script begins, of operation ", operation);
    if (++script_runs[operation] > 1) Break("a script was run twice in one operation");
    const bool fits = databases.Fits(attempt.from);
    databases.of[kRm].schema = fits ? kHalf : kTwice;
    return;
  }
  if (!attempt.running || faults.script_hangs) return;
  attempt.running = false;
  attempt.exit_code = faults.script_fails ? 1 : 0;
  faults.script_fails = false;
  if (*attempt.exit_code != 0 || databases.of[kRm].schema != kHalf) return;
  for (auto& content : databases.of) content.schema = attempt.to;
  Say("  * the script has ended well");
}

void World::Tick() {
  Pass(std::chrono::seconds(1));
  std::vector<std::function<void()>> now;
  now.swap(late);
  for (const auto& act : now) act();
  for (auto& container : containers) {
    if (container.stopping) End(container);
    if (!container.running) continue;
    ++container.up;
    if (container.by_person && OperationOpen()) person_wrote = true;
    if (!databases.Fits(container.version)) continue;
    ++databases.of[kHeartbeat].rows;
    auto& base = databases.sequence.base;
    if (base.exists) base = {true, base.rows + 1, base.max_id + 1, base.auto_increment + 1};
  }
  for (auto& [key, attempt] : attempts) TickScript(attempt, key.substr(0, key.find('/')));
}

// ------------------------------------------------------------------------------------- containers

void World::Begin(Container& container) {
  container.status = "running";
  container.running = true;
  container.stopping = false;
  container.up = 0;
  container.started_at = "start-" + std::to_string(++ids_);
  if (databases.Fits(container.version)) ++databases.of[kRm].rows;
}

void World::Start(const std::string& id, bool late_one) {
  Container* container = Find(id);
  if (container == nullptr || container->running) return;
  Say("  * started: ", container->name, late_one ? ", late" : "");
  Begin(*container);
  container->by_person = false;
  for (const auto& other : containers) {
    // A late start cannot know what a person has done since it was sent.
    if (other.id == id || !other.running || (late_one && other.by_person)) continue;
    Break("old and new OMS run together: " + container->name + " was started beside " + other.name);
  }
}

void World::StopContainer(const std::string& id) {
  Container* container = Find(id);
  if (container == nullptr || !container->running) return;
  container->stopping = true;
}

void World::End(Container& container) {
  container.stopping = container.running = false;
  if (container.status == "running") container.status = "exited";
  container.ended = ++ends_;
}

bool World::Remove(const std::string& id) {
  const Container* container = Find(id);
  if (container == nullptr) return true;
  if (container->running) return false;
  Say("  * removed: ", container->name);
  std::erase_if(containers, [&](const Container& one) { return one.id == id; });
  return true;
}

// -------------------------------------------------------------------------------------- databases

void World::Compact(CompactionAct act) {
  auto& [base, bak, bak2] = databases.sequence;
  switch (act) {
    case CompactionAct::kNone: break;
    case CompactionAct::kCreateBak: bak = {true, 0, 0, base.auto_increment}; break;
    case CompactionAct::kFillBak: bak = {true, 1, base.max_id, base.auto_increment}; break;
    case CompactionAct::kSwap:  // As two statements; a crash may come between them.
      bak2 = base;
      base = {};
      break;
    case CompactionAct::kFinishSwap:
      base = bak;
      bak = {};
      break;
    case CompactionAct::kDropBak: bak = {}; break;
    case CompactionAct::kCreateBakAhead:
      bak = {true, 0, 0, base.auto_increment + ports::kSequenceHeadroom};
      break;
    case CompactionAct::kSwapAtOnce:
      bak2 = base;
      base = bak;
      bak = {};
      break;
    case CompactionAct::kDropBak2: bak2 = {}; break;
    case CompactionAct::kUndoSwap:
      base = bak2;
      bak2 = {};
      break;
    case CompactionAct::kRaise:
      base.rows = std::max<uint64_t>(base.rows, 1);
      base.max_id = std::max({base.max_id, bak.max_id, bak2.max_id});
      base.auto_increment =
          std::max({base.auto_increment, bak.auto_increment, bak2.auto_increment});
      break;
  }
}

Dump* World::BackupOf(const OperationRecord& record) {
  if (!record.backup) return nullptr;
  const std::string& folder = record.backup->folder;
  const auto found = dumps.find(folder.starts_with('/') ? folder : record.folder + "/" + folder);
  return found == dumps.end() ? nullptr : &found->second;
}

void World::Drop(const OperationRecord& record, size_t database) {
  Say("  * dropped: ", kDatabases[database]);
  Count("", "drop");
  const Dump* backup = BackupOf(record);
  if (backup == nullptr) {
    Break("a database was dropped without a backup");
  } else if (backup->verified_by != record.id) {
    Break("a database was dropped before this operation had verified its backups");
  } else if (steady - backup->part_verified[database] > std::chrono::seconds(5)) {
    Break("a database was dropped and its backup was not verified a moment before");
  }
  if (!record.Passed(PointKind::kFirstDrop)) Break("a database was dropped before the point");
  if (!record.upgraded_state) Break("a database was dropped before what it held was kept");
  for (const auto& container : containers) {
    if (container.running && !container.by_person)
      Break("a database was dropped while " + container.name + " runs");
  }
  databases.of[database] = {kGone, 0};
  if (database == kRm) databases.ha.reset();
  if (database == kHeartbeat) databases.sequence = {};
}

// ------------------------------------------------------------------------------------------ points

void World::PointPassed(const OperationRecord& record, const model::Point& point) {
  Say("  + point ", std::string(model::ToString(point.kind)));
  Count(record.undoes ? "point of an undo " : "point ", model::ToString(point.kind));
  const Dump* backup = BackupOf(record);
  const bool forward = record.direction == model::Direction::kUpgrade;
  switch (point.kind) {
    case PointKind::kHaDisabling:
      if (forward && !resource.window_open) Break("HA is switched off outside of the window");
      break;
    case PointKind::kStopping:
      if (!resource.window_open && !record.Passed(PointKind::kHaDisabling))
        Break("OMS is stopped outside of the window");
      if (HaOn()) Break("OMS is stopped with HA on");
      break;
    case PointKind::kNewStarting: {
      before[record.id] = databases;
      bool same = backup != nullptr && backup->Whole();
      for (size_t i = 0; backup != nullptr && i < kDatabases.size(); ++i) {
        same = same && databases.Same(backup->data, i);
      }
      if (backup == nullptr || (backup->Whole() && !same)) {
        Break("the new version is started and the backup is not what the databases hold");
      }
      break;
    }
    case PointKind::kRollbackStopping:
      if (backup == nullptr || backup->verified_by != record.id) {
        Break("the new container is taken away before the backups were verified");
      }
      break;
    case PointKind::kFirstDrop:
      if (backup == nullptr || backup->verified_by != record.id) {
        Break("the first drop comes before the backups were verified");
      }
      break;
    case PointKind::kOldStarting: {
      const auto was = before.find(record.undoes ? record.undoes->id : record.id);
      if (!databases.sequence.base.exists) Break("the old version is started without its sequence");
      if (was == before.end() || accepted || person_wrote) break;
      for (size_t i = 0; i < kDatabases.size(); ++i) {
        if (databases.of[i] == was->second.of[i]) continue;
        Break(std::string(kDatabases[i]) + " is not what it was before the upgrade");
      }
      break;
    }
    default: break;
  }
}

// ----------------------------------------------------------------------------------------- persons

void World::PersonStarts(Container& container) {
  if (container.running) return;
  Begin(container);
  container.by_person = true;
  person_wrote = person_wrote || OperationOpen();
}

void World::PersonRemoves(Container& container) {
  const std::string id = container.id;
  std::erase_if(containers, [&](const Container& one) { return one.id == id; });
}

void World::PersonInstalls() {
  Container container;
  container.id = NewId("old-");
  container.name = "oms_430";
  container.policy = "always";
  images.insert("oms:4.3.0");
  Begin(container);
  container.by_person = true;
  container.up = 5;
  containers.push_back(container);
}

}  // namespace oms::property

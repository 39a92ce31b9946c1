#include "tests/fakes/world/promises.h"

#include <algorithm>
#include <filesystem>

#include "controller/base/sha256.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/model/maintenance_window.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/record/manifest.h"
#include "tests/fakes/fake_world.h"

namespace oms::fakes {

using model::Direction;
using model::PointKind;

// What a test has put there itself is known as if it had been appended.
Promises::Known& Promises::KnownOf(const std::string& folder) {
  auto [at, fresh] = known_.try_emplace(folder);
  if (!fresh) return at->second;
  std::vector<std::string> texts;
  for (const auto& [n, text] : world_.records[folder]) texts.push_back(text);
  if (auto record = model::FoldRecords(texts); record.ok()) {
    at->second.record = *std::move(record);
    if (at->second.record.direction == Direction::kRollback) at->second.turned = 0;
  }
  return at->second;
}

const model::OperationRecord* Promises::Operation() {
  if (!world_.row || !world_.records.contains(world_.row->folder)) return nullptr;
  const Record& record = KnownOf(world_.row->folder).record;
  return record.id.empty() ? nullptr : &record;
}

int Promises::EnoughFrom(const std::string& folder) const {
  const auto found = known_.find(folder);
  return found == known_.end() ? 0 : found->second.enough_from;
}

// ------------------------------------------------------------------------------------- containers

void Promises::Start(const std::string& id) {
  const World::Container& one = world_.containers.at(id);
  if (one.info.running || !World::IsOms(one.info) || one.info.name == world_.component) return;
  for (const auto& [other_id, other] : world_.containers) {
    if (other_id == id || !other.info.running || !World::IsOms(other.info)) continue;
    if (other.unforeseen || other.info.name == world_.component) continue;
    const bool same_host = other.info.EnvValue("OMS_HOST_IP") == one.info.EnvValue("OMS_HOST_IP");
    if (other.info.image_id == one.info.image_id && !same_host) continue;
    Break("old and new OMS run together: " + one.info.name + " was started beside " +
          other.info.name);
  }
}

// What has run is the way back of somebody, but for the new container of an operation that goes
// back.
void Promises::Remove(const std::string& id) {
  const World::Container& one = world_.containers.at(id);
  if (!World::IsOms(one.info) || !one.ran) return;
  const Record* record = Operation();
  const auto label = one.info.labels.find(model::labels::kOperation);
  const bool ours = record != nullptr && record->open() &&
                    record->direction == Direction::kRollback && label != one.info.labels.end() &&
                    record->MadeHere(label->second);
  if (!ours) Break("a container that has run was removed: " + one.info.name);
  if (one.info.running) Break("a container was removed that runs: " + one.info.name);
}

void Promises::BeginScript(const std::string& id, const std::string& marker) {
  // <logs>/oms-upgrade/<operation>/<script>/<attempt>
  const std::filesystem::path attempt(marker);
  const std::string script = attempt.parent_path().filename().string();
  const std::string operation = attempt.parent_path().parent_path().filename().string();
  // A component's in each component; the others once, wherever.
  const std::string where = script == "component-upgrade" ? id : "";
  if (++script_runs_[operation + "/" + script + "/" + where] > 1)
    Break(script + " was run twice in one operation");
  if (script != "correction-jar") return;
  for (const auto& [other_id, other] : world_.containers) {
    if (other.info.running && World::IsOms(other.info) &&
        world_.ConsoleOf(other.info.name) == "RUNNING" && !other.unforeseen &&
        other.info.name != world_.component) {
      Break("the correction jar runs beside the console of " + other.info.name);
    }
  }
}

// -------------------------------------------------------------------------------------- databases

void Promises::Drop(const std::string& database) {
  const Record* record = Operation();
  const auto broken = [&](const std::string& how) { Break(database + " was dropped " + how); };
  if (record == nullptr || !record->open()) return broken("with no operation open");
  if (record->direction != Direction::kRollback) return broken("outside of a rollback");
  if (std::none_of(record->databases.begin(), record->databases.end(),
                   [&](const auto& frozen) { return frozen.name == database; })) {
    broken("which is none of this operation's");
  }
  if (!record->Passed(PointKind::kFirstDrop)) broken("before the point that names it");
  if (!record->upgraded_state) broken("before what it held was kept");
  if (!record->differing || std::find(record->differing->begin(), record->differing->end(),
                                      database) == record->differing->end()) {
    broken("although it was not seen to differ from its backup");
  }
  if (const auto wrong = WhatIsWrongWith(*record, database); !wrong.empty())
    broken("and would not come back: " + wrong);
  // By this process, for this drop.
  const Known& known = KnownOf(world_.row->folder);
  if (!ReadSince(*record, database,
                 std::max({known.may_drop, process_began_, dropped_at_[database]}))) {
    broken("and its backup was not verified for it");
  }
  dropped_at_[database] = ++happened_;
  const auto& turned = known.turned;
  if (!turned || !ReadSince(*record, {}, *turned))
    broken("before this operation had verified all of its backup");
  for (const auto& [id, container] : world_.containers) {
    if (container.info.running && World::IsOms(container.info) && !container.by_person)
      broken("while " + container.info.name + " runs");
  }
}

void Promises::BeginDump(const std::string& database) {
  for (const auto& [id, container] : world_.containers) {
    if (container.info.running && World::IsOms(container.info) && !container.by_person &&
        container.info.name != world_.component) {
      Break(database + " was dumped while " + container.info.name + " runs");
    }
  }
}

// ----------------------------------------------------------------------------------------- backups

std::string Promises::BackupOf(const Record& record) {
  if (!record.backup) return {};
  const std::string& folder = record.backup->folder;
  return folder.starts_with('/') ? folder : record.folder + "/" + folder;
}

std::string Promises::WhatIsWrongWith(const Record& record, const std::string& database) const {
  const std::string folder = BackupOf(record);
  if (folder.empty()) return "there is no backup";
  const auto text = world_.files.find(folder + "/" + std::string(record::kManifestName));
  if (text == world_.files.end()) return "it has no manifest";
  if (base::Sha256Hex(text->second) != record.backup->manifest_sha256)
    return "its manifest is another one";
  const auto manifest = record::Manifest::FromJson(text->second);
  if (!manifest.ok()) return "its manifest cannot be read";
  for (const auto& frozen : record.databases) {
    if (!database.empty() && frozen.name != database) continue;
    const auto* held = manifest->Find(frozen.name);
    if (held == nullptr || held->files.empty()) return "it does not hold " + frozen.name;
    for (const auto& file : held->files) {
      const auto found = world_.files.find(folder + "/" + file.path);
      if (found == world_.files.end()) return file.path + " is gone";
      if (base::Sha256Hex(found->second) != file.sha256) return file.path + " is damaged";
    }
  }
  return {};
}

bool Promises::ReadSince(const Record& record, const std::string& database, uint64_t since) const {
  const std::string folder = BackupOf(record);
  const auto read = [&](const std::string& path) {
    const auto found = read_at_.find(folder + "/" + path);
    return found != read_at_.end() && found->second >= since;
  };
  if (folder.empty() || !read(std::string(record::kManifestName))) return false;
  return std::all_of(record.databases.begin(), record.databases.end(), [&](const auto& frozen) {
    return (!database.empty() && frozen.name != database) || read(frozen.name + "/data.sql");
  });
}

void Promises::ReadFile(const std::string& path) { read_at_[path] = ++happened_; }

void Promises::RemovePayload(const std::string& folder) {
  const Record* record = Operation();
  if (record == nullptr) return;
  const bool own = record->folder == folder || (record->undoes && record->undoes->folder == folder);
  if (own && record->open()) Break("the backup of the open operation was removed");
  const auto way_back = record->WayBack();
  if (!record->open() && way_back && way_back->folder == folder)
    Break("the backup of what can still be taken back was removed");
}

// ------------------------------------------------------------------------------------------ points

bool Promises::WindowIsOpen() const {
  const auto window = world_.Resource().spec.maintenance_window;
  if (!window) return true;
  const auto look = model::LookAtWindow(*window, world_.clock.Wall());
  return look.ok() && look->open;
}

bool Promises::HaIsOn() const {
  const auto ha = world_.ha && world_.databases.contains("oms_rm")
                      ? product::ReadHa(*world_.ha)
                      : base::Result<product::HaState>(base::MakeError(base::Code::kNotFound, ""));
  return ha.ok() && ha->enabled;
}

void Promises::Append(const std::string& folder, int n, const std::string& text) {
  auto record = Record::FromJson(text);
  if (!record.ok()) return;
  Known& known = KnownOf(folder);
  const bool first = known.record.id.empty();
  const std::vector<model::Point> before = std::move(known.record.points);
  const auto has = [](const std::vector<model::Point>& points, const model::Point& point) {
    return std::any_of(points.begin(), points.end(),
                       [&](const model::Point& each) { return each.SameAs(point); });
  };
  const bool all = std::all_of(before.begin(), before.end(), [&](const model::Point& point) {
    return has(record->points, point);
  });
  if (!all) Break("a record has lost a point that was passed");
  known.record = *std::move(record);
  if (all) known.enough_from = n;
  if (known.record.direction == Direction::kRollback && !known.turned) known.turned = ++happened_;
  if (known.record.Passed(PointKind::kFirstDrop) && known.may_drop == 0)
    known.may_drop = ++happened_;
  // The first record of an undo has the points of what it undoes.
  if (first && known.record.undoes) return;
  for (const auto& point : known.record.points) {
    if (!has(before, point)) Pass(known, point);
  }
}

void Promises::Pass(const Known& known, const model::Point& point) {
  const Record& record = known.record;
  const auto verified = [&](const char* what) {
    if (!known.turned || !ReadSince(record, {}, *known.turned))
      Break(std::string(what) + " before the backup was verified");
  };
  switch (point.kind) {
    case PointKind::kHaDisabling:
      if (record.direction == Direction::kUpgrade && !record.Passed(PointKind::kStopping) &&
          !WindowIsOpen()) {
        Break("HA is switched off outside of the window");
      }
      break;
    case PointKind::kStopping:
      if (!record.Passed(PointKind::kHaDisabling) && !WindowIsOpen())
        Break("OMS is stopped outside of the window");
      if (HaIsOn()) Break("OMS is stopped with HA on");
      break;
    case PointKind::kNewStarting: StartNew(record); break;
    case PointKind::kRollbackStopping: verified("the new container is taken away"); break;
    case PointKind::kFirstDrop: verified("the first drop is begun"); break;
    case PointKind::kOldStarting: StartOld(record); break;
    default: break;
  }
}

void Promises::StartNew(const Record& record) {
  if (before_.contains(record.id)) return;  // Of several nodes the first one.
  before_[record.id] = world_.databases;
  highest_id_[record.id] = world_.sequence.base.max_id;
  person_wrote_ = false;
  if (const auto wrong = WhatIsWrongWith(record); wrong.ends_with("damaged")) {
    return;  // Since it was made; no one can look at each moment.
  } else if (!wrong.empty()) {
    return Break("the new version is started, and its backup would not come back: " + wrong);
  }
  for (const auto& frozen : record.databases) {
    if (frozen.role == "cm_hb" && record.KeepsTasks()) continue;  // Its component goes on writing.
    const auto& dump = world_.files.at(BackupOf(record) + "/" + frozen.name + "/data.sql");
    if (dump != world_.ContentLocked(frozen.name))
      Break("the new version is started, and its backup is not what " + frozen.name + " holds");
  }
}

void Promises::StartOld(const Record& record) {
  if (!went_back_.insert(record.id).second) return;  // It runs, and writes.
  if (!world_.sequence.base.exists) Break("the old version is started without its sequence");
  const auto was = before_.find(record.undoes ? record.undoes->id : record.id);
  if (was == before_.end() || accepted_ || person_wrote_) return;
  for (const auto& frozen : record.databases) {
    if (frozen.role == "cm_hb" && record.KeepsTasks()) continue;  // As above.
    const auto now = world_.databases.find(frozen.name);
    const auto then = was->second.find(frozen.name);
    if (now != world_.databases.end() && then != was->second.end() && now->second == then->second)
      continue;
    Break("the old version is started, and " + frozen.name +
          " is not what it was before the upgrade");
  }
  // A component that went on has used more of them since the dump.
  if (world_.sequence.base.max_id < highest_id_.at(was->first) && !record.KeepsTasks())
    Break("the old version is started, and the heartbeat's ids went back");
}

}  // namespace oms::fakes

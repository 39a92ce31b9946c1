#include "tests/property/player.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "reconcilers/steps/accept.h"
#include "tests/property/ending.h"
#include "tests/property/stage.h"

namespace oms::property {
namespace {

using fakes::Life;
using model::Direction;
using model::PointKind;
using nlohmann::json;
using std::chrono::hours;
using std::chrono::minutes;

constexpr std::array<const char*, 3> kDatabases{"oms_rm", "oms_cm", "oms_cm_hb"};

class Player {
 public:
  explicit Player(Stage& stage) : stage_(stage), world_(stage.world) {}

  void Play() {
    for (const Event& event : stage_.sequence.events) {
      stage_.Say("- ", Describe(event));
      Happen(event);
      if (stage_.Broken()) return;
    }
    stage_.Say("- all is mended; wishes stand still");
    Ending ending(stage_);
    ending.Mend();
    ending.ToTheEnd();
  }

 private:
  void Happen(const Event& event);
  void Meet(const Event& event);
  void HappenToResource(const Event& event);
  void HappenAtTheMachine(const Event& event);
  void HappenByItself(const Event& event);
  void Trouble() { stage_.troubled = true; }

  Stage& stage_;
  World& world_;
  json deleted_;  // The resource, to be created again.
};

void Player::Meet(const Event& event) {
  auto met = std::make_shared<bool>(false);
  stage_.process->life.MeetAt(world_.WritesOf(stage_.process->life) + event.a, [this, event, met] {
    *met = true;
    stage_.Say("  ~ now");
    Happen({kHands[event.b], event.a % 2, 0, event.node});
    if (stage_.Exists()) stage_.Silence();
  });
  stage_.Round();
  stage_.StepTasks(-1);
  stage_.process->life.MeetAt(0, nullptr);
  if (*met) Trouble();
}

void Player::HappenToResource(const Event& event) {
  const auto set = [&](const char* pointer, const json& value) {
    stage_.Edit([&](json& spec) { spec[json::json_pointer(pointer)] = value; });
  };
  const auto* record = stage_.Record();
  switch (event.what) {
    case What::kVersion:
      stage_.AskFor(event.a == 0 ? stage_.first : event.a == 1 ? "4.3.1" : "4.3.2");
      break;
    case What::kSuspend: set("/suspend", event.a != 0); break;
    case What::kDelete:
      if (!stage_.Exists()) break;
      deleted_ = *world_.api.Find(kUpgrades, kKey);
      world_.Delete();
      break;
    case What::kCreate:
      if (stage_.Exists()) break;
      deleted_["metadata"] = {{"namespace", kKey.ns}, {"name", kKey.name}};
      deleted_.erase("status");
      world_.api.Put(kUpgrades, deleted_);
      break;
    case What::kOnFailure:
      set("/strategy/onFailure", std::string(ToString(static_cast<crd::OnFailure>(event.a))));
      break;
    case What::kIgnoreRevert:
      set("/strategy/onVersionRevert", event.a != 0 ? "Ignore" : "Rollback");
      // spec.image may be of another version then than what the operation goes to.
      Trouble();
      break;
    case What::kOrphan: set("/deletionPolicy", event.a != 0 ? "Orphan" : "RollBack"); break;
    case What::kApproval: set("/approval", event.a != 0 ? "Manual" : "Automatic"); break;
    case What::kMode: set("/mode", event.a != 0 ? "Plan" : "Apply"); break;
    case What::kWindow:
      stage_.Edit([&](json& spec) {
        spec.erase("maintenanceWindow");
        if (event.a != 0)
          spec["maintenanceWindow"] = {{"start", "00:00"}, {"end", "00:01"}, {"timeZone", "UTC"}};
      });
      break;
    case What::kReset: stage_.Reset(); break;
    case What::kAccept: {
      if (record == nullptr) break;
      std::string token = steps::AcceptToken(*record, "UpgradedStateUnsaved");
      for (const auto& [database, restore] : record->restores) {
        if (event.a != 0 || restore.difference.empty()) continue;
        token = steps::AcceptDifference(*record, database);
        world_.promises.PersonAccepted();
      }
      stage_.Annotate(crd::kAccept, token);
      break;
    }
    case What::kAbandon:
      if (!stage_.OperationOpen() || !stage_.Exists()) break;
      stage_.Annotate(crd::kAbandon, record->id);
      stage_.abandoned = true;
      Trouble();
      break;
    case What::kNoImageBackup: set("/backup/image", event.a == 0); break;
    case What::kEraseStatus:
      if (stage_.Exists()) world_.EraseStatus();
      break;
    default: break;
  }
}

void Player::HappenAtTheMachine(const Event& event) {
  const size_t node = static_cast<size_t>(event.node) % stage_.nodes;
  World::Container* old = stage_.Old(node);
  World::Container* fresh = stage_.New(node);
  if (fresh == old) fresh = nullptr;
  World::Container* meant = event.a == 0 ? old : fresh;
  switch (event.what) {
    case What::kStartOld:
      if (old == nullptr || old->info.running) return;
      world_.StartByHand(old->info.id);
      break;
    case What::kStopAny:
      if (meant == nullptr || !meant->info.running) return;
      world_.EndContainer(meant->info.id, 137);
      break;
    case What::kRestartAny:
      if (meant == nullptr || !meant->info.running) return;
      world_.EndContainer(meant->info.id, 137);
      world_.StartByHand(meant->info.id);
      break;
    case What::kRemoveOld: {
      if (old == nullptr || (event.b == 0 && old->info.running)) return;
      const std::string image = old->info.image_id;
      stage_.Remove(*old);
      if (event.a != 0)
        std::erase_if(world_.images, [&](const auto& each) { return each.second.id == image; });
      break;
    }
    case What::kRemoveNew:
      if (fresh == nullptr) return;
      stage_.Remove(*fresh);
      break;
    case What::kHaSwitch: {
      // Once an operation has touched it, or stopped OMS, it is not a person's.
      const auto* record = stage_.Record();
      if (record != nullptr && record->open() &&
          (record->direction == Direction::kRollback || record->Passed(PointKind::kHaDisabling) ||
           record->Passed(PointKind::kStopping))) {
        return;
      }
      if (!world_.databases.contains("oms_rm")) return;
      stage_.ha_wanted = event.a != 0;
      world_.ha = event.a != 0 ? kHaTextOn : kHaTextOff;
      return;  // No trouble.
    }
    default: return;
  }
  Trouble();
}

void Player::HappenByItself(const Event& event) {
  const auto fault = [&](auto& what, auto value) {
    what = value;
    Trouble();
  };
  const int times = std::max(1, event.a);
  const auto flaky = [&](World::Flaky& what) {
    fault(what, World::Flaky{event.b + 1, event.b + 1, times});
  };
  switch (event.what) {
    case What::kEngineSilent:
      fault(stage_.engine_silent, times);
      stage_.last_engine = event.b != 0;
      break;
    case What::kMetaSilent:
      fault(stage_.meta_silent, times);
      stage_.last_meta = event.b != 0;
      break;
    case What::kEngineFlaky: flaky(world_.engine_flaky); break;
    case What::kMetaFlaky: flaky(world_.meta_flaky); break;
    case What::kDamage:
      for (auto& [path, content] : world_.files) {
        if (path.find("/dump/") == std::string::npos ||
            !path.ends_with(std::string(kDatabases[static_cast<size_t>(event.a)]) + "/data.sql"))
          continue;
        stage_.whole.emplace(path, content);
        content += "x";
        Trouble();
      }
      break;
    case What::kMend: stage_.MendBackups(); break;
    case What::kImageFails: fault(world_.loads_of_image_to_fail, times); break;
    case What::kDumpFails: fault(world_.dumps_to_fail, times); break;
    case What::kLoadFails: fault(world_.loads_to_fail, times); break;
    case What::kLoadSpoils: fault(world_.loads_to_spoil, times); break;
    case What::kTerminal:
      world_.fails_with = event.a != 0 ? base::Code::kTerminal : base::Code::kTransient;
      break;
    case What::kScriptFails: fault(world_.scripts_to_fail, 1); break;
    case What::kScriptHangs: fault(world_.script_held, event.a != 0); break;
    case What::kScriptVanishes:
      for (auto& script : world_.scripts) {
        if (script.running) script.running = false, Trouble();
      }
      break;
    case What::kSlowExec: fault(world_.execs_late, event.a != 0); break;
    case What::kSick:
      if (event.b == 0) {
        fault(world_.supervisor_silent, event.a != 0);
      } else {
        fault(world_.hosts.front().status, event.a != 0 ? "OFFLINE" : "ONLINE");
      }
      break;
    case What::kVolumeAnswerLost: fault(world_.answer_to_lose, world_.appends + times); break;
    default: break;
  }
}

void Player::Happen(const Event& event) {
  switch (event.what) {
    case What::kGoOn: stage_.GoOn(event.a); break;
    case What::kRound: stage_.Round(); break;
    case What::kTick:
      stage_.Tick();
      stage_.StepTasks(event.a);
      break;
    case What::kDie: {
      static constexpr std::array kEnds{Life::End::kBefore, Life::End::kAfter, Life::End::kLate};
      stage_.DieAt(event.a, kEnds[static_cast<size_t>(event.b)]);
      break;
    }
    case What::kMeet: Meet(event); break;
    case What::kHours:
      for (int i = 0; i < 20; ++i) stage_.Tick();
      stage_.StepTasks(-1);
      world_.clock.Advance(hours(event.a));
      Trouble();
      break;
    case What::kClock:
      world_.clock.JumpWall(minutes(event.a));
      Trouble();
      break;
    default:
      HappenToResource(event);
      HappenAtTheMachine(event);
      HappenByItself(event);
  }
}

void Tally(const Stage& stage) {
  ++stage.played.came[NameOf(stage.sequence.shape)];
  for (const auto& [folder, texts] : stage.world.records) {
    const auto record = model::OperationRecord::FromJson(texts.rbegin()->second);
    if (!record.ok()) continue;
    const std::string undo = record->undoes ? "undo " : "";
    ++stage.played.came[undo + "closed " + std::string(model::ToString(record->outcome))];
    for (const auto& point : record->points)
      ++stage.played.came[undo + "point " + std::string(model::ToString(point.kind))];
    for (const auto& [step, progress] : record->steps) {
      if (progress.seen) ++stage.played.came["done " + std::string(model::NameOf(step))];
    }
  }
  for (const auto& event : stage.world.events)
    ++stage.played.came[event.substr(0, event.find(':'))];
  stage.played.came["drop"] += stage.world.drops;
}

}  // namespace

Played Play(const Sequence& sequence, bool trace, bool tally) {
  Played played;
  Stage stage(sequence, played, trace, tally);
  Player(stage).Play();
  if (!stage.world.promises.broken().empty()) played.broken = stage.world.promises.broken().front();
  if (tally) Tally(stage);
  return played;
}

std::string Report(const Sequence& sequence) {
  const Played played = Play(sequence, true);
  std::string text =
      (played.broken.empty() ? "every promise was kept" : "broken: " + played.broken) +
      fmt::format(
          "\nseed {0} (OMS_PROPERTY_SEED={0} plays it again); {1}; the {2}sequence, of {3} "
          "events:\n",
          sequence.seed, NameOf(sequence.shape), played.broken.empty() ? "" : "shortest ",
          sequence.events.size());
  for (const Event& event : sequence.events) text += "  - " + Describe(event) + "\n";
  text += "what happened:\n";
  for (const auto& line : played.trace) text += "  " + line + "\n";
  return text;
}

}  // namespace oms::property

// The records that controllers of before have left on disk: formats/README.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "reconcilers/model/operation.h"

namespace oms::record {
namespace {

using model::Direction;
using model::OperationOutcome;
using model::OperationRecord;
using model::PointKind;
using model::Step;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::string TextOf(const std::string& name) {
  std::ifstream file(std::string(OMS_RECORD_FORMATS) + "/" + name + ".json");
  EXPECT_TRUE(file.good()) << name;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

OperationRecord Read(const std::string& name) {
  auto record = OperationRecord::FromJson(TextOf(name));
  EXPECT_TRUE(record.ok()) << name << ": " << (record.ok() ? "" : record.error().message);
  return record.ok() ? *std::move(record) : OperationRecord();
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(OMS_RECORD_FORMATS)) {
    if (file.path().extension() == ".json") names.push_back(file.path().stem());
  }
  return names;
}

base::WallTime At(const char* time) {
  return *base::ParseTime(std::string("2026-01-02T03:") + time + "Z");
}

std::vector<PointKind> KindsOf(const OperationRecord& record) {
  std::vector<PointKind> kinds;
  for (const auto& point : record.points) kinds.push_back(point.kind);
  return kinds;
}

TEST(Formats1And2, AreAllReadAndSayTheSameInFormat3) {
  ASSERT_THAT(Names(), SizeIs(13));
  for (const auto& name : Names()) {
    const json before = json::parse(TextOf(name));
    ASSERT_EQ(before.at("format"), name[0] - '0') << name;
    const OperationRecord record = Read(name);
    const json now = json::parse(record.ToJson());
    EXPECT_EQ(now.at("format"), 3);
    // What has not become something else.
    for (const auto& [key, value] : before.items()) {
      if (key == "format" || key == "attempts" || key == "evidence" || key == "restore" ||
          key == "globalQueryTimeout" || key == "points" || key == "nodes" || key == "backup")
        continue;
      EXPECT_EQ(now.at(key), value) << name << ": " << key;
    }
    EXPECT_EQ(record.points.size(), before.at("points").size()) << name;
    EXPECT_EQ(record.nodes.size(), before.at("nodes").size()) << name;
    size_t seen = 0;
    for (const auto& [step, progress] : record.steps) seen += progress.seen ? 1 : 0;
    EXPECT_EQ(seen + (record.said_whole ? 1 : 0), before.at("evidence").size()) << name;
    for (const auto& [step, time] : before.at("evidence").items()) {
      if (step == "SaidWhole") continue;
      EXPECT_EQ(now.at("steps").at(step).at("seen"), time) << name;
    }
    const auto again = OperationRecord::FromJson(record.ToJson());
    ASSERT_TRUE(again.ok()) << name << ": " << again.error().message;
    EXPECT_EQ(again->ToJson(), record.ToJson()) << name;
  }
}

TEST(Format1, OfAnUpgradeInItsMiddle) {
  const OperationRecord record = Read("1-upgrade-middle");
  EXPECT_TRUE(record.open());
  EXPECT_EQ(record.direction, Direction::kUpgrade);
  EXPECT_THAT(KindsOf(record),
              ElementsAre(PointKind::kHaDisabling, PointKind::kStopping, PointKind::kNewStarting));
  EXPECT_EQ(record.LastAttempt(PointKind::kNewStarting, "oms-1"), 1);
  EXPECT_EQ(record.Progress(Step::kBackUpDatabases).begun, 1);
  EXPECT_EQ(record.Progress(Step::kBackUpDatabases).seen, At("20:51.500000"));
  EXPECT_FALSE(record.Seen(Step::kStartContainers));
  ASSERT_TRUE(record.failure);
  EXPECT_EQ(record.failure->step, Step::kStartContainers);
  EXPECT_EQ(record.failure->count, 1);
  EXPECT_EQ(record.failure->reason, "EngineRefused");
  EXPECT_EQ(record.t1, At("20:49.500000"));
  EXPECT_TRUE(record.restores.empty());
  EXPECT_FALSE(record.global_query_timeout);
  EXPECT_EQ(record.loaded_images.at("oms-1").image_id, "sha256:oms431");
  EXPECT_FALSE(record.KeepsTasks());
}

TEST(Format1, OfAnUpgradeAtItsEnd) {
  const OperationRecord record = Read("1-upgrade-end");
  EXPECT_EQ(record.outcome, OperationOutcome::kSucceeded);
  EXPECT_EQ(record.LastAttempt(PointKind::kScriptStarting, "oms-1", Step::kRunUpgradeScript), 1);
  EXPECT_EQ(record.points.front().step, std::nullopt);
  EXPECT_EQ(record.Progress(Step::kEnableHa).seen, At("20:55.500000"));
  EXPECT_EQ(record.global_query_timeout, 10'000'000u);
  EXPECT_EQ(record.cm_global_query_timeout, 20'000'000u);
  EXPECT_EQ(record.WayBack()->id, record.id);
}

TEST(Format1, OfAnUpgradeThatIsTurnedBackInItsMiddle) {
  const OperationRecord record = Read("1-rollback-middle");
  EXPECT_TRUE(record.open());
  EXPECT_EQ(record.direction, Direction::kRollback);
  EXPECT_EQ(record.turns.front().why, "VersionReverted");
  EXPECT_THAT(*record.differing, ElementsAre("oms_cm_hb"));
  EXPECT_EQ(record.Restore("oms_cm_hb"), (model::DatabaseRestore{1, 1, 0, "", At("20:53.500000")}));
  EXPECT_EQ(record.Restore("oms_rm"), model::DatabaseRestore());
  EXPECT_EQ(record.Progress(Step::kSaveUpgradedState),
            (model::StepProgress{1, 0, At("20:53.500000")}));
  EXPECT_TRUE(record.upgraded_state->complete);
  EXPECT_EQ(record.failure->step, Step::kStartOldContainers);
  EXPECT_FALSE(record.Seen(Step::kStartOldContainers));
}

TEST(Format1, OfAnUpgradeThatWasTurnedBack) {
  const OperationRecord record = Read("1-rollback-end");
  EXPECT_EQ(record.outcome, OperationOutcome::kRolledBack);
  EXPECT_TRUE(record.Seen(Step::kRestoreHa));
  EXPECT_FALSE(record.failure);
  EXPECT_EQ(record.t2, At("20:53.500000"));
}

TEST(Format1, OfAnUndoWhoseDatabasesDiffer) {
  const OperationRecord record = Read("1-undo-middle");
  EXPECT_TRUE(record.open());
  EXPECT_EQ(record.from.ToString(), "4.3.0");
  EXPECT_EQ(record.to.ToString(), "4.3.1");
  EXPECT_EQ(record.undoes->id, "cd358e89a2d4e0a34c262d4cf7e722bf");
  EXPECT_THAT(record.restores, SizeIs(3));
  EXPECT_EQ(
      record.Restore("oms_cm"),
      (model::DatabaseRestore{2, 2, 2, "table t has other contents (sum fb5a1225)", std::nullopt}));
  EXPECT_EQ(
      record.Restore("oms_rm"),
      (model::DatabaseRestore{2, 1, 1, "table t has other contents (sum 9484dd90)", std::nullopt}));
  EXPECT_EQ(record.backup_t1, At("20:47.500000"));
  EXPECT_TRUE(record.Seen(Step::kAwaitHealth)) << "the upgraded databases were in use";
}

TEST(Format1, OfAnUndoWhoseDifferencesWereAccepted) {
  const OperationRecord record = Read("1-undo-end");
  EXPECT_EQ(record.outcome, OperationOutcome::kRolledBack);
  EXPECT_EQ(record.Restore("oms_cm").restored, At("21:01.500000"));
  EXPECT_EQ(record.Restore("oms_cm").differed, 2);
  EXPECT_THAT(record.Restore("oms_cm").difference, HasSubstr("fb5a1225"));
}

TEST(Format1, OfOneThatWasGivenUpAndSaidToBeWhole) {
  const OperationRecord record = Read("1-given-up");
  EXPECT_EQ(record.outcome, OperationOutcome::kAbandoned);
  EXPECT_EQ(record.said_whole, At("26:01.500000"));
  EXPECT_FALSE(record.Seen(Step::kRunUpgradeScript));
}

TEST(Format1, OfTheFirstControllers) {
  const OperationRecord record = Read("1-first-upgrade-middle");
  EXPECT_EQ(record.nodes.front().role, crd::NodeRole::kAll);
  EXPECT_FALSE(record.nodes.front().keeps_running);
  EXPECT_TRUE(record.loaded_images.empty());
  EXPECT_TRUE(record.backup->other_runs.empty());
  EXPECT_EQ(record.Progress(Step::kRewriteConfig), (model::StepProgress{0, 0, At("20:49.500000")}));
  const OperationRecord undo = Read("1-first-undo-middle");
  EXPECT_EQ(undo.Progress(Step::kSaveUpgradedState).begun, 3);
  EXPECT_EQ(undo.Progress(Step::kSaveUpgradedState).forgiven, 2);
  EXPECT_THAT(undo.restores, SizeIs(3));
}

TEST(Format2, OfAnUpgradeInItsMiddle) {
  const OperationRecord record = Read("2-upgrade-middle");
  EXPECT_TRUE(record.KeepsTasks());
  EXPECT_EQ(record.nodes.back().role, crd::NodeRole::kComponent);
  EXPECT_EQ(record.LastAttempt(PointKind::kComponentUpgrading, "oms-2"), 1);
  EXPECT_EQ(record.failure->step, Step::kUpgradeComponents);
  EXPECT_TRUE(record.components.empty());
  EXPECT_FALSE(record.t1);
}

TEST(Format2, OfAnUpgradeAtItsEnd) {
  const OperationRecord record = Read("2-upgrade-end");
  EXPECT_EQ(record.outcome, OperationOutcome::kSucceeded);
  EXPECT_TRUE(record.ComponentUpgraded(record.nodes.back()));
  EXPECT_EQ(record.Progress(Step::kUpgradeComponents).seen, At("21:00"));
}

TEST(Format2, OfAnUpgradeThatIsTurnedBackInItsMiddle) {
  const OperationRecord record = Read("2-rollback-middle");
  EXPECT_EQ(record.LastAttempt(PointKind::kScriptStarting, "oms-2", Step::kUpgradeComponents), 1);
  EXPECT_EQ(record.Restore("oms_cm_hb"), (model::DatabaseRestore{2, 2, 0, "", At("20:53.500000")}));
  EXPECT_EQ(record.epoch, 2u);
  EXPECT_FALSE(record.Seen(Step::kRestoreDatabases));
}

TEST(Format2, OfAnUpgradeThatWasTurnedBack) {
  const OperationRecord record = Read("2-rollback-end");
  EXPECT_EQ(record.outcome, OperationOutcome::kRolledBack);
  EXPECT_TRUE(record.Passed(PointKind::kOldStarting, "oms-2"));
}

std::string Refusal(const json& value) {
  const auto read = OperationRecord::FromJson(value.dump());
  if (read.ok()) return {};
  EXPECT_EQ(read.error().reason, "RecordFormat");
  return read.error().message;
}

TEST(Formats1And2, WithANameThatNoControllerHasWrittenAreRefusedWithWhatToDo) {
  const json text = json::parse(TextOf("1-rollback-middle"));
  for (const char* key : {"WarmCaches", "WarmCaches/forgiven", "RestoreDatabases/table:t",
                          "BackUpDatabases/forgiven"}) {
    json newer = text;
    newer["attempts"][key] = 1;
    EXPECT_THAT(Refusal(newer), AllOf(HasSubstr(key), HasSubstr("run the controller that wrote")))
        << key;
  }
  json newer = text;
  newer["evidence"]["WarmCaches"] = text["evidence"]["LoadImage"];
  EXPECT_THAT(Refusal(newer), HasSubstr("unknown step 'WarmCaches'"));
  newer = text;
  newer["points"][0]["step"] = "WarmCaches";
  EXPECT_THAT(Refusal(newer), HasSubstr("unknown step 'WarmCaches'"));
}

TEST(Formats1And2, ThatAreBrokenAreRefused) {
  const json text = json::parse(TextOf("2-rollback-middle"));
  for (const auto& [key, value] : text.items()) {
    json broken = text;
    broken[key] = "text";
    const bool a_text = value.is_string() && key != "direction" && key != "outcome" &&
                        !key.ends_with("1") && !key.ends_with("3") && key != "started" &&
                        key != "from" && key != "to" && key != "progressSince";
    EXPECT_EQ(Refusal(broken) == "", a_text) << key;
  }
  json broken = text;
  broken["attempts"]["BackUpDatabases"] = 1.5;
  EXPECT_NE(Refusal(broken), "");
}

// What a controller of format 1 or 2 did not know it left out, and so is it left out of theirs.
TEST(Formats1And2, WithAFieldMoreAreRead) {
  json text = json::parse(TextOf("1-upgrade-end"));
  text["mood"] = "good";
  EXPECT_EQ(Refusal(text), "");
}

}  // namespace
}  // namespace oms::record

#include "reconcilers/model/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::model {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Every field set to something that is not its default.
OperationRecord Full() {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  OperationRecord record = upgrade.record;
  record.direction = Direction::kRollback;
  record.turns = {{Direction::kRollback, "VersionReverted", fixtures::At(5)}};
  record.outcome = OperationOutcome::kRolledBack;
  record.outcome_reason = "RolledBackByRequest";
  record.ended = fixtures::At(900);
  record.nodes[0] = {"oms-1",
                     crd::NodeRole::kAll,
                     false,
                     "engine",
                     "10.0.0.1",
                     "old-id",
                     "oms_430",
                     "started",
                     "oms:4.3.0",
                     "sha256:old",
                     "on-failure",
                     "{\"a\":\"\\u00fc\"}",
                     3,
                     "oms_431",
                     "sha256:new",
                     "/data/conf/config.yaml"};
  record.ha_raw = fixtures::kHaOn;
  record.global_query_timeout = 10'000'000;
  record.cm_global_query_timeout = 20'000'000;
  record.t1 = fixtures::At(1) + std::chrono::microseconds(123456);
  record.t2 = fixtures::At(2);
  record.t3 = fixtures::At(3);
  record.backup->databases = {{"oms_rm", 5, "sum"}};
  return record;
}

TEST(OperationRecord, ComesBackFromItsTextAsItWas) {
  const OperationRecord record = Full();
  const auto back = OperationRecord::FromJson(record.ToJson());
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->ToJson(), record.ToJson());
  EXPECT_EQ(back->nodes[0].old_inspect, record.nodes[0].old_inspect);
  EXPECT_EQ(back->nodes[0].old_restart_retries, 3);
  EXPECT_EQ(back->t1, record.t1) << "T1 is exact to the microsecond";
  EXPECT_EQ(back->points.size(), record.points.size());
  EXPECT_TRUE(back->points[0].SameAs(record.points[0]));
  EXPECT_EQ(back->turns[0].why, "VersionReverted");
  EXPECT_EQ(back->global_query_timeout, 10'000'000u);
  EXPECT_EQ(back->cm_global_query_timeout, 20'000'000u);
  EXPECT_EQ(back->config_rewrites.at("oms-1").mode, 0644u);
}

// Who does not know of it would stop the component.
TEST(OperationRecord, OneThatKeepsAComponentRunningIsOfAFormatThatOlderControllersRefuse) {
  OperationRecord record = Full();
  ASSERT_EQ(json::parse(record.ToJson()).at("format"), 1);
  FrozenNode component = record.nodes.front();
  component.name = "component";
  component.keeps_running = true;
  record.nodes.push_back(component);
  record.components["component"] = {component.old_id, record.to, fixtures::At(9)};
  record.points.push_back({PointKind::kComponentUpgrading, "component", "", 1, fixtures::At(8)});
  EXPECT_EQ(json::parse(record.ToJson()).at("format"), 2);
  auto back = OperationRecord::FromJson(record.ToJson());
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_TRUE(back->KeepsTasks());
  EXPECT_TRUE(back->ComponentUpgraded(back->nodes.back()));
  EXPECT_EQ(back->LeadNode().name, record.nodes.front().name);
  EXPECT_EQ(back->components.at("component").at, fixtures::At(9));
  back->components["component"].container_id = "made anew";
  EXPECT_FALSE(back->ComponentUpgraded(back->nodes.back()));
}

TEST(OperationRecord, AnEmptyOneComesBackToo) {
  OperationRecord record;
  record.id = "x";
  const auto back = OperationRecord::FromJson(record.ToJson());
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_FALSE(back->ha_raw.has_value());
  EXPECT_FALSE(back->backup.has_value());
  EXPECT_TRUE(back->open());
}

TEST(OperationRecord, ANewerFormatOrAnUnknownWordIsRefusedAndNotGuessedAt) {
  json text = json::parse(Full().ToJson());
  const auto refused = [](const json& value) {
    const auto read = OperationRecord::FromJson(value.dump());
    EXPECT_FALSE(read.ok());
    return !read.ok() && read.error().reason == "RecordFormat";
  };
  for (const auto& [path, value] :
       std::initializer_list<std::pair<const char*, json>>{{"/format", 3},
                                                           {"/outcome", "Paused"},
                                                           {"/direction", "Sideways"},
                                                           {"/nodes/0/role", "Spare"},
                                                           {"/points/0/point", "NewPoint"},
                                                           {"/started", "yesterday"},
                                                           {"/epoch", "one"}}) {
    json broken = text;
    broken[json::json_pointer(path)] = value;
    EXPECT_TRUE(refused(broken)) << path;
  }
  for (const auto& [key, value] : text.items()) {
    if (key == "loadedImages") continue;  // Of a record from before it was written.
    json broken = text;
    broken.erase(key);
    EXPECT_TRUE(refused(broken)) << "without " << key;
  }
  EXPECT_EQ(OperationRecord::FromJson("{\"format\":").error().reason, "RecordFormat");
  EXPECT_EQ(OperationRecord::FromJson("[]").error().reason, "RecordFormat");
}

TEST(OperationRecord, ThatWasTakenOverKnowsFromWhom) {
  OperationRecord record = Full();
  EXPECT_FALSE(json::parse(record.ToJson()).contains("formerOwners"));
  EXPECT_TRUE(OperationRecord::FromJson(record.ToJson())->former_owners.empty());
  record.former_owners = {{"cluster-1", "ns/first"}, {"cluster-2", "ns/second"}};
  const auto back = OperationRecord::FromJson(record.ToJson());
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->former_owners, record.former_owners);
}

// A number that does not fit is a broken file: cast, it would be undefined, or another number.
TEST(OperationRecord, ANumberThatDoesNotFitIsRefusedAndNotCut) {
  OperationRecord full = Full();
  full.failure = StepFailure{Step::kStopContainers, 1, "EngineRefused", "busy", true};
  full.config_backups["oms-1"] = {"config/oms-1.yaml", "sum", 1, 2, 0640};
  ASSERT_TRUE(OperationRecord::FromJson(full.ToJson()).ok());
  const json text = json::parse(full.ToJson());
  for (const char* path :
       {"/format", "/epoch", "/backup/bytes", "/backup/heartbeatMax", "/backup/databases/0/bytes",
        "/nodes/0/oldRestartRetries", "/points/0/attempt", "/attempts/Stop", "/failure/count",
        "/handled/generation", "/globalQueryTimeout", "/configBackups/oms-1/mode"}) {
    for (const json& value : {json(2e21), json(-2e21), json(1.5), json(true), json("7"),
                              json(json::parse("18446744073709551616"))}) {
      json broken = text;
      broken[json::json_pointer(path)] = value;
      const auto read = OperationRecord::FromJson(broken.dump());
      ASSERT_FALSE(read.ok()) << path << " = " << value;
      EXPECT_EQ(read.error().reason, "RecordFormat") << path << " = " << value;
    }
  }
  for (const char* path : {"/epoch", "/backup/bytes", "/backup/heartbeatMax"}) {
    json broken = text;
    broken[json::json_pointer(path)] = -1;
    EXPECT_FALSE(OperationRecord::FromJson(broken.dump()).ok()) << path;
  }
  json broken = text;
  broken["points"][0]["attempt"] = int64_t{1} << 32;
  EXPECT_FALSE(OperationRecord::FromJson(broken.dump()).ok());
}

TEST(OperationRecord, TimesOfYearOneAndOfYear9999AreReadAndWritten) {
  json text = json::parse(Full().ToJson());
  for (const char* far :
       {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.5Z", "9999-12-31T23:59:59.999999Z"}) {
    for (const char* path : {"/started", "/points/0/at", "/t1", "/backup/completed"}) {
      text[json::json_pointer(path)] = far;
    }
    const auto read = OperationRecord::FromJson(text.dump());
    ASSERT_TRUE(read.ok()) << read.error().message;
    const auto again = OperationRecord::FromJson(read->ToJson());
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(again->started, read->started);
    EXPECT_EQ(again->t1, read->t1);
  }
}

TEST(OperationRecord, OfBeforeImagesWereLookedIntoSaysThatNoneWas) {
  json text = json::parse(Full().ToJson());
  ASSERT_TRUE(text.contains("loadedImages"));
  const auto known = OperationRecord::FromJson(text.dump());
  ASSERT_TRUE(known.ok()) << known.error().message;
  EXPECT_EQ(known->loaded_images.at("oms-1").image_id, "sha256:new");
  text.erase("loadedImages");
  const auto read = OperationRecord::FromJson(text.dump());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_TRUE(read->loaded_images.empty());
}

TEST(FoldRecords, TheHighestHoldsAndPointsAreTheUnionOverAll) {
  OperationRecord first = fixtures::Upgrade().HaOff().record;
  OperationRecord second = fixtures::Upgrade().record;  // A writer that had not seen the point.
  second.Passed(PointKind::kHaDisabling);
  second.points.push_back({PointKind::kStopping, "", "", 0, fixtures::At(70)});
  second.t1 = fixtures::At(71);
  const auto folded = FoldRecords({first.ToJson(), second.ToJson()});
  ASSERT_TRUE(folded.ok());
  EXPECT_TRUE(folded->Passed(PointKind::kHaDisabling));
  EXPECT_TRUE(folded->Passed(PointKind::kStopping));
  EXPECT_EQ(folded->points.size(), 2u);
  EXPECT_EQ(folded->t1, fixtures::At(71));
}

TEST(FoldRecords, APointIsCountedOnceAndAnAttemptIsAPointOfItsOwn) {
  OperationRecord record = fixtures::Upgrade().ScriptBegun().record;
  OperationRecord more = record;
  more.points.push_back(
      {PointKind::kScriptStarting, "oms-1", "RunUpgradeScript", 2, fixtures::At(80)});
  const auto folded = FoldRecords({record.ToJson(), more.ToJson()});
  ASSERT_TRUE(folded.ok());
  EXPECT_EQ(folded->points.size(), more.points.size());
  EXPECT_EQ(folded->LastAttempt(PointKind::kScriptStarting, "oms-1", "RunUpgradeScript"), 2);
  EXPECT_EQ(folded->LastAttempt(PointKind::kScriptStarting, "oms-2", "RunUpgradeScript"), 0);
}

TEST(FoldRecords, OneBrokenTextRefusesTheWholeFolder) {
  EXPECT_FALSE(FoldRecords({Full().ToJson(), "torn"}).ok());
  EXPECT_TRUE(FoldRecords({}).Is(base::Code::kNotFound));
}

TEST(OperationRecord, KeepsRolesAndTheRunsOfAllNodes) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Dumped());
  upgrade.record.nodes[0].role = crd::NodeRole::kManagement;
  const auto read = OperationRecord::FromJson(upgrade.record.ToJson());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->nodes[0].role, crd::NodeRole::kManagement);
  EXPECT_EQ(read->backup->other_runs, upgrade.record.backup->other_runs);
}

}  // namespace
}  // namespace oms::model

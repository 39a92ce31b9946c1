#include "reconcilers/model/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::model {
namespace {

using nlohmann::json;
using testing::AllOf;
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
  record.backup->other_runs = {{"oms-2", "id at a time"}};
  record.former_owners = {{"cluster-1", "ns/first"}};
  record.undoes = OperationRef{"undone", "/backups/undone"};
  record.previous = OperationRef{"before", "/backups/before"};
  record.steps[Step::kSaveUpgradedState] = {4, 2, fixtures::At(6)};
  record.failure = StepFailure{Step::kStopContainers, 1, "EngineRefused", "busy", true};
  record.said_whole = fixtures::At(7);
  record.differing = {"oms_cm", "oms_rm"};
  record.upgraded_state = SavedState{"upgraded/4", false, "no"};
  record.restores["oms_rm"] = {3, 2, 1, "a row more", std::nullopt};
  record.restores["oms_cm"] = {1, 1, 0, "", fixtures::At(8)};
  record.dropped_events = {"oms_rm.purge"};
  record.config_backups["oms-1"] = {"config/oms-1.yaml", "sum", 1, 2, 0640};
  record.config_meant["oms-1"] = {"sum"};
  record.dead_containers["oms-1"] = "oms_431";
  record.components["component"] = {"id", fixtures::VersionOf("4.3.1"), fixtures::At(9)};
  record.secrets = {"engine-tls"};
  record.recent = {fixtures::At(0)};
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
  EXPECT_EQ(back->steps, record.steps);
  EXPECT_EQ(back->restores, record.restores);
  EXPECT_EQ(back->said_whole, record.said_whole);
}

TEST(OperationRecord, KnowsWhichOfItsComponentsWereUpgraded) {
  OperationRecord record = Full();
  FrozenNode component = record.nodes.front();
  component.name = "component";
  component.keeps_running = true;
  record.nodes.push_back(component);
  record.components["component"] = {component.old_id, record.to, fixtures::At(9)};
  record.points.push_back(
      {PointKind::kComponentUpgrading, "component", std::nullopt, 1, fixtures::At(8)});
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

// The message of the refusal; "" if it was read.
std::string Refusal(const json& value) {
  const auto read = OperationRecord::FromJson(value.dump());
  if (read.ok()) return {};
  EXPECT_TRUE(read.Is(base::Code::kInvalid));
  EXPECT_EQ(read.error().reason, "RecordFormat");
  return read.error().message;
}

TEST(OperationRecord, OfAFormatThatIsNotKnownIsRefusedWithWhatToDo) {
  json text = json::parse(Full().ToJson());
  ASSERT_EQ(text.at("format"), 3);
  for (const int format : {4, 5, 1000, 0, -1}) {
    text["format"] = format;
    EXPECT_THAT(Refusal(text), AllOf(HasSubstr("format " + std::to_string(format)),
                                     HasSubstr("run the controller that wrote it")));
  }
  text["format"] = 3;
  EXPECT_EQ(Refusal(text), "");
}

TEST(OperationRecord, WithANameThatIsNotKnownIsRefusedWithWhatToDo) {
  const json text = json::parse(Full().ToJson());
  for (const char* path : {"/outcome", "/direction", "/nodes/0/role", "/points/0/point",
                           "/points/3/step", "/failure/step", "/turns/0/direction"}) {
    json newer = text;
    newer[json::json_pointer(path)] = "Newer";
    EXPECT_THAT(Refusal(newer),
                AllOf(HasSubstr("'Newer'"), HasSubstr("run the controller that wrote it")))
        << path;
  }
  for (const char* path : {"/from", "/to", "/components/component/version"}) {
    for (const char* version : {"", "4", "4.3.x", "latest"}) {
      json other = text;
      other[json::json_pointer(path)] = version;
      EXPECT_THAT(Refusal(other), AllOf(HasSubstr("unknown version '" + std::string(version)),
                                        HasSubstr("run the controller that wrote it")))
          << path;
    }
  }
  json newer = text;
  newer["steps"]["WarmCaches"] = newer["steps"]["AwaitHealth"];
  EXPECT_THAT(Refusal(newer), AllOf(HasSubstr("unknown step 'WarmCaches'"),
                                    HasSubstr("run the controller that wrote it")));
}

// Every object of the text, by its path.
void Objects(const json& value, const json::json_pointer& at,
             std::vector<json::json_pointer>& all) {
  if (value.is_object()) all.push_back(at);
  if (!value.is_structured()) return;
  for (const auto& [key, each] : value.items())
    Objects(each, value.is_array() ? at / std::stoul(key) : at / key, all);
}

TEST(OperationRecord, WithAKeyThatIsNotKnownIsRefusedAtAnyDepthWithWhatToDo) {
  const json text = json::parse(Full().ToJson());
  std::vector<json::json_pointer> objects;
  Objects(text, json::json_pointer(), objects);
  ASSERT_GT(objects.size(), 30u);
  for (const auto& at : objects) {
    json newer = text;
    newer[at]["cacheWarmed"] = true;
    const std::string message = Refusal(newer);
    const bool of_names = at.to_string() == "/configMeant" || at.to_string() == "/deadContainers" ||
                          at.to_string() == "/backup/otherRuns";
    EXPECT_NE(message, "") << at.to_string();
    if (of_names || message.find("instead of an object") != std::string::npos) continue;
    EXPECT_THAT(message,
                AllOf(HasSubstr("'cacheWarmed'"), HasSubstr("run the controller that wrote it")))
        << at.to_string();
  }
  json newer = text;
  newer[std::string(5000, 'x')] = true;
  EXPECT_LT(Refusal(newer).size(), 300u) << "it goes into a condition";
}

TEST(OperationRecord, ThatLacksAFieldOrHoldsABrokenOneIsRefused) {
  const json text = json::parse(Full().ToJson());
  for (const auto& [path, value] :
       std::initializer_list<std::pair<const char*, json>>{{"/started", "yesterday"},
                                                           {"/epoch", "one"},
                                                           {"/points", json::object()},
                                                           {"/steps", json::array()},
                                                           {"/restore/databases", 7},
                                                           {"/owner", nullptr}}) {
    json broken = text;
    broken[json::json_pointer(path)] = value;
    EXPECT_NE(Refusal(broken), "") << path;
  }
  std::vector<json::json_pointer> objects;
  Objects(text, json::json_pointer(), objects);
  for (const auto& at : objects) {
    for (const auto& [key, value] : text[at].items()) {
      json broken = text;
      broken[at].erase(key);
      const std::string path = (at / key).to_string();
      const bool of_names = testing::Matches(testing::ContainsRegex(
          "^/(steps|restore/databases|configBackups|configRewrites|configMeant|imageBackups|"
          "loadedImages|deadContainers|components|backup/otherRuns)/[^/]+$"))(path);
      EXPECT_EQ(Refusal(broken) == "", of_names) << "without " << path;
    }
  }
  EXPECT_EQ(OperationRecord::FromJson("{\"format\":").error().reason, "RecordFormat");
  EXPECT_EQ(OperationRecord::FromJson("[]").error().reason, "RecordFormat");
}

TEST(OperationRecord, ThatWasTakenOverKnowsFromWhom) {
  OperationRecord record = Full();
  record.former_owners = {{"cluster-1", "ns/first"}, {"cluster-2", "ns/second"}};
  const auto back = OperationRecord::FromJson(record.ToJson());
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->former_owners, record.former_owners);
}

// A number that does not fit is a broken file: cast, it would be undefined, or another number.
TEST(OperationRecord, ANumberThatDoesNotFitIsRefusedAndNotCut) {
  const OperationRecord full = Full();
  ASSERT_TRUE(OperationRecord::FromJson(full.ToJson()).ok());
  const json text = json::parse(full.ToJson());
  for (const char* path :
       {"/format", "/epoch", "/backup/bytes", "/backup/heartbeatMax", "/backup/databases/0/bytes",
        "/nodes/0/oldRestartRetries", "/points/0/attempt", "/failure/count",
        "/steps/SaveUpgradedState/begun", "/steps/SaveUpgradedState/forgiven",
        "/restore/databases/oms_rm/begun", "/restore/databases/oms_rm/concluded",
        "/restore/databases/oms_rm/differed", "/handled/generation", "/globalQueryTimeout/rm",
        "/configBackups/oms-1/mode"}) {
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

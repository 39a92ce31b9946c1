#include "crd/oms_upgrade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "crd/conditions.h"

namespace oms::crd {
namespace {

using nlohmann::json;

json Least() {
  return json::parse(R"({
    "version": "4.3.1",
    "image": {"reference": "oms:4.3.1"},
    "nodes": [{"name": "oms-1", "engine": {"endpoint": "unix:///var/run/docker.sock"},
               "container": {"name": "oms_430"}}]})");
}

// ---------------------------------------------------------------- the types against the schema

YAML::Node Schema(const std::string& part) {
  const YAML::Node crd = YAML::LoadFile(OMS_CRD_FILE);
  return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part];
}

// A value that the schema allows, with every field set.
json Sample(const YAML::Node& schema, const std::string& path) {
  const auto type = schema["type"].as<std::string>();
  if (type == "object") {
    json object = json::object();
    for (const auto& property : schema["properties"]) {
      const auto name = property.first.as<std::string>();
      object[name] = Sample(property.second, path + "." + name);
    }
    return object;
  }
  if (type == "array") return json::array({Sample(schema["items"], path + "[]")});
  if (type == "integer") return 7;
  if (type == "boolean") return true;
  if (schema["enum"]) {
    // The last one, so that it is seldom the default.
    return schema["enum"][schema["enum"].size() - 1].as<std::string>();
  }
  if (schema["format"]) return "2026-01-02T03:04:05Z";
  const auto validations = schema["x-kubernetes-validations"];
  const bool duration = (validations && validations[0]["message"].as<std::string>().find(
                                            "duration") != std::string::npos) ||
                        path.ends_with("owntime");
  return duration ? "1h2m3s" : "text of " + path;
}

void Leaves(const YAML::Node& schema, const std::string& path, std::set<std::string>& leaves) {
  const auto type = schema["type"].as<std::string>();
  if (type == "object") {
    for (const auto& property : schema["properties"]) {
      const auto name = property.first.as<std::string>();
      Leaves(property.second, path.empty() ? name : path + "." + name, leaves);
    }
  } else if (type == "array") {
    Leaves(schema["items"], path + "[]", leaves);
  } else {
    leaves.insert(path);
  }
}

std::set<std::string> Leaves(const std::string& part) {
  std::set<std::string> leaves;
  Leaves(Schema(part), "", leaves);
  return leaves;
}

// Every object, list and field of the schema, for rules that hold for all of them.
void Walk(const YAML::Node& schema, const std::string& path,
          const std::function<void(const std::string&, const YAML::Node&)>& visit) {
  visit(path, schema);
  for (const auto& property : schema["properties"]) {
    Walk(property.second, path + "." + property.first.as<std::string>(), visit);
  }
  if (schema["items"]) Walk(schema["items"], path + "[]", visit);
}

void ExpectDefaults(const YAML::Node& schema, const json& value, const std::string& path,
                    int& seen) {
  for (const auto& property : schema["properties"]) {
    const auto name = property.first.as<std::string>();
    const YAML::Node& inner = property.second;
    const std::string inner_path = path + "." + name;
    if (inner["default"] && inner["type"].as<std::string>() != "object") {
      ++seen;
      ASSERT_TRUE(value.contains(name)) << inner_path;
      const auto text = inner["default"].as<std::string>();
      const json& actual = value[name];
      if (const auto duration = base::ParseDuration(text); duration.ok()) {
        EXPECT_EQ(*base::ParseDuration(actual.get<std::string>()), *duration) << inner_path;
      } else {
        EXPECT_EQ(actual.is_string() ? actual.get<std::string>() : actual.dump(), text)
            << inner_path;
      }
    }
    if (inner["type"].as<std::string>() == "object" && value.contains(name)) {
      ExpectDefaults(inner, value[name], inner_path, seen);
    }
  }
}

TEST(Schema, HasTheSameFieldsAsTheTypes) {
  const auto spec = SpecFieldPaths();
  const auto status = StatusFieldPaths();
  EXPECT_EQ(Leaves("spec"), std::set<std::string>(spec.begin(), spec.end()));
  EXPECT_EQ(Leaves("status"), std::set<std::string>(status.begin(), status.end()));
}

TEST(Schema, EveryFieldSurvivesTheTypes) {
  const json spec = Sample(Schema("spec"), "spec");
  const auto parsed_spec = SpecFromJson(spec);
  ASSERT_TRUE(parsed_spec.ok()) << parsed_spec.error().message;
  EXPECT_EQ(SpecToJson(*parsed_spec), spec);

  const json status = Sample(Schema("status"), "status");
  const auto parsed_status = StatusFromJson(status);
  ASSERT_TRUE(parsed_status.ok()) << parsed_status.error().message;
  EXPECT_EQ(StatusToJson(*parsed_status), status);
}

TEST(Schema, HasTheSameDefaultsAsTheTypes) {
  const auto spec = SpecFromJson(Least());
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  int seen = 0;
  ExpectDefaults(Schema("spec"), SpecToJson(*spec), "spec", seen);
  EXPECT_GT(seen, 25);

  const YAML::Node node = Schema("spec")["properties"]["nodes"]["items"];
  ExpectDefaults(node, SpecToJson(*spec)["nodes"][0], "spec.nodes[]", seen);

  // What is there only when it is asked for.
  MaintenanceWindow window;
  EXPECT_EQ(window.time_zone,
            Schema("spec")["properties"]["maintenanceWindow"]["properties"]["timeZone"]["default"]
                .as<std::string>());
  SecretKeyRef ref;
  const YAML::Node connect = Schema("spec")["properties"]["metaDB"]["properties"]["connect"];
  EXPECT_EQ(
      ref.key,
      connect["properties"]["passwordSecretRef"]["properties"]["key"]["default"].as<std::string>());
  EXPECT_EQ(Status().observed_generation,
            Schema("status")["default"]["observedGeneration"].as<int64_t>());
}

TEST(Schema, DescribesEveryFieldAndBoundsEveryListAndTextOfTheSpec) {
  for (const char* part : {"spec", "status"}) {
    Walk(Schema(part), part, [&](const std::string& path, const YAML::Node& schema) {
      if (!path.ends_with("[]")) {
        ASSERT_TRUE(schema["description"]) << path;
        EXPECT_GT(schema["description"].as<std::string>().size(), 8u) << path;
      }
      if (part != std::string("spec")) return;
      const auto type = schema["type"].as<std::string>();
      if (type == "array") {
        EXPECT_TRUE(schema["maxItems"]) << path;
      }
      if (type == "string" && !schema["enum"]) {
        EXPECT_TRUE(schema["maxLength"]) << path;
      }
      for (const auto& rule : schema["x-kubernetes-validations"]) {
        EXPECT_TRUE(rule["message"]) << path;
      }
    });
  }
}

TEST(Schema, HasRoomForAllConditions) {
  Conditions conditions;
  InitConditions(conditions, {});
  EXPECT_LE(conditions.size(),
            Schema("status")["properties"]["conditions"]["maxItems"].as<size_t>());
}

TEST(Schema, PrintsTheColumnsOfTheDesign) {
  const YAML::Node crd = YAML::LoadFile(OMS_CRD_FILE);
  std::vector<std::string> narrow, wide;
  for (const auto& column : crd["spec"]["versions"][0]["additionalPrinterColumns"]) {
    (column["priority"] ? wide : narrow).push_back(column["name"].as<std::string>());
  }
  EXPECT_THAT(narrow, testing::ElementsAre("Current", "Target", "Ready", "Phase", "Progress",
                                           "Reason", "Age"));
  EXPECT_THAT(wide, testing::ElementsAre("Direction", "Downtime", "ETA", "Message"));
}

// --------------------------------------------------------------------------------- reading

TEST(Spec, TheLeastOneReads) {
  const auto spec = SpecFromJson(Least());
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->version, "4.3.1");
  EXPECT_EQ(spec->nodes.at(0).container.name, "oms_430");
  EXPECT_FALSE(spec->meta_db);
  EXPECT_EQ(spec->strategy.rollback_window, std::chrono::hours(72));
}

TEST(Spec, AnErrorNamesThePathOfTheField) {
  struct Case {
    const char* pointer;
    json value;
    const char* message;
  };
  const Case cases[] = {
      {"/version", 43, "spec.version: must be a string"},
      {"/version", "", "spec.version: must not be empty"},
      {"/nodes", json::array(), "spec.nodes: must not be empty"},
      {"/nodes", "x", "spec.nodes: must be a list"},
      {"/nodes/0/name", nullptr, "spec.nodes[0].name: is required"},
      {"/nodes/0/engine/endpoint", 1, "spec.nodes[0].engine.endpoint: must be a string"},
      {"/nodes/0/role", "Boss", "spec.nodes[0].role: must be one of All, Management, Component"},
      {"/image", "oms:4.3.1", "spec.image: must be an object"},
      {"/suspend", "yes", "spec.suspend: must be true or false"},
      {"/historyLimit", 1.5, "spec.historyLimit: must be a whole number"},
      {"/historyLimit", 10000000000, "spec.historyLimit: is out of range"},
      {"/historyLimit", 18446744073709551615u, "spec.historyLimit: must be a whole number"},
      {"/strategy",
       {{"timeouts", {{"script", "soon"}}}},
       "spec.strategy.timeouts.script: 'soon' is not a duration"},
      {"/acknowledge", json::array({1}), "spec.acknowledge[0]: must be a string"},
      {"/metaDB", {{"rm", json::object()}}, "spec.metaDB.rm.connect: is required"},
  };
  for (const auto& c : cases) {
    json spec = Least();
    spec[json::json_pointer(c.pointer)] = c.value;
    const auto parsed = SpecFromJson(spec);
    ASSERT_FALSE(parsed.ok()) << c.pointer;
    EXPECT_EQ(parsed.error().code, base::Code::kInvalid);
    EXPECT_EQ(parsed.error().reason, "InvalidSpec");
    EXPECT_THAT(parsed.error().message, testing::StartsWith(c.message));
  }
}

TEST(Spec, UnknownFieldsArePassedOver) {
  json spec = Least();
  spec["later"] = {{"x", 1}};
  EXPECT_TRUE(SpecFromJson(spec).ok());
}

TEST(OmsUpgrade, ReadsAWholeObject) {
  json object = {{"metadata", {{"name", "prod"}, {"namespace", "oms"}, {"generation", 3}}},
                 {"spec", Least()},
                 {"status", {{"observedGeneration", 2}, {"phase", "ImageLoaded"}}}};
  const auto parsed = FromText(object.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->meta.name, "prod");
  EXPECT_EQ(parsed->meta.generation, 3);
  EXPECT_EQ(parsed->status.observed_generation, 2);
}

TEST(OmsUpgrade, AStatusThatCannotBeReadCountsAsErased) {
  json object = {{"metadata", {{"name", "prod"}}},
                 {"spec", Least()},
                 {"status", {{"observedGeneration", "many"}, {"phase", "X"}}}};
  const auto parsed = FromJson(object);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->status, Status());
}

TEST(OmsUpgrade, WhatIsNoObjectIsRefused) {
  EXPECT_FALSE(FromText("{").ok());
  EXPECT_FALSE(FromText("[]").ok());
  EXPECT_FALSE(FromText(R"({"metadata": {"name": "x"}})").ok());
  EXPECT_FALSE(FromText(R"({"spec": {}})").ok());
}

// --------------------------------------------------------------------------------- writing

Status FullStatus() {
  const std::string long_text(5000, 'x');
  Status status;
  status.message = long_text;
  InitConditions(status.conditions, {1, {}});
  for (auto& condition : status.conditions) condition.message = long_text;
  status.operation = OperationStatus{.id = "newest", .points = {"Stopping"}};
  for (const auto& condition : status.conditions) {
    status.phases.push_back({.name = condition.type, .bytes_total = 1, .message = long_text});
  }
  for (int i = 0; i < 20; ++i) {
    status.history.push_back({.id = "operation-" + std::to_string(i),
                              .backups = std::vector<std::string>(4, std::string(80, 'b'))});
  }
  for (int i = 0; i < 100; ++i) {
    status.backups.push_back(
        {.name = "backup-" + std::to_string(i), .place = std::string(200, 'p')});
  }
  for (int i = 0; i < 32; ++i) {
    status.nodes.push_back(
        {.name = "node-" + std::to_string(i), .container_id = std::string(64, '0')});
  }
  return status;
}

TEST(Status, IsNeverAbove32KiB) {
  const json written = StatusToJson(FullStatus());
  EXPECT_LE(written.dump().size(), kMaxStatusBytes);
  EXPECT_EQ(written["operation"]["id"], "newest");
  EXPECT_EQ(written["conditions"].size(), FullStatus().conditions.size());
  EXPECT_EQ(written["history"][0]["id"], "operation-0") << "the newest stays longest";
  EXPECT_EQ(written["backups"][0]["name"], "backup-0");
  EXPECT_TRUE(StatusFromJson(written).ok());
}

TEST(Status, TextsThatAreNotUtf8DoNotThrow) {
  Status status;
  status.message = "log: \xff\xfe" + std::string(40000, '\x80');
  EXPECT_NO_THROW(EXPECT_LE(StatusToJson(status).dump().size(), kMaxStatusBytes));
}

TEST(Status, WhatIsWrittenReadsBackTheSame) {
  Status status;
  status.observed_generation = 4;
  status.direction = Direction::kRollback;
  status.downtime = std::chrono::seconds(200);
  status.progress = Progress{.summary = "6/14 41%", .percent = 41, .eta_seconds = 0};
  status.operation = OperationStatus{.id = "abc",
                                     .direction = Direction::kUpgrade,
                                     .t1 = *base::ParseTime("2026-01-02T03:04:05Z"),
                                     .point_of_no_return = PointOfNoReturn::kNewStarting,
                                     .failures = 2};
  status.phases = {{.name = "ImageLoaded", .state = PhaseState::kRunning, .bytes_done = 5}};
  status.history = {{.id = "old", .outcome = HistoryOutcome::kRolledBack}};
  InitConditions(status.conditions, {4, *base::ParseTime("2026-01-02T03:04:05Z")});
  const auto back = StatusFromJson(StatusToJson(status));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(*back, status);
}

TEST(Status, AnEmptyOneSaysOnlyWhatIsKnown) {
  EXPECT_EQ(StatusToJson(Status()).dump(), R"({"direction":"None","observedGeneration":-1})");
}

}  // namespace
}  // namespace oms::crd

#include "reconcilers/model/old_formats.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "controller/base/text.h"

namespace oms::model {
namespace {

using nlohmann::json;

constexpr std::string_view kOfDatabase = "RestoreDatabases/db:";
constexpr std::string_view kSavesForgiven = "SaveUpgradedState/forgiven";
constexpr std::string_view kSaidWhole = "SaidWhole";
// That a file was about to be written; `configMeant` says which one. And a task that is no try.
constexpr std::string_view kRewriteOf = "RewriteConfig/";
constexpr std::string_view kVerify = "RestoreDatabases/verify";
constexpr size_t kLongestName = 100;

json& StepOf(json& steps, const std::string& name) {
  json& step = steps[name];
  if (step.is_null()) step = {{"begun", 0}, {"forgiven", 0}, {"seen", nullptr}};
  return step;
}

json& DatabaseOf(json& databases, const std::string& name) {
  json& database = databases[name];
  if (database.is_null()) {
    database = {
        {"begun", 0}, {"concluded", 0}, {"differed", 0}, {"difference", ""}, {"restored", nullptr}};
  }
  return database;
}

bool TakeEnd(std::string& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.resize(text.size() - end.size());
  return true;
}

// One count of many kinds, told apart by how its name was put together.
void TakeAttempts(const std::string& key, const json& count, json& steps, json& databases) {
  if (key == kSavesForgiven) {
    StepOf(steps, "SaveUpgradedState")["forgiven"] = count;
  } else if (key.starts_with(kOfDatabase)) {
    std::string name = key.substr(kOfDatabase.size());
    const char* field = TakeEnd(name, "/concluded")  ? "concluded"
                        : TakeEnd(name, "/differed") ? "differed"
                                                     : "begun";
    DatabaseOf(databases, name)[field] = count;
  } else if (key.starts_with(kRewriteOf) || key == kVerify) {
    return;
  } else if (key.find('/') != std::string::npos) {
    throw std::invalid_argument(
        fmt::format("unknown key '{}'; {}", base::CutText(key, kLongestName), kRunTheWriter));
  } else {
    StepOf(steps, key)["begun"] = count;
  }
}

// What a field says of which a record of before it came says nothing.
void Default(json& object, const char* name, json value) {
  if (!object.contains(name)) object[name] = std::move(value);
}

void FillIn(json& record) {
  Default(record, "formerOwners", json::array());
  Default(record, "components", json::object());
  Default(record, "configMeant", json::object());
  Default(record, "deadContainers", json::object());
  Default(record, "loadedImages", json::object());
  for (auto& node : record.at("nodes")) {
    Default(node, "role", "All");
    Default(node, "kept", false);
  }
  if (json& backup = record.at("backup"); !backup.is_null())
    Default(backup, "otherRuns", json::object());
  Default(record.at("restore"), "droppedEvents", json::array());
  // A number where there was one server.
  if (json& timeouts = record.at("globalQueryTimeout"); !timeouts.is_object())
    timeouts = {{"rm", timeouts}, {"cm", record.value("cmGlobalQueryTimeout", json())}};
  for (auto& point : record.at("points")) {
    if (json& step = point.at("step"); step == "") step = nullptr;
  }
}

}  // namespace

void ToFormat3(json& record) {
  FillIn(record);
  json steps = json::object(), databases = json::object();
  for (const auto& [key, count] : record.at("attempts").items())
    TakeAttempts(key, count, steps, databases);
  record["saidWhole"] = nullptr;
  for (const auto& [key, time] : record.at("evidence").items()) {
    (key == kSaidWhole ? record["saidWhole"] : StepOf(steps, key)["seen"]) = time;
  }
  json& restore = record.at("restore");
  for (const auto& [name, time] : restore.at("restored").items())
    DatabaseOf(databases, name)["restored"] = time;
  for (const auto& [name, difference] : restore.at("differs").items())
    DatabaseOf(databases, name)["difference"] = difference;
  restore["databases"] = std::move(databases);
  record["steps"] = std::move(steps);
}

}  // namespace oms::model

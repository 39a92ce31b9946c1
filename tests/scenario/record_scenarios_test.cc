// The record of an operation that another version of the controller has begun: an older one's is
// gone on with, a newer one's is left alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/crash.h"
#include "tests/scenario/shown.h"
#include "tests/scenario/stride.h"

namespace oms {
namespace {

using fakes::Life;
using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// What the controllers of before wrote: tests/unit/reconcilers/record/formats.
json OfAnOlderController(json record) {
  const auto begun = [&](const std::string& name, const json& count) {
    if (count != 0) record["attempts"][name] = count;
  };
  record["attempts"] = record["evidence"] = json::object();
  for (const auto& [step, progress] : record["steps"].items()) {
    begun(step, progress["begun"]);
    begun(step + "/forgiven", progress["forgiven"]);
    if (!progress["seen"].is_null()) record["evidence"][step] = progress["seen"];
  }
  json& restore = record["restore"];
  restore["restored"] = restore["differs"] = json::object();
  for (const auto& [name, database] : restore["databases"].items()) {
    begun("RestoreDatabases/db:" + name, database["begun"]);
    begun("RestoreDatabases/db:" + name + "/concluded", database["concluded"]);
    begun("RestoreDatabases/db:" + name + "/differed", database["differed"]);
    if (!database["restored"].is_null()) restore["restored"][name] = database["restored"];
    if (database["difference"] != "") restore["differs"][name] = database["difference"];
  }
  for (auto& point : record["points"]) {
    if (point["step"].is_null()) point["step"] = "";
  }
  json& timeouts = record["globalQueryTimeout"];
  if (timeouts["cm"].is_null()) timeouts = json(timeouts["rm"]);
  record["format"] = 1;
  for (const auto& node : record["nodes"]) {
    if (node["kept"].get<bool>()) record["format"] = 2;
  }
  restore.erase("databases");
  record.erase("steps");
  record.erase("saidWhole");
  for (const char* name :
       {"formerOwners", "components", "configMeant", "deadContainers", "loadedImages"}) {
    if (record[name].empty()) record.erase(name);
  }
  return record;
}

using Records = std::map<std::string, std::map<int, std::string>>;

// All that lies on the volume is as an older controller has written it.
Records WrittenByAnOlderOne(World& world) {
  return world.Locked([&] {
    for (auto& [folder, texts] : world.records) {
      for (auto& [n, text] : texts) {
        json record = json::parse(text);
        if (record["format"] == 3) text = OfAnOlderController(std::move(record)).dump(1);
      }
    }
    return world.records;
  });
}

// What lay there lies there, and what came is of the new format.
void ExpectOnlyAppendedInTheNewFormat(World& world, const Records& before) {
  for (const auto& [folder, texts] : world.records) {
    for (const auto& [n, text] : texts) {
      const auto there = before.find(folder);
      if (there != before.end() && there->second.contains(n)) {
        EXPECT_EQ(text, there->second.at(n)) << folder << " " << n;
      } else {
        EXPECT_EQ(json::parse(text)["format"], 3) << folder << " " << n;
      }
    }
  }
}

TEST(OlderRecord, OfAnUpgradeIsGoneOnWithWhereverItsControllerDied) {
  bool died = true;
  for (int n = 1; died; n += 5 * fixtures::kEvery) {
    World world;
    SCOPED_TRACE(DiesUpgrading(world, n, Life::End::kAfter));
    died = Ready(world) != "True/Succeeded";
    const Records before = WrittenByAnOlderOne(world);
    TheNextUpgrades(world);
    EXPECT_EQ(world.script_runs, 1);
    ExpectOnlyAppendedInTheNewFormat(world, before);
  }
}

TEST(OlderRecord, OfAWayBackIsGoneOnWithWhereverItsControllerDied) {
  bool died = true;
  for (int n = 1; died; n += 5 * fixtures::kEvery) {
    World world;
    {
      Process first(world, "first");
      ASSERT_TRUE(RunUp(world, first)) << Why(world);
    }
    Wants(world, "4.3.0");
    {
      Process second(world, "second");
      second.life.DieAt(n, Life::End::kAfter);
      (void)RunBack(world, second);
    }
    SCOPED_TRACE("died at write " + std::to_string(n) + ": " + LastWrite(world));
    died = Ready(world) != "True/RolledBackByRequest";
    const Records before = WrittenByAnOlderOne(world);
    Process third(world, "third");
    EXPECT_TRUE(RunBack(world, third)) << Why(world) << " " << third.LastError();
    EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
    ExpectOnlyAppendedInTheNewFormat(world, before);
  }
}

TEST(OlderRecord, OfAComponentThatKeepsRunningIsGoneOnWith) {
  World world;
  world.SeparateAndKeepTasks();
  SCOPED_TRACE(DiesUpgrading(world, 40, Life::End::kAfter));
  const Records before = WrittenByAnOlderOne(world);
  EXPECT_EQ(json::parse(before.begin()->second.begin()->second)["format"], 2);
  TheNextUpgrades(world);
  EXPECT_EQ(world.component_runs, 1);
  ExpectOnlyAppendedInTheNewFormat(world, before);
}

TEST(OlderRecord, OfAClosedOperationIsReadAndNotWritten) {
  World world;
  {
    Process first(world, "first");
    ASSERT_TRUE(RunUp(world, first)) << Why(world);
  }
  const Records before = WrittenByAnOlderOne(world);
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Ready(world), "True/Succeeded") << Why(world);
  EXPECT_TRUE(world.records == before) << "no append, no new format";
}

// All but what is shown of it.
std::vector<std::string> WritesToTheWorld(World& world) {
  std::vector<std::string> writes = world.Locked([&] { return world.log; });
  std::erase_if(writes, [](const std::string& write) { return write.starts_with("kube patch"); });
  return writes;
}

// The record that the row names has one more n.
void NewerControllerAppends(World& world, const std::function<void(json&)>& change) {
  world.Locked([&] {
    auto& texts = world.records.at(world.row->folder);
    json record = json::parse(texts.rbegin()->second);
    change(record);
    texts[texts.rbegin()->first + 1] = record.dump(1);
  });
}

TEST(NewerRecord, HoldsTheResourceUpAndNothingIsTouched) {
  const std::map<std::string, std::function<void(json&)>> newer = {
      {"format 4", [](json& record) { record["format"] = 4; }},
      {"unknown step 'WarmCaches'",
       [](json& record) { record["steps"]["WarmCaches"] = record["steps"]["LoadImage"]; }},
      {"unknown key 'cacheWarmed'", [](json& record) { record["cacheWarmed"] = true; }},
      {"unknown key 'verified'",
       [](json& record) { record["steps"]["LoadImage"]["verified"] = true; }},
      {"unknown word 'CachesWarming'",
       [](json& record) {
         record["points"].push_back(record["points"][0]);
         record["points"].back()["point"] = "CachesWarming";
       }},
  };
  for (const auto& [what, change] : newer) {
    SCOPED_TRACE(what);
    World world;
    world.script_exit_code = 3;
    {
      Process first(world, "first");
      first.Settle();
      ASSERT_EQ(Stalled(world), "True/ScriptFailed");
    }
    NewerControllerAppends(world, change);
    const auto before = world.records;
    const auto writes = WritesToTheWorld(world);
    const std::string folder = world.row->folder;
    // Whatever is asked for meanwhile.
    Wants(world, "4.3.0");
    world.Annotate(crd::kResetAt, "again");
    Process second(world, "second");
    second.Settle(20);
    EXPECT_EQ(Stalled(world), "True/RecordFormat");
    EXPECT_THAT(
        world.Resource().status.message,
        AllOf(HasSubstr(folder), HasSubstr(what), HasSubstr("run the controller that wrote it")));
    EXPECT_TRUE(world.records == before);
    EXPECT_EQ(WritesToTheWorld(world), writes);
    // The one that wrote it goes on.
    world.Locked([&] { world.records.at(folder).erase(world.records.at(folder).rbegin()->first); });
    Process third(world, "third");
    EXPECT_TRUE(RunBack(world, third)) << Why(world);
  }
}

TEST(NewerRecord, OfAClosedOperationBeginsNoOtherOne) {
  World world;
  {
    Process first(world, "first");
    ASSERT_TRUE(RunUp(world, first)) << Why(world);
  }
  NewerControllerAppends(world, [](json& record) { record["format"] = 4; });
  const auto before = world.records;
  const auto writes = WritesToTheWorld(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  EXPECT_EQ(Stalled(world), "True/RecordFormat") << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("run the controller that wrote it"));
  EXPECT_TRUE(world.records == before);
  EXPECT_EQ(WritesToTheWorld(world), writes);
}

}  // namespace
}  // namespace oms

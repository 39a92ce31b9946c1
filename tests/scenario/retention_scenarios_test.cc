// Old backups over many operations: what goes, what stays, and that an idle pass writes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using namespace std::chrono_literals;
using fakes::ConditionOf;
using fakes::Life;
using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

bool Upgrade(World& world, Process& process) {
  Wants(world, "4.3.1");
  return RunUp(world, process);
}
bool GoBack(World& world, Process& process) {
  Wants(world, "4.3.0");
  return RunBack(world, process);
}

// Passes at which nothing is wanted; the clock moves on by an hour before each.
void Idle(World& world, Process& process, int passes = 3) {
  for (int i = 0; i < passes; ++i) {
    world.clock.Advance(1h);
    EXPECT_TRUE(process.Pass().ok());
    process.AwaitTasks();
  }
}

// The operations' folders that still hold dumps, saved states or images, or what is left of them.
std::set<std::string> WithPayload(const World& world) {
  std::set<std::string> folders;
  for (const auto& [folder, records] : world.records) {
    for (const auto& [file, content] : world.files) {
      if (file.starts_with(folder + "/") && !file.starts_with(folder + "/config/")) {
        folders.insert(folder);
      }
    }
  }
  return folders;
}

// Up, back, up, back, ...; the folder of each operation, in order. The weeks between them put each
// success out of its rollback window.
std::vector<std::string> UpAndBack(World& world, Process& process, int operations) {
  std::vector<std::string> folders;
  for (int i = 0; i < operations; ++i) {
    const bool done = i % 2 == 0 ? Upgrade(world, process) : GoBack(world, process);
    EXPECT_TRUE(done) << Ready(world) << world.Resource().status.message << process.LastError();
    folders.push_back(world.Record()->folder);
    world.clock.Advance(i % 2 == 1 ? 24h * 7 : 1h);
  }
  return folders;
}

TEST(Retention, OfManyOperationsTheLastOnesAndTheWayBackStay) {
  World world;
  Process process(world);
  const auto folders = UpAndBack(world, process, 7);
  ASSERT_EQ(std::set<std::string>(folders.begin(), folders.end()).size(), 7u);
  Idle(world, process);
  EXPECT_EQ(WithPayload(world), (std::set<std::string>{folders[5], folders[6]}))
      << testing::PrintToString(folders) << testing::PrintToString(world.events);
  EXPECT_EQ(world.records.size(), 7u) << "the records tell the history";
  for (const auto& folder : folders) {
    const bool upgrade = folder.find("4.3.0-to-4.3.1") != std::string::npos;
    EXPECT_EQ(world.files.contains(folder + "/config/oms-1/config.yaml"), upgrade) << folder;
  }
  EXPECT_THAT(world.events, Contains(HasSubstr("Normal BackupsPruned: removed")));
  EXPECT_THAT(world.events, Contains(HasSubstr(folders[0])));
  EXPECT_THAT(world.events, Not(Contains(HasSubstr("BackupsNotPruned"))));
  // What stays is good for going back.
  ASSERT_TRUE(GoBack(world, process)) << world.Resource().status.message;
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
}

TEST(Retention, AfterAnUndoTheBackupItRestoredFromStays) {
  World world;
  Process process(world);
  world.EditSpec([](json& spec) { spec["backup"]["retain"] = 1; });
  const auto folders = UpAndBack(world, process, 4);
  Idle(world, process);
  EXPECT_EQ(WithPayload(world), (std::set<std::string>{folders[2], folders[3]}));
}

TEST(Retention, ASuccessGoesOnceItsRollbackWindowIsOver) {
  World world;
  Process process(world);
  world.EditSpec([](json& spec) { spec["backup"]["retain"] = 1; });
  ASSERT_TRUE(Upgrade(world, process));
  const std::string first = world.Record()->folder;
  ASSERT_TRUE(GoBack(world, process));
  world.clock.Advance(2h);
  ASSERT_TRUE(Upgrade(world, process));
  Idle(world, process, 2);
  EXPECT_THAT(WithPayload(world), Contains(first)) << "it succeeded less than three days ago";
  world.clock.Advance(72h);
  Idle(world, process, 1);
  EXPECT_THAT(WithPayload(world), Not(Contains(first)));
  EXPECT_THAT(WithPayload(world), Contains(world.Record()->folder));
}

TEST(Retention, AnIdlePassWritesNothingAlsoAfterARestart) {
  World world;
  {
    Process first(world, "first");
    UpAndBack(world, first, 5);
    Idle(world, first);
  }
  const int writes = world.writes;
  const auto events = world.events.size();
  Process second(world, "second");
  Idle(world, second);
  EXPECT_EQ(world.writes, writes) << testing::PrintToString(world.log);
  EXPECT_EQ(world.events.size(), events);
}

TEST(Retention, HistoryNamesNoBackupThatWasRemoved) {
  World world;
  Process process(world);
  UpAndBack(world, process, 5);
  Idle(world, process);
  const auto held = WithPayload(world);
  const auto history = world.Resource().status.history;
  ASSERT_EQ(history.size(), 5u);
  for (const auto& entry : history) {
    for (const auto& place : entry.backups) {
      EXPECT_TRUE(std::any_of(held.begin(), held.end(), [&](const std::string& folder) {
        return place.starts_with(folder + "/");
      })) << place;
    }
  }
  EXPECT_FALSE(history.front().backups.empty());
  EXPECT_TRUE(history.back().backups.empty());
}

TEST(Retention, ARemovalThatWasCutOffIsCarriedOnByTheNextProcess) {
  World world;
  {
    Process first(world, "first");
    first.life.DieAfter("HidePayload dump");
    world.EditSpec([](json& spec) { spec["backup"]["retain"] = 1; });
    for (int i = 0; i < 6 && !world.IsDead(first.life); ++i) {
      (void)(i % 2 == 0 ? Upgrade(world, first) : GoBack(world, first));
      world.clock.Advance(i % 2 == 1 ? 24h * 7 : 1h);
    }
    ASSERT_TRUE(world.IsDead(first.life));
  }
  const auto hidden = [&] {
    return std::any_of(world.files.begin(), world.files.end(), [](const auto& file) {
      return file.first.find("/.removing-") != std::string::npos;
    });
  };
  ASSERT_TRUE(hidden());
  Process second(world, "second");
  Idle(world, second);
  EXPECT_FALSE(hidden());
}

TEST(Retention, WhileSuspendedOrPlanningNothingIsRemoved) {
  for (const char* held : {"suspend", "mode"}) {
    World world;
    Process process(world);
    world.EditSpec([](json& spec) { spec["backup"]["retain"] = 50; });
    UpAndBack(world, process, 4);
    world.EditSpec([&](json& spec) {
      spec["backup"]["retain"] = 1;
      spec[held] = std::string(held) == "mode" ? json("Plan") : json(true);
    });
    Idle(world, process);
    EXPECT_EQ(WithPayload(world).size(), 4u) << held;
    world.EditSpec([&](json& spec) { spec.erase(held); });
    Idle(world, process);
    EXPECT_EQ(WithPayload(world).size(), 2u) << "an edit of retain takes hold at once";
  }
}

TEST(Retention, ABrokenRecordIsNotGuessedAtAndHoldsNothingElseUp) {
  World world;
  Process process(world);
  auto folders = UpAndBack(world, process, 2);
  world.Locked([&] { world.records[folders[0]].rbegin()->second = "{\"format\": 99}"; });
  const std::string broken = folders[0];
  folders = UpAndBack(world, process, 5);
  Idle(world, process);
  EXPECT_EQ(WithPayload(world), (std::set<std::string>{broken, folders[3], folders[4]}));
}

}  // namespace
}  // namespace oms

// kill -9 after each outward write, and right before it: the next process goes on to the same end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "reconcilers/oms/ha_config.h"
#include "reconcilers/record/manifest.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/crash.h"
#include "tests/scenario/stride.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Life;
using fakes::Process;
using fakes::World;

// The one good end, whatever happened on the way.
void ExpectTheSameEnd(World& world) {
  EXPECT_EQ(ConditionOf(world.Resource(), "Ready"), "True/Succeeded");
  EXPECT_EQ(world.script_runs, 1) << "the script runs exactly once";
  EXPECT_FALSE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("oms_430")->info.restart_policy, "no");
  ASSERT_NE(world.Find("oms_431"), nullptr);
  EXPECT_TRUE(world.Find("oms_431")->info.running);
  EXPECT_EQ(world.Find("oms_431")->info.restart_policy, "always");
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");

  const auto ha = product::ReadHa(*world.ha);
  ASSERT_TRUE(ha.ok());
  EXPECT_TRUE(ha->enabled && ha->perceive);
  EXPECT_THAT(*world.ha, testing::HasSubstr(R"("ownKey": [1, 2])"));

  EXPECT_TRUE(world.sequence.base.exists);
  EXPECT_FALSE(world.sequence.bak.exists || world.sequence.bak2.exists);
  EXPECT_GE(world.sequence.base.max_id, 100'000u);

  const auto record = world.Record();
  ASSERT_TRUE(record.has_value());
  EXPECT_FALSE(record->open());
  EXPECT_EQ(world.row->operation_id, "");
  EXPECT_TRUE(record->ha_was_on) << "what was there before is not read from what we made of it";
  EXPECT_EQ(record->ha_raw, fakes::kHaText);
  EXPECT_TRUE(record->t1 && record->t2 && *record->t1 <= *record->t2);
  ASSERT_TRUE(record->backup.has_value());
  const std::string folder = record->folder + "/" + record->backup->folder;
  const auto manifest = record::Manifest::FromJson(world.files[folder + "/manifest.json"]);
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->databases.size(), 3u);
  EXPECT_THAT(world.files[folder + "/oms_rm/data.sql"], testing::HasSubstr("rm of 4.3.0"));
  EXPECT_EQ(world.files[record->folder + "/config/oms-1/config.yaml"], fakes::kOldConfig);

  for (const auto& [id, container] : world.containers) {
    EXPECT_THAT(container.info.name, testing::StartsWith("oms_")) << "no helper is left over";
  }
  EXPECT_EQ(world.containers.size(), 2u);
}

int WritesOfAWholeRun() {
  World world;
  Process process(world);
  EXPECT_TRUE(process.RunToReady());
  ExpectTheSameEnd(world);
  return world.WritesOf(process.life);
}

struct How {
  const char* name;
  Life::End end;
  bool erase_status;
};
constexpr int kShards = 8;  // Each its own test, so that they can run side by side.
constexpr int kStride = kShards * fixtures::kEvery;
class CrashPoints : public testing::TestWithParam<std::tuple<How, int>> {};

TEST_P(CrashPoints, LeadToTheSameEnd) {
  const auto& [how, shard] = GetParam();
  const int all = WritesOfAWholeRun();
  ASSERT_GT(all, 40);
  for (int n = 1 + shard; n <= all && !HasFailure(); n += kStride) {
    World world;
    SCOPED_TRACE(DiesUpgrading(world, n, how.end));
    if (how.erase_status) world.EraseStatus();
    TheNextUpgrades(world);
    ExpectTheSameEnd(world);
  }
}
INSTANTIATE_TEST_SUITE_P(
    EachWrite, CrashPoints,
    testing::Combine(testing::Values(How{"After", Life::End::kAfter, false},
                                     How{"Before", Life::End::kBefore, false},
                                     How{"AfterWithTheStatusErased", Life::End::kAfter, true}),
                     testing::Range(0, kShards)),
    [](const auto& row) {
      return std::string(std::get<0>(row.param).name) + std::to_string(std::get<1>(row.param));
    });

// The successor dies at the same distance as the first one did, again and again.
TEST(Crashes, AgainAndAgainEveryFewWritesLeadToTheSameEnd) {
  for (const int every : {23, 31}) {
    World world;
    bool ready = false;
    for (int i = 0; i < 60 && !ready; ++i) {
      Process process(world, "process-" + std::to_string(i));
      process.life.DieAt(every, Life::End::kAfter);
      ready = process.RunToReady();
    }
    SCOPED_TRACE("every " + std::to_string(every));
    EXPECT_TRUE(ready) << ConditionOf(world.Resource(), "Stalled");
    if (ready) ExpectTheSameEnd(world);
  }
}

// HA is off, OMS still runs, and spec.version goes back: nothing of the upgrade is left.
TEST(Crashes, WhileAnUpgradeIsTurnedBackLeaveOmsAsItWas) {
  const auto turned_back = [](World& world) {
    return ConditionOf(world.Resource(), "Ready") == "True/RolledBackByRequest";
  };
  for (int n = 1; n < 40 && !testing::Test::HasFailure(); n += fixtures::kEvery) {
    World world;
    {
      Process first(world, "first");
      first.life.DieAfter("SwapHaConfig");
      ASSERT_FALSE(first.RunToReady());
    }
    ASSERT_FALSE(product::ReadHa(*world.ha)->enabled);
    world.EditSpec([](nlohmann::json& spec) { spec["version"] = "4.3.0"; });
    bool ended = false;
    {
      Process second(world, "second");
      second.life.DieAt(n, Life::End::kAfter);
      ended = second.RunUntil([&] { return turned_back(world); });
    }
    SCOPED_TRACE("died at write " + std::to_string(n));
    Process third(world, "third");
    EXPECT_TRUE(third.RunUntil([&] { return turned_back(world); }))
        << ConditionOf(world.Resource(), "Stalled") << world.Resource().status.message;
    third.Settle();
    EXPECT_EQ(world.ha, fakes::kHaText);
    EXPECT_TRUE(world.Find("oms_430")->info.running);
    EXPECT_EQ(world.Find("oms_430")->info.restart_policy, "always");
    EXPECT_EQ(world.containers.size(), 1u);
    EXPECT_EQ(world.script_runs, 0);
    EXPECT_FALSE(world.Record()->open());
    EXPECT_EQ(world.row->operation_id, "");
    if (ended) break;
  }
}

// SIGSTOP right before a write, and SIGCONT after another process has come to the end.
class StopPoints : public testing::TestWithParam<int> {};

TEST_P(StopPoints, OneThatGoesOnLateChangesNothing) {
  const int all = WritesOfAWholeRun();
  for (int n = 1 + GetParam(); n <= all && !HasFailure(); n += kStride) {
    World world;
    SCOPED_TRACE("stands still before write " + std::to_string(n));
    std::optional<ports::OwnershipRow> row;
    if (GoesOnLate(world, n, [&] { row = world.Locked([&] { return world.row; }); })) {
      ExpectTheSameEnd(world);
      EXPECT_EQ(world.row->epoch, row->epoch) << "it never takes back what was taken from it";
    }
  }
}
INSTANTIATE_TEST_SUITE_P(EachWrite, StopPoints, testing::Range(0, kShards));

}  // namespace
}  // namespace oms

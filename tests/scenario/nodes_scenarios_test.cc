// An OMS of two nodes: one operation for all of them, and every promise for each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reconcilers/oms/ha_config.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/crash.h"
#include "tests/scenario/shown.h"
#include "tests/scenario/stride.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Life;
using fakes::Process;
using fakes::World;
using model::PointKind;

constexpr int kShards = 6;
// Each place takes every second write.
constexpr int kStride = 2 * kShards * fixtures::kEvery;

size_t FirstOf(const World& world, const std::string& name) {
  return std::find(world.log.begin(), world.log.end(), name) - world.log.begin();
}

void ExpectUpgraded(World& world) {
  EXPECT_EQ(ConditionOf(world.Resource(), "Ready"), "True/Succeeded") << Why(world);
  EXPECT_EQ(world.script_runs, 1) << "once, and not once for each node";
  for (const auto* old : {"oms_430", "omsb_430"}) {
    ASSERT_NE(world.Find(old), nullptr);
    EXPECT_FALSE(world.Find(old)->info.running) << old;
    EXPECT_EQ(world.Find(old)->info.restart_policy, "no") << old;
  }
  for (const auto* fresh : {"oms_431", "omsb_431"}) {
    ASSERT_NE(world.Find(fresh), nullptr) << fresh;
    EXPECT_TRUE(world.Find(fresh)->info.running) << fresh;
    EXPECT_EQ(world.Find(fresh)->info.restart_policy, "always") << fresh;
  }
  EXPECT_EQ(world.Find("omsb_431")->info.EnvValue("OMS_HOST_IP"), "10.0.0.2");
  EXPECT_EQ(world.consoles["omsb_431"], "RUNNING")
      << "held by IS_UPGRADE, and nobody else's to start";
  EXPECT_TRUE(world.autostart_set.contains("omsb_431"));
  EXPECT_FALSE(world.autostart_set.contains("oms_431"));
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  const auto record = world.Record();
  ASSERT_TRUE(record.has_value());
  EXPECT_FALSE(record->open());
  ASSERT_TRUE(record->backup.has_value());
  EXPECT_EQ(record->backup->other_runs.size(), 1u);
  EXPECT_THAT(world.host_files["/data2/conf/config-4.3.1.yaml"].content,
              testing::StartsWith("# of the second\n"))
      << "each node has its own file";
  EXPECT_THAT(world.host_files["/data/conf/config-4.3.1.yaml"].content,
              testing::StartsWith("# written by hand\n"));
  EXPECT_EQ(world.containers.size(), 4u) << "no helper is left over";
}

void ExpectOldAgain(World& world) {
  EXPECT_EQ(ConditionOf(world.Resource(), "Ready").substr(0, 4), "True") << Why(world);
  for (const auto* old : {"oms_430", "omsb_430"}) {
    ASSERT_NE(world.Find(old), nullptr);
    EXPECT_TRUE(world.Find(old)->info.running) << old;
    EXPECT_EQ(world.Find(old)->info.restart_policy, "always") << old;
  }
  EXPECT_EQ(world.containers.size(), 2u) << "no new container and no helper is left over";
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_EQ(world.databases["oms_cm"], "cm of 4.3.0");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  EXPECT_LE(world.script_runs, 1);
  const auto record = world.Record();
  EXPECT_FALSE(record && record->open());
  EXPECT_FALSE(world.host_files.contains("/data/conf/config-4.3.1.yaml"));
  EXPECT_FALSE(world.host_files.contains("/data2/conf/config-4.3.1.yaml"));
}

void GoBack(World& world) { Wants(world, "4.3.0"); }
bool IsBack(World& world) {
  const auto resource = world.Resource();
  return resource.status.observed_generation == resource.meta.generation &&
         ConditionOf(resource, "Ready").starts_with("True");
}

class TwoNodes : public testing::TestWithParam<bool> {
 protected:
  TwoNodes() { world.AddSecondNode("4.3.0", GetParam()); }
  World world;
};
INSTANTIATE_TEST_SUITE_P(EachPlace, TwoNodes, testing::Bool(), [](const auto& row) {
  return row.param ? "OnTwoEngines" : "OnOneEngine";
});

TEST_P(TwoNodes, AreUpgradedTogether) {
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world) << process.LastError();
  ExpectUpgraded(world);
  const size_t compacted = FirstOf(world, "Compact");
  ASSERT_LT(compacted, world.log.size());
  EXPECT_LT(FirstOf(world, "Stop oms_430"), compacted);
  EXPECT_LT(FirstOf(world, "Stop omsb_430"), compacted) << "all stand before the MetaDB is touched";
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "Dump begins"), 3);
  const size_t script = FirstOf(world, "RunScript");
  EXPECT_LT(FirstOf(world, "Start oms_431"), script);
  EXPECT_LT(FirstOf(world, "Start omsb_431"), script);
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "LoadImage"), GetParam() ? 2 : 1)
      << "once for each engine";
  const auto record = world.Record();
  EXPECT_TRUE(record->Passed(PointKind::kNewStarting, "oms-1"));
  EXPECT_TRUE(record->Passed(PointKind::kNewStarting, "oms-2"));
  const auto shown = world.Resource().status;
  EXPECT_EQ(shown.nodes.size(), 2u);
  const std::string restore =
      world.files[record->folder + "/" + record->backup->folder + "/RESTORE.md"];
  EXPECT_THAT(restore, testing::HasSubstr("docker restart oms_430"));
  EXPECT_THAT(restore, testing::HasSubstr("docker restart omsb_430"));
}

TEST_P(TwoNodes, GoBackTogetherLongAfterSuccess) {
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
  ExpectOldAgain(world);
  EXPECT_LT(FirstOf(world, "Remove omsb_431"), FirstOf(world, "DropDatabase oms_rm"));
  EXPECT_LT(FirstOf(world, "Remove oms_431"), FirstOf(world, "DropDatabase oms_rm"));
}

// The first node has work left, the second waits for a person: neither keeps the other from it.
TEST_P(TwoNodes, GoBackAsFarAsTheImageThatIsGoneAndWasNotKeptAllows) {
  world.EditSpec([](nlohmann::json& spec) { spec["backup"]["image"] = false; });
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  const auto image = *world.images.find("oms:4.3.0");
  world.Locked([&] {
    world.containers.erase(std::string(world.Find("omsb_430")->info.id));
    world.images.erase("oms:4.3.0");
  });
  GoBack(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/OldImageGone") << Why(world) << process.LastError();
  EXPECT_THAT(Why(world), testing::HasSubstr("node oms-2"));
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  world.Locked([&] { world.images.insert(image); });
  world.Annotate(crd::kResetAt, "loaded");
  ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
  EXPECT_TRUE(world.Find("omsb_430")->info.running);
}

TEST_P(TwoNodes, GoBackFromAFailedScript) {
  world.script_exit_code = 3;
  Process process(world);
  ASSERT_TRUE(process.RunUntil(
      [&] { return ConditionOf(world.Resource(), "Stalled").starts_with("True"); }));
  EXPECT_EQ(ConditionOf(world.Resource(), "Stalled"), "True/ScriptFailed");
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
  ExpectOldAgain(world);
}

TEST_P(TwoNodes, WhoseSecondOldContainerRanAgainAreBackedUpAnew) {
  {
    Process first(world, "first");
    first.life.DieAfter("Dump ends");
    EXPECT_FALSE(first.RunToReady());
  }
  world.Locked([&] { world.dump_held = true; });
  Process second(world, "second");
  (void)second.RunUntil([&] { return world.Held(); });
  ASSERT_TRUE(world.AwaitHeld(3));
  world.StartByHand("omsb_430");
  world.EndContainer("omsb_430", 0);
  world.Release();
  EXPECT_TRUE(second.RunUntil([&] {
    return ConditionOf(world.Resource(), "Stalled") == "True/OldContainerStarted";
  })) << Why(world);
  EXPECT_EQ(world.Find("oms_431")->info.status, "created");
  EXPECT_THAT(world.Resource().status.message, testing::HasSubstr("oms-2"));
  world.Annotate(crd::kResetAt, "1");
  ASSERT_TRUE(second.RunToReady()) << Why(world);
  ExpectUpgraded(world);
  const auto record = world.Record();
  EXPECT_EQ(record->backup->other_runs.at("oms-2"),
            world.Find("omsb_430")->info.id + " " + world.Find("omsb_430")->info.started_at);
}

TEST_P(TwoNodes, WhoseSecondOldContainerRunsAreNotStartedBesideIt) {
  Process process(world);
  world.Locked([&] { world.dump_held = true; });
  (void)process.RunUntil([&] { return world.Held(); });
  world.StartByHand("omsb_430");
  world.Release();
  EXPECT_TRUE(process.RunUntil([&] {
    return ConditionOf(world.Resource(), "Stalled") == "True/OldContainerStarted";
  })) << Why(world);
  EXPECT_FALSE(world.Record()->Passed(PointKind::kNewStarting));
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
  ExpectOldAgain(world);
}

// It died after the first node's start and before the second's: forward, and back.
TEST_P(TwoNodes, HalfStartedGoOnAndGoBack) {
  for (const bool back : {false, true}) {
    World half;
    half.AddSecondNode("4.3.0", GetParam());
    {
      Process first(half, "first");
      first.life.DieAfter("Start oms_431");
      EXPECT_FALSE(first.RunToReady());
    }
    ASSERT_FALSE(half.Find("omsb_431")->info.running);
    if (back) GoBack(half);
    Process second(half, "second");
    ASSERT_TRUE(second.RunUntil([&] { return IsBack(half); })) << Why(half);
    if (back) {
      ExpectOldAgain(half);
      EXPECT_EQ(half.script_runs, 0);
    } else {
      ExpectUpgraded(half);
    }
  }
}

// Before its own start, after that of the first node: it has never run, so it is made again.
TEST_P(TwoNodes, AContainerThatWasRemovedBeforeItsStartIsMadeAgain) {
  {
    Process first(world, "first");
    first.life.DieAfter("Start oms_431");
    EXPECT_FALSE(first.RunToReady());
  }
  world.Locked([&] { world.containers.erase(std::string(world.Find("omsb_431")->info.id)); });
  Process second(world, "second");
  ASSERT_TRUE(second.RunToReady()) << Why(world) << second.LastError();
  ExpectUpgraded(world);
}

TEST_P(TwoNodes, TheFileItselfIsEditedOnEachAndPutBack) {
  world.EditSpec([](nlohmann::json& spec) { spec["deployment"]["config"] = "InPlace"; });
  const std::string first_file = world.host_files["/data/conf/config.yaml"].content;
  const std::string second_file = world.host_files["/data2/conf/config.yaml"].content;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_THAT(world.host_files["/data/conf/config.yaml"].content,
              testing::HasSubstr("oms_cm_meta_host"));
  EXPECT_THAT(world.host_files["/data2/conf/config.yaml"].content,
              testing::AllOf(testing::HasSubstr("oms_cm_meta_host"),
                             testing::StartsWith("# of the second")));
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
  EXPECT_EQ(world.host_files["/data/conf/config.yaml"].content, first_file);
  EXPECT_EQ(world.host_files["/data2/conf/config.yaml"].content, second_file);
}

TEST(TwoNodesApart, AnEngineThatIsAwayAfterTheStopIsWaitedFor) {
  for (const bool back : {false, true}) {
    World world;
    world.AddSecondNode();
    Process process(world);
    world.Locked([&] { world.dump_held = true; });
    (void)process.RunUntil([&] { return world.Held(); });
    world.Locked([&] { world.engines_down.insert(fakes::kSecondEngine); });
    world.Release();
    if (back) GoBack(world);
    process.Settle(40);
    EXPECT_FALSE(world.Record()->Passed(PointKind::kNewStarting)) << "no half of an OMS is started";
    EXPECT_THAT(world.Resource().status.message, testing::HasSubstr("oms-2"));
    EXPECT_FALSE(world.OmsRuns());
    world.Locked([&] { world.engines_down.clear(); });
    ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
    back ? ExpectOldAgain(world) : ExpectUpgraded(world);
  }
}

TEST(TwoNodesApart, AnEngineThatIsAwayOnTheWayBackKeepsTheDatabasesAsTheyAre) {
  World world;
  world.AddSecondNode();
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  world.Locked([&] { world.engines_down.insert(fakes::kSecondEngine); });
  GoBack(world);
  process.Settle(40);
  EXPECT_EQ(world.drops, 0) << "the new OMS of node 2 may still write";
  world.Locked([&] { world.engines_down.clear(); });
  ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
  ExpectOldAgain(world);
}

TEST(TwoNodesApart, OneThatStandsStillIsToldAndNotCalledReady) {
  World world;
  world.AddSecondNode();
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  world.EndContainer("omsb_431", 0);
  process.Settle();
  EXPECT_EQ(ConditionOf(world.Resource(), "Ready"), "False/OMSNotRunning");
  EXPECT_THAT(world.Resource().status.message, testing::HasSubstr("oms-2"));
}

TEST(TwoNodesApart, AComponentHasNoConsoleAndTheScriptRunsOnTheManagementNode) {
  World world;
  world.AddSecondNode();
  world.EditSpec([](nlohmann::json& spec) {
    spec["nodes"][0]["role"] = "Component";
    spec["nodes"][1]["role"] = "Management";
  });
  world.console = "FATAL";                 // On the component: nobody waits for it.
  world.consoles["omsb_431"] = "RUNNING";  // The script has started that of its own node.
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.script_runs, 1);
  const auto record = world.Record();
  EXPECT_EQ(
      record->LastAttempt(PointKind::kScriptStarting, "oms-2", model::Step::kRunUpgradeScript), 1);
  EXPECT_EQ(
      record->LastAttempt(PointKind::kScriptStarting, "oms-1", model::Step::kRunUpgradeScript), 0);
  EXPECT_EQ(world.console, "FATAL") << "no console is started where there is none";
}

// --------------------------------------------------------------------------------- what is refused

std::string RefusedFor(World& world) {
  Process process(world);
  process.Settle();
  EXPECT_EQ(world.oms_writes, 0) << "nothing is touched";
  return ConditionOf(world.Resource(), "Stalled");
}

TEST(TwoNodesRefused, TheSameContainerTwice) {
  World world;
  world.AddSecondNode("4.3.0", false);
  world.EditSpec([](nlohmann::json& spec) { spec["nodes"][1]["container"]["name"] = "oms_430"; });
  EXPECT_EQ(RefusedFor(world), "True/SameContainer");
}

TEST(TwoNodesRefused, OfDifferentVersions) {
  World world;
  world.AddSecondNode();
  world.Find("omsb_430")->info.image = "oms:4.2.5";
  EXPECT_EQ(RefusedFor(world), "True/NodeVersionsDiffer");
}

TEST(TwoNodesRefused, OfDifferentDatabases) {
  World world;
  world.AddSecondNode();
  auto& text = world.host_files["/data2/conf/config.yaml"].content;
  text.replace(text.find("oms_cm_hb"), 9, "oms_cm_h2");
  EXPECT_EQ(RefusedFor(world), "True/NodeMetaDBsDiffer");
}

TEST(TwoNodesRefused, OfWhichOneIsNotListed) {
  World world;
  world.AddSecondNode();
  world.EditSpec([](nlohmann::json& spec) { spec["nodes"].erase(1); });
  EXPECT_EQ(RefusedFor(world), "True/UnlistedHostOnline");
}

TEST(TwoNodesRefused, OfWhichNoneIsAManagementNode) {
  World world;
  world.AddSecondNode();
  world.EditSpec([](nlohmann::json& spec) {
    for (auto& node : spec["nodes"]) node["role"] = "Component";
  });
  EXPECT_EQ(RefusedFor(world), "True/NoManagementNode");
}

TEST(TwoNodesRefused, OneWhoseHeartStandsStill) {
  World world;
  world.AddSecondNode();
  auto& text = world.Find("omsb_430")->info.env[0];
  text = "OMS_HOST_IP=10.0.0.1";
  EXPECT_EQ(RefusedFor(world), "True/SameHostIP");
}

// ------------------------------------------------------------------------------------------
// crashes

class TwoNodesCrash : public testing::TestWithParam<std::tuple<bool, int>> {};

int WritesOfAWholeRun(bool own_engine) {
  World world;
  world.AddSecondNode("4.3.0", own_engine);
  Process process(world);
  EXPECT_TRUE(process.RunToReady()) << Why(world);
  return world.WritesOf(process.life);
}

TEST_P(TwoNodesCrash, AtEachWriteLeadsToTheSameEnd) {
  const auto& [own_engine, shard] = GetParam();
  const int all = WritesOfAWholeRun(own_engine);
  for (int n = 1 + 2 * shard + (own_engine ? 1 : 0); n <= all && !HasFailure(); n += kStride) {
    World world;
    world.AddSecondNode("4.3.0", own_engine);
    SCOPED_TRACE(DiesUpgrading(world, n, n / 2 % 2 == 0 ? Life::End::kAfter : Life::End::kBefore));
    TheNextUpgrades(world);
    ExpectUpgraded(world);
  }
}

TEST_P(TwoNodesCrash, AtEachWriteAndThenRevertedGoesBackWhole) {
  const auto& [own_engine, shard] = GetParam();
  const int all = WritesOfAWholeRun(own_engine);
  for (int n = 1 + 2 * shard + (own_engine ? 1 : 0); n <= all && !HasFailure(); n += kStride) {
    World world;
    world.AddSecondNode("4.3.0", own_engine);
    SCOPED_TRACE(DiesUpgrading(world, n, Life::End::kAfter));
    GoBack(world);
    TheNextDiesAndAnotherGoesBack(world, 5 + n % 37, [&] { return IsBack(world); });
    ExpectOldAgain(world);
  }
}
INSTANTIATE_TEST_SUITE_P(EachWrite, TwoNodesCrash,
                         testing::Combine(testing::Bool(), testing::Range(0, kShards)),
                         [](const auto& row) {
                           return std::string(std::get<0>(row.param) ? "TwoEngines" : "OneEngine") +
                                  std::to_string(std::get<1>(row.param));
                         });

}  // namespace
}  // namespace oms

// Upgrades from below 4.0.1 (guide, second part): the correction jar, add_resource and the upgrade
// script, in this order and each once, over a world in memory whose databases refuse any other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reconcilers/oms/ha_config.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"
#include "tests/scenario/stride.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Life;
using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

void ExpectUpgraded(World& world) {
  EXPECT_EQ(ConditionOf(world.Resource(), "Ready"), "True/Succeeded");
  EXPECT_EQ(world.jar_runs, 1);
  EXPECT_EQ(world.resource_runs, 1);
  EXPECT_EQ(world.script_runs, 1);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");
  EXPECT_EQ(world.console, "RUNNING");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  EXPECT_TRUE(world.Find("oms_431")->info.running);
  EXPECT_FALSE(world.Find("oms_340")->info.running);
}

void ExpectAsBefore(World& world) {
  EXPECT_EQ(world.databases["oms_rm"], "rm of 3.4.0");
  EXPECT_EQ(world.databases["oms_cm"], "cm of 3.4.0");
  EXPECT_TRUE(world.Find("oms_340")->info.running);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
}

bool RollBack(World& world, Process& process) {
  Wants(world, "3.4.0");
  return RunBack(world, process);
}

// ------------------------------------------------------------------------------- the way there

TEST(Legacy, JarMetadataAndScriptRunOnceInThisOrder) {
  World world("3.4.0");
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Stalled(world) << world.Resource().status.message;
  ExpectUpgraded(world);
  const auto resource = world.Resource();
  EXPECT_EQ(ConditionOf(resource, "SchemaCorrected"), "True/Done");
  EXPECT_EQ(ConditionOf(resource, "MetadataInitialized"), "True/Done");
  const auto* corrected = crd::FindCondition(resource.status.conditions, "SchemaCorrected");
  EXPECT_EQ(corrected->message, "exit code 0, attempt 1");
}

TEST(Legacy, AStartFromFourZeroOneOnSkipsThemAndNeverAsksForThem) {
  World world;
  world.legacy.duplicates = {{"oms_project", "twice", 2, {"1", "2"}}};
  world.legacy.black_regions = {"3"};
  ASSERT_TRUE(Process(world).RunToReady());
  EXPECT_EQ(world.jar_runs, 0);
  EXPECT_EQ(world.resource_runs, 0);
  EXPECT_THAT(world.log, Not(Contains(HasSubstr("Console"))));
  EXPECT_EQ(ConditionOf(world.Resource(), "SchemaCorrected"), "True/Skipped");
  EXPECT_EQ(ConditionOf(world.Resource(), "MetadataInitialized"), "True/Skipped");
}

TEST(Legacy, AnErasedStatusOfAClosedOperationTellsSkippedStepsAgain) {
  World world;
  ASSERT_TRUE(Process(world).RunToReady());
  world.EraseStatus();
  Process(world, "another").Settle();
  EXPECT_EQ(ConditionOf(world.Resource(), "SchemaCorrected"), "True/Skipped");
}

TEST(Legacy, TheConsoleIsStoppedForTheJarAndStartedAfterTheScript) {
  World world("3.4.0");
  ASSERT_TRUE(Process(world).RunToReady());
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "Console stop"), 1);
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "Console start"), 1);
}

TEST(Legacy, AConsoleThatIsHeldAlreadyIsNotTouchedBeforeTheJar) {
  World world("3.4.0");
  world.console = "STOPPED";  // IS_UPGRADE=true.
  ASSERT_TRUE(Process(world).RunToReady());
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "Console stop"), 0);
  ExpectUpgraded(world);
}

TEST(Legacy, AJarThatTheImageDoesNotHaveIsMissedBeforeTheStop) {
  World world("3.4.0");
  world.image_files["sha256:oms431"].erase(
      "/root/correction-1.0-SNAPSHOT-jar-with-dependencies.jar");
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/CorrectionJarMissing");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("spec.legacy.jarPath"));
  EXPECT_TRUE(world.Find("oms_340")->info.running);
  world.image_files["sha256:oms431"].insert("/opt/fix.jar");
  world.EditSpec([](json& spec) { spec["legacy"] = {{"jarPath", "/opt/fix.jar"}}; });
  Process second(world, "second");
  EXPECT_TRUE(second.RunToReady()) << Stalled(world) << world.Resource().status.message;
}

TEST(Legacy, AnEditThatNoLongerAcknowledgesTheWayTakesNoStepOutOfIt) {
  World world("3.4.0");
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.9";
    spec["acknowledge"].push_back("UnlistedVersion");
    spec["acknowledge"].push_back("ImageNamesAnotherVersion");
  });
  Process process(world);
  world.dump_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  ASSERT_TRUE(world.AwaitHeld(3));
  world.EditSpec([](json& spec) { spec.erase("acknowledge"); });
  world.Release();
  ASSERT_TRUE(process.RunToReady()) << Stalled(world) << world.Resource().status.message;
  EXPECT_EQ(world.jar_runs, 1);
}

// ------------------------------------------------------------------------------- what goes wrong

TEST(Legacy, AJarThatFailsStallsAndIsNeverRunAgain) {
  World world("3.4.0");
  world.exit_code_of["correction-jar"] = 3;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  EXPECT_THAT(world.Resource().status.message,
              testing::AllOf(HasSubstr("the correction jar ended with exit code 3"),
                             HasSubstr("/correction-jar/1/output.log")));
  EXPECT_EQ(ConditionOf(world.Resource(), "SchemaCorrected"), "False/ScriptFailed");
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(world.jar_runs, 1);
  EXPECT_EQ(world.resource_runs + world.script_runs, 0);
  EXPECT_TRUE(RollBack(world, second)) << Stalled(world) << world.Resource().status.message;
  ExpectAsBefore(world);
}

TEST(Legacy, AddResourceThatFailsStallsBeforeTheUpgradeScript) {
  World world("3.4.0");
  world.exit_code_of["add-resource"] = 1;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  EXPECT_EQ(ConditionOf(world.Resource(), "SchemaCorrected"), "True/Done");
  EXPECT_EQ(ConditionOf(world.Resource(), "MetadataInitialized"), "False/ScriptFailed");
  EXPECT_EQ(world.script_runs, 0);
  EXPECT_TRUE(RollBack(world, process)) << Stalled(world) << world.Resource().status.message;
  ExpectAsBefore(world);
}

TEST(Legacy, AScriptOfUnknownOutcomeStallsAndIsNeverRunAgain) {
  for (const std::string script : {"correction-jar", "add-resource"}) {
    SCOPED_TRACE(script);
    World world("3.4.0");
    world.vanishes = script;
    Process process(world);
    process.Settle();
    EXPECT_EQ(Stalled(world), "True/ScriptOutcomeUnknown");
    Process second(world, "second");
    second.Settle();
    EXPECT_EQ(script == "correction-jar" ? world.jar_runs : world.resource_runs, 1);
    EXPECT_EQ(world.script_runs, 0);
    EXPECT_TRUE(RollBack(world, second)) << Stalled(world) << world.Resource().status.message;
    ExpectAsBefore(world);
  }
}

TEST(Legacy, OnFailureRollbackTakesAFailedJarBack) {
  World world("3.4.0");
  world.exit_code_of["correction-jar"] = 1;
  world.EditSpec([](json& spec) { spec["strategy"] = {{"onFailure", "Rollback"}}; });
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return Stalled(world) == "True/RolledBackAfterFailure"; }))
      << Stalled(world) << world.Resource().status.message;
  ExpectAsBefore(world);
}

TEST(Legacy, IsTakenBackAfterSuccess) {
  World world("3.4.0");
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  EXPECT_TRUE(RollBack(world, process)) << Stalled(world) << world.Resource().status.message;
  ExpectAsBefore(world);
}

// ------------------------------------------------------------------------------- prerequisites

TEST(LegacyPreflight, TasksOfTheSameNameHoldItUpUntilTheyAreRenamed) {
  World world("3.4.0");
  world.legacy.duplicates = {{"oms_project", "billing", 2, {"6", "18"}}};
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/DuplicateTaskNames");
  EXPECT_THAT(world.Resource().status.message,
              testing::AllOf(HasSubstr("'billing' in oms_project (ids 6, 18)"),
                             HasSubstr("UPDATE oms_project SET project_name='<new name>' WHERE "
                                       "id=18")));
  EXPECT_EQ(world.oms_writes, 0);
  world.Locked([&] { world.legacy.duplicates.clear(); });
  EXPECT_TRUE(process.RunToReady()) << "the resource was not touched: " << Stalled(world);
}

TEST(LegacyPreflight, ChangedBlackRegionsWaitForTheAcknowledgement) {
  World world("3.4.0");
  world.legacy.black_regions = {"3", "4"};
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/BlackRegionNoChanged");
  EXPECT_THAT(world.Resource().status.message,
              testing::AllOf(HasSubstr("sourceFile.blackRegionNo = 3, 4, and cm_location is 2"),
                             HasSubstr("spec.legacy.dataSourceUsedAtBothEnds")));
  world.EditSpec([](json& spec) { spec["legacy"] = {{"dataSourceUsedAtBothEnds", true}}; });
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/BlackRegionNoChanged");
  EXPECT_EQ(world.oms_writes, 0);
  world.EditSpec([](json& spec) { spec["legacy"] = {{"dataSourceUsedAtBothEnds", false}}; });
  EXPECT_TRUE(process.RunToReady()) << Stalled(world);
}

// ------------------------------------------------------------------------------- the overview

TEST(Overview, WhatIsNotAcknowledgedIsWaitedForBeforeAnythingIsTouchedAndNotAskedOnTheWayBack) {
  World world("3.4.0");
  world.EditSpec([](json& spec) { spec["acknowledge"] = {"TasksSettled"}; });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/AcknowledgementNeeded");
  EXPECT_EQ(ConditionOf(world.Resource(), "PreflightPassed"), "False/AcknowledgementNeeded");
  EXPECT_THAT(world.Resource().status.message,
              testing::AllOf(HasSubstr("[TasksSettled, NoOblogproxyTasks, NoFullImportRunning]"),
                             HasSubstr("NoOblogproxyTasks: no task reads through oblogproxy")));
  EXPECT_EQ(world.oms_writes, 0);
  world.EditSpec([](json& spec) {
    spec["acknowledge"] = {"TasksSettled", "NoOblogproxyTasks", "NoFullImportRunning"};
  });
  ASSERT_TRUE(process.RunToReady()) << Stalled(world) << world.Resource().status.message;
  ExpectUpgraded(world);
  world.EditSpec([](json& spec) { spec.erase("acknowledge"); });
  ASSERT_TRUE(RollBack(world, process)) << Stalled(world);
  ExpectAsBefore(world);
}

TEST(Overview, ThePlainWayWaitsForNoWordAndTellsOfTheLimitsOnce) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Stalled(world);
  process.Settle();
  const auto told = [&](const char* what) {
    return std::count_if(world.events.begin(), world.events.end(), [&](const std::string& event) {
      return event.find("SeeToItFirst") != std::string::npos &&
             event.find(what) != std::string::npos;
    });
  };
  EXPECT_EQ(told("no task reads through oblogproxy"), 1);
  EXPECT_EQ(told("tasks are near real time"), 1);
  EXPECT_EQ(told("no Full-Import runs"), 1);
  for (const auto& event : world.events)
    EXPECT_FALSE(event.starts_with("Warning")) << event << " of an upgrade that goes well";
  EXPECT_EQ(told(""), 3);
}

TEST(Overview, EnforcedLimitsAreWaitedForOnThePlainWayToo) {
  World world;
  world.EditSpec([](json& spec) {
    spec["strategy"]["limits"] = "Enforce";
    spec["acknowledge"] = {"TasksSettled"};
  });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/AcknowledgementNeeded");
  EXPECT_THAT(world.Resource().status.message,
              HasSubstr("[TasksSettled, NoOblogproxyTasks, NoFullImportRunning]"));
  EXPECT_EQ(world.oms_writes, 0);
  world.EditSpec([](json& spec) {
    spec["acknowledge"] = {"TasksSettled", "NoOblogproxyTasks", "NoFullImportRunning"};
  });
  ASSERT_TRUE(process.RunToReady()) << Stalled(world) << world.Resource().status.message;
  for (const auto& event : world.events)
    EXPECT_EQ(event.find("SeeToItFirst"), std::string::npos) << event;
}

TEST(Overview, ThePlanNamesTheLimitsThatNobodyHasAcknowledged) {
  World world;
  world.EditSpec([](json& spec) {
    spec["mode"] = "Plan";
    spec["acknowledge"] = {"TasksSettled"};
  });
  Process(world).Settle();
  const auto plan = world.Resource().status.plan;
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->steps,
              Contains(HasSubstr("Before: Check that no task reads through oblogproxy")));
  EXPECT_THAT(plan->steps, Not(Contains(HasSubstr("near real time"))));
}

TEST(Overview, AMisspeltWordIsRefused) {
  World world;
  world.EditSpec([](json& spec) { spec["acknowledge"] = {"TasksSetled"}; });
  Process(world).Settle();
  EXPECT_EQ(Stalled(world), "True/InvalidSpec");
  EXPECT_EQ(world.oms_writes, 0);
}

// ------------------------------------------------------------------------------- it dies anywhere

int WritesOfAWholeRun() {
  World world("3.4.0");
  Process process(world);
  EXPECT_TRUE(process.RunToReady());
  ExpectUpgraded(world);
  return world.WritesOf(process.life);
}

struct How {
  const char* name;
  Life::End end;
};
constexpr int kStride = 4 * fixtures::kEvery;
class LegacyCrashPoints : public testing::TestWithParam<std::tuple<How, int>> {};

TEST_P(LegacyCrashPoints, LeadToTheSameEnd) {
  const auto& [how, shard] = GetParam();
  const int all = WritesOfAWholeRun();
  for (int n = 1 + shard; n <= all && !HasFailure(); n += kStride) {
    World world("3.4.0");
    std::string last;
    {
      Process first(world, "first");
      first.life.DieAt(n, how.end);
      (void)first.RunToReady();
      last = world.Locked([&] { return world.log.empty() ? std::string() : world.log.back(); });
    }
    SCOPED_TRACE("died at write " + std::to_string(n) + ", the last that was done: " + last);
    Process second(world, "second");
    EXPECT_TRUE(second.RunToReady())
        << Stalled(world) << " " << world.Resource().status.message << " " << second.LastError();
    ExpectUpgraded(world);
  }
}
INSTANTIATE_TEST_SUITE_P(EachWrite, LegacyCrashPoints,
                         testing::Combine(testing::Values(How{"After", Life::End::kAfter},
                                                          How{"Before", Life::End::kBefore}),
                                          testing::Range(0, 4)),
                         [](const auto& row) {
                           return std::string(std::get<0>(row.param).name) +
                                  std::to_string(std::get<1>(row.param));
                         });

}  // namespace
}  // namespace oms

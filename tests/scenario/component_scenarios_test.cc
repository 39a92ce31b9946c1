// A separated deployment whose tasks keep running: the component is upgraded in place, and the
// management container the full way beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reconcilers/oms/ha_config.h"
#include "reconcilers/record/manifest.h"
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
using testing::HasSubstr;

constexpr int kShards = 6;
constexpr int kStride = kShards * fixtures::kEvery;
constexpr char kAssistant[] = "oms-upgrade-tool";

size_t FirstOf(const World& world, const std::string& name) {
  return std::find(world.log.begin(), world.log.end(), name) - world.log.begin();
}
bool Logged(const World& world, const std::string& name) {
  return FirstOf(world, name) < world.log.size();
}

// A world with what the component was before.
struct Separated : World {
  explicit Separated(bool own_engine = true) {
    SeparateAndKeepTasks(own_engine);
    started_at = Find("omsb_430")->info.started_at;
  }
  std::string started_at;
};

void ExpectUpgraded(Separated& world, bool component_stopped = false) {
  EXPECT_EQ(Ready(world), "True/Succeeded") << Why(world);
  EXPECT_EQ(world.script_runs, 1) << "on the management node, once";
  EXPECT_EQ(world.component_runs, 1) << "in the component, once";
  EXPECT_TRUE(world.component_upgraded);
  const auto* component = world.Find("omsb_430");
  ASSERT_NE(component, nullptr);
  EXPECT_TRUE(component->info.running);
  EXPECT_EQ(component->info.restart_policy, "always");
  EXPECT_EQ(component->info.started_at == world.started_at, !component_stopped);
  ASSERT_NE(world.Find("oms_431"), nullptr);
  EXPECT_TRUE(world.Find("oms_431")->info.running);
  EXPECT_FALSE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("omsb_431"), nullptr) << "a component has no new container";
  EXPECT_EQ(world.containers.size(), 3u) << "neither the assistant nor a helper is left over";
  EXPECT_FALSE(world.images.contains("oms-tools:4.3.1")) << "the assistant's image is removed";
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  EXPECT_TRUE(world.sequence.base.exists);
  EXPECT_FALSE(world.sequence.bak.exists || world.sequence.bak2.exists);
  EXPECT_GE(world.sequence.base.max_id, 100'000u);
  EXPECT_LT(world.sequence.base.rows, 1000u);
  EXPECT_FALSE(world.host_files.contains("/data2/conf/config-4.3.1.yaml"));
  const auto record = world.Record();
  ASSERT_TRUE(record.has_value());
  EXPECT_FALSE(record->open());
}

// `restored`: databases were brought back, so the component was stopped for it.
void ExpectOldAgain(Separated& world, bool restored) {
  EXPECT_EQ(Ready(world).substr(0, 4), "True") << Why(world);
  for (const auto* old : {"oms_430", "omsb_430"}) {
    ASSERT_NE(world.Find(old), nullptr);
    EXPECT_TRUE(world.Find(old)->info.running) << old;
    EXPECT_EQ(world.Find(old)->info.restart_policy, "always") << old;
  }
  EXPECT_EQ(world.Find("omsb_430")->info.started_at == world.started_at, !restored);
  EXPECT_EQ(world.containers.size(), 2u);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  EXPECT_LE(world.component_runs, 1);
  EXPECT_FALSE(world.Record() && world.Record()->open());
}

void GoBack(World& world) { Wants(world, "4.3.0"); }
bool IsSettled(World& world) {
  const auto resource = world.Resource();
  return resource.status.observed_generation == resource.meta.generation &&
         Ready(world).starts_with("True");
}

class Component : public testing::TestWithParam<bool> {
 protected:
  Component() : world(GetParam()) {}
  Separated world;
};
INSTANTIATE_TEST_SUITE_P(EachPlace, Component, testing::Bool(), [](const auto& row) {
  return row.param ? "OnItsOwnEngine" : "OnOneEngine";
});

TEST_P(Component, GoesOnWhileTheManagementContainerIsUpgraded) {
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world) << process.LastError();
  ExpectUpgraded(world);
  EXPECT_EQ(world.assistant_runs, 1);
  EXPECT_FALSE(Logged(world, "Stop omsb_430"));
  EXPECT_LT(FirstOf(world, "SwapHaConfig"), FirstOf(world, "Start oms-upgrade-tool"))
      << "HA is off before a component is touched";
  EXPECT_LT(FirstOf(world, "RemoveImage oms-tools:4.3.1"), FirstOf(world, "Stop oms_430"))
      << "the console goes down only once the component is done";
  EXPECT_EQ(ConditionOf(world.Resource(), "ComponentUpgraded"), "True/Done");
  const auto record = world.Record();
  EXPECT_EQ(
      record->LastAttempt(PointKind::kScriptStarting, "oms-2", model::Step::kUpgradeComponents), 1);
  EXPECT_EQ(
      record->LastAttempt(PointKind::kScriptStarting, "oms-1", model::Step::kRunUpgradeScript), 1);
  const auto shown = world.Resource().status;
  ASSERT_EQ(shown.nodes.size(), 2u);
  EXPECT_EQ(shown.nodes[1].version, "4.3.1") << "whatever its image says";
  process.Settle();
  EXPECT_EQ(Ready(world), "True/Succeeded") << Why(world);
}

TEST_P(Component, ItsConnectionsAreNotEndedForTheDump) {
  world.foreign = {{"10.0.0.3:2883", 77, "oms", "10.0.0.2:4711", "", "oms_cm", "Sleep"}};
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_FALSE(world.killed.contains(77));
  ExpectUpgraded(world);
}

TEST_P(Component, TheBackupSaysWhichSumsAreNotTheDumps) {
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  const auto record = world.Record();
  const std::string folder = record->folder + "/" + record->backup->folder;
  const auto manifest = record::Manifest::FromJson(world.files[folder + "/manifest.json"]);
  ASSERT_TRUE(manifest.ok());
  EXPECT_TRUE(manifest->written_meanwhile);
  EXPECT_FALSE(manifest->Find("oms_rm")->digest.tables.at(0).moving);
  EXPECT_TRUE(manifest->Find("oms_cm_hb")->digest.tables.at(0).moving);
  const std::string restore = world.files[folder + "/RESTORE.md"];
  EXPECT_THAT(restore, HasSubstr("docker stop omsb_430"));
  EXPECT_THAT(restore, HasSubstr("is not removed by any command"));
}

TEST_P(Component, GoesBackLongAfterSuccessStoppedBeforeADatabaseIsTouched) {
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  world.log.clear();
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsSettled(world); })) << Why(world);
  ExpectOldAgain(world, true);
  EXPECT_LT(FirstOf(world, "Stop omsb_430"), FirstOf(world, "Dump begins"));
  EXPECT_LT(FirstOf(world, "Stop omsb_430"), FirstOf(world, "DropDatabase oms_rm"));
  EXPECT_LT(FirstOf(world, "Load ends oms_rm"), FirstOf(world, "Start omsb_430"));
  EXPECT_NE(world.Find("omsb_430")->info.started_at, world.started_at);
  EXPECT_THAT(world.Resource().status.follow_ups,
              testing::Contains(HasSubstr("no rollback of a component")));
  process.Settle();
  EXPECT_EQ(Ready(world), "True/RolledBackByRequest")
      << "the mixture is told, and no reason to act";
}

// Nothing takes it back, so nothing has to do it again.
TEST_P(Component, ThatWasUpgradedBeforeIsNotUpgradedTwice) {
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsSettled(world); })) << Why(world);
  Wants(world, "4.3.1");
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
  EXPECT_EQ(world.component_runs, 1);
  EXPECT_EQ(world.assistant_runs, 1);
  EXPECT_EQ(world.script_runs, 2);
}

TEST_P(Component, ARevertBeforeTheStopLeavesTheComponentAsItIs) {
  world.Locked([&] { world.script_held = true; });
  Process process(world);
  (void)process.RunUntil([&] { return world.Held(); });
  GoBack(world);
  process.Settle(20);
  EXPECT_TRUE(world.Record()->open()) << "its script cannot be stopped, and is waited for";
  EXPECT_FALSE(product::ReadHa(*world.ha)->enabled) << "HA does not come back beside it";
  world.Release();
  ASSERT_TRUE(process.RunUntil([&] { return IsSettled(world); })) << Why(world);
  ExpectOldAgain(world, false);
  EXPECT_FALSE(Logged(world, "Stop oms_430"));
  EXPECT_THAT(world.Resource().status.follow_ups,
              testing::Contains(HasSubstr("was upgraded to 4.3.1, and is not changed back")));
}

TEST_P(Component, AScriptThatCannotBeLookedAtIsNotTakenForEnded) {
  world.Locked([&] { world.script_held = true; });
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  GoBack(world);
  world.Locked([&] { world.top_fails = true; });
  process.Settle(5);
  EXPECT_FALSE(product::ReadHa(*world.ha)->enabled) << "it may run";
  ASSERT_TRUE(world.Record().has_value());
  EXPECT_TRUE(world.Record()->open());
  world.Locked([&] { world.top_fails = false; });
  world.Release();
  ASSERT_TRUE(process.RunUntil([&] { return IsSettled(world); })) << Why(world);
  ExpectOldAgain(world, false);
}

TEST_P(Component, AFailedScriptPausesBeforeTheStop) {
  world.exit_code_of["component-upgrade"] = 3;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return Stalled(world).starts_with("True"); }));
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("no rollback of a component"));
  process.Settle();
  EXPECT_EQ(world.component_runs, 1);
  EXPECT_TRUE(world.Find("oms_430")->info.running) << "OMS was not stopped";
  EXPECT_FALSE(product::ReadHa(*world.ha)->enabled) << "nor HA switched on beside half a component";
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsSettled(world); })) << Why(world);
  ExpectOldAgain(world, false);
  EXPECT_THAT(world.Resource().status.follow_ups,
              testing::Contains(HasSubstr("may be partly upgraded")));
}

TEST_P(Component, AnUnknownOutcomePauses) {
  world.vanishes = "component-upgrade";
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return Stalled(world).starts_with("True"); }));
  EXPECT_EQ(Stalled(world), "True/ScriptOutcomeUnknown");
  process.Settle();
  EXPECT_EQ(world.component_runs, 1);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST_P(Component, AnAssistantThatFailsIsRunAgain) {
  world.assistant_exit_code = 1;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.assistant_runs, 2);
  ExpectUpgraded(world);
}

TEST_P(Component, AnAssistantThatStaysIsTakenForDoneOnceItHasHadTheTime) {
  world.assistant_stays = true;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.assistant_runs, 1);
  ExpectUpgraded(world);
}

TEST_P(Component, AnAssistantThatBringsNothingPauses) {
  world.assistant_brings_it = false;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return Stalled(world).starts_with("True"); }));
  EXPECT_EQ(Stalled(world), "True/AssistantFailed");
  EXPECT_EQ(world.component_runs, 0);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST_P(Component, AServerThatLosesTheTwoTableRenameMeanwhilePausesAndGoesBack) {
  world.Locked([&] { world.script_held = true; });
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Locked([&] { world.no_two_table_rename = true; });
  world.Release();
  ASSERT_TRUE(process.RunUntil([&] { return Stalled(world).starts_with("True"); })) << Why(world);
  EXPECT_EQ(Stalled(world), "True/TwoTableRenameMissing");
  EXPECT_TRUE(world.sequence.bak.exists);
  EXPECT_FALSE(world.sequence.bak2.exists) << "nothing was renamed";
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsSettled(world); })) << Why(world);
  ExpectOldAgain(world, false);
  EXPECT_TRUE(world.sequence.base.exists);
  EXPECT_FALSE(world.sequence.bak.exists);
}

TEST_P(Component, AFailedScriptOfTheManagementNodeGoesBackWithTheComponentStopped) {
  world.exit_code_of["upgrade-script"] = 3;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return Stalled(world).starts_with("True"); }));
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  GoBack(world);
  ASSERT_TRUE(process.RunUntil([&] { return IsSettled(world); })) << Why(world);
  ExpectOldAgain(world, true);
}

TEST_P(Component, ThatIsDownAfterwardsIsNotCalledHealthy) {
  world.EditSpec([](nlohmann::json& spec) { spec["strategy"]["timeouts"]["healthy"] = "10s"; });
  {
    Process first(world, "first");
    first.life.DieAfter("Start oms_431");
    EXPECT_FALSE(first.RunToReady());
  }
  world.EndContainer("omsb_430", 1);
  Process second(world, "second");
  ASSERT_TRUE(second.RunUntil([&] { return Stalled(world).starts_with("True"); }));
  EXPECT_EQ(Stalled(world), "True/ServicesNotHealthy");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("component container is not running"));
  world.StartByHand("omsb_430");
  ASSERT_TRUE(second.RunUntil([&] { return IsSettled(world); })) << Why(world);
  ExpectUpgraded(world, true);
}

TEST_P(Component, ThePlanSaysBeforehandThatThereIsNoWayBackForIt) {
  world.EditSpec([](nlohmann::json& spec) { spec["mode"] = "Plan"; });
  Process process(world);
  process.Settle();
  const auto plan = world.Resource().status.plan;
  ASSERT_TRUE(plan.has_value()) << Why(world);
  EXPECT_THAT(plan->steps,
              testing::Contains(testing::AllOf(testing::StartsWith("UpgradeComponents"),
                                               HasSubstr("NO WAY BACK"))));
  EXPECT_THAT(plan->steps,
              testing::Contains(testing::AllOf(testing::StartsWith("StopContainers"),
                                               HasSubstr("omsb_430 on oms-2 is not stopped"))));
  EXPECT_EQ(world.oms_writes, 0);
}

// --------------------------------------------------------------------------------- what is refused

std::string RefusedFor(World& world) {
  Process process(world);
  process.Settle();
  EXPECT_EQ(world.oms_writes, 0) << "nothing is touched";
  return Stalled(world);
}

TEST(ComponentRefused, WithoutAnAssistant) {
  Separated world;
  world.EditSpec([](nlohmann::json& spec) { spec["deployment"].erase("assistant"); });
  EXPECT_EQ(RefusedFor(world), "True/InvalidSpec");
}

TEST(ComponentRefused, WithoutTheAssistantsArchive) {
  Separated world;
  world.files.erase(fakes::kAssistantArchive);
  EXPECT_EQ(RefusedFor(world), "True/ArchiveNotFound");
}

TEST(ComponentRefused, BesideAPersonWhoDoesItByHand) {
  Separated world;
  world.images["tools"] = world.images.begin()->second;
  world.images["tools"].id = "sha256:tools";
  ASSERT_TRUE(world.CreateLocked(kAssistant, {{"Image", "tools"}}, fakes::kSecondEngine).ok());
  EXPECT_EQ(RefusedFor(world), "True/NameTaken");
}

TEST(ComponentRefused, WithoutARunFolderOfTheHost) {
  Separated world;
  auto& mounts = world.Find("omsb_430")->info.mounts;
  std::erase_if(mounts, [](const auto& mount) { return mount.destination == "/home/ds/run"; });
  EXPECT_NE(RefusedFor(world).find("True/"), std::string::npos);
}

TEST(ComponentRefused, WhereTwoTablesAreNotRenamedInOneStatementAndGoesOnWithoutTasks) {
  Separated world;
  world.no_two_table_rename = true;
  EXPECT_EQ(RefusedFor(world), "True/TwoTableRenameMissing");
  world.EditSpec([](nlohmann::json& spec) { spec["deployment"]["keepTasksRunning"] = false; });
  Process process(world);
  EXPECT_TRUE(process.RunToReady()) << Why(world);
}

TEST(ComponentRefused, WhereTheSecondServerIsTheOneThatCannotRename) {
  Separated world;
  world.SeparateCm();
  auto& second = world.host_files["/data2/conf/config.yaml"].content;
  const std::string first = world.host_files["/data/conf/config.yaml"].content;
  second.resize(second.find("\"oms_meta_host\""));
  second += first.substr(first.find("\"oms_cm_meta_host\""));
  world.no_two_table_rename = true;
  EXPECT_EQ(RefusedFor(world), "True/TwoTableRenameMissing");
}

// ---------------------------------------------------------------------------------------- crashes

int WritesOfAWholeRun() {
  Separated world;
  Process process(world);
  EXPECT_TRUE(process.RunToReady()) << Why(world);
  return world.WritesOf(process.life);
}

class ComponentCrash : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(EachWrite, ComponentCrash, testing::Range(0, kShards));

TEST_P(ComponentCrash, LeadsToTheSameEnd) {
  const int all = WritesOfAWholeRun();
  for (int n = 1 + GetParam(); n <= all && !HasFailure(); n += kStride) {
    Separated world(n % 2 == 0);
    SCOPED_TRACE(DiesUpgrading(world, n, n / 2 % 2 == 0 ? Life::End::kAfter : Life::End::kBefore));
    TheNextUpgrades(world);
    ExpectUpgraded(world);
  }
}

TEST_P(ComponentCrash, AndThenRevertedGoesBackWhole) {
  const int all = WritesOfAWholeRun();
  for (int n = 1 + GetParam(); n <= all && !HasFailure(); n += kStride) {
    Separated world(n % 2 == 0);
    SCOPED_TRACE(DiesUpgrading(world, n, Life::End::kAfter));
    const auto record = world.Record();
    const bool restored = record && record->Passed(PointKind::kNewStarting);
    GoBack(world);
    TheNextDiesAndAnotherGoesBack(world, 5 + n % 37, [&] { return IsSettled(world); });
    ExpectOldAgain(world, restored);
  }
}

}  // namespace
}  // namespace oms

// Going back, over a world in memory: from every place, and with a death at every write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <tuple>

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
using model::PointKind;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// OMS is what it was before the upgrade was asked for.
void ExpectAsBefore(World& world, bool was_down = true) {
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_EQ(world.databases["oms_cm"], "cm of 4.3.0");
  EXPECT_EQ(world.databases["oms_cm_hb"], "beats");
  EXPECT_LE(world.script_runs, 1);
  ASSERT_NE(world.Find("oms_430"), nullptr);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("oms_430")->info.restart_policy, "always");
  EXPECT_EQ(world.Find("oms_431"), nullptr);
  EXPECT_EQ(world.containers.size(), 1u) << "no helper is left over";
  EXPECT_EQ(world.host_files["/data/conf/config.yaml"].content, fakes::kOldConfig);
  EXPECT_TRUE(world.sequence.base.exists);
  EXPECT_FALSE(world.sequence.bak.exists || world.sequence.bak2.exists);
  EXPECT_GE(world.sequence.base.max_id, 100'000u) << "ids never go backwards";
  ASSERT_TRUE(world.ha.has_value());
  const auto ha = product::ReadHa(*world.ha);
  ASSERT_TRUE(ha.ok());
  EXPECT_TRUE(ha->enabled);
  EXPECT_THAT(*world.ha, HasSubstr(R"("ownKey": [1, 2])"));
  if (was_down) {
    EXPECT_TRUE(ha->perceive) << "what the guide asks for after a rollback";
  } else {
    EXPECT_EQ(world.ha, fakes::kHaText);
  }
  const auto record = world.Record();
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->outcome, model::OperationOutcome::kRolledBack);
  EXPECT_EQ(world.row->operation_id, "");
  EXPECT_EQ(world.Resource().status.current_version, "4.3.0");
}

// ------------------------------------------------------------------------- from every place

// A place in the upgrade at which the first process dies, and what of it is held.
struct Place {
  const char* name;
  const char* last_write;  // The write after which it dies.
  bool was_down;
};
class FromEveryPlace : public testing::TestWithParam<Place> {};

TEST_P(FromEveryPlace, ARevertBringsTheOldVersionBack) {
  World world;
  {
    Process first(world, "first");
    first.life.DieAfter(GetParam().last_write);
    ASSERT_FALSE(first.RunToReady()) << "it never came to this write";
  }
  Wants(world, "4.3.0");
  Process second(world, "second");
  ASSERT_TRUE(RunBack(world, second)) << Why(world) << second.LastError();
  ExpectAsBefore(world, GetParam().was_down);
}
INSTANTIATE_TEST_SUITE_P(
    Upgrade, FromEveryPlace,
    testing::Values(Place{"ImageLoaded", "LoadImage", false},
                    Place{"ContainerCreated", "Create oms_431", false},
                    Place{"HaOff", "SwapHaConfig", false}, Place{"Stopped", "Stop oms_430", true},
                    Place{"Compacting", "Compact", true}, Place{"Dumping", "Dump begins", true},
                    Place{"Dumped", "WriteFile manifest.json", true},
                    Place{"Started", "Start oms_431", true}, Place{"Script", "RunScript", true},
                    Place{"Healthy", "SetRestartPolicy always oms_431", true}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Rollback, AfterSuccessBringsTheDataOfBeforeBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  const auto upgraded = *world.Record();
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectAsBefore(world);
  const auto record = *world.Record();
  EXPECT_EQ(record.undoes, (model::OperationRef{upgraded.id, upgraded.folder}));
  EXPECT_NE(record.folder, upgraded.folder);
  ASSERT_TRUE(record.upgraded_state.has_value());
  EXPECT_TRUE(record.upgraded_state->complete);
  EXPECT_THAT(world.files[record.folder + "/upgraded/1/oms_rm/data.sql"], HasSubstr("rm of 4.3.1"));
  const auto status = world.Resource().status;
  ASSERT_GE(status.history.size(), 2u);
  EXPECT_EQ(status.history[0].outcome, crd::HistoryOutcome::kRolledBack);
  EXPECT_EQ(status.history[1].outcome, crd::HistoryOutcome::kSucceeded);
  EXPECT_TRUE(status.operation->t3 && status.operation->t2 && status.operation->downtime);
  EXPECT_EQ(ConditionOf(world.Resource(), "DatabasesRestored"), "True/Done");
  EXPECT_EQ(ConditionOf(world.Resource(), "RollbackCompleted"), "True/Done");
  EXPECT_EQ(ConditionOf(world.Resource(), "DatabasesBackedUp"), "False/Reverted");
}

TEST(Rollback, LooksAgainWhereTheEngineShowsNoFilesOfAStoppedContainer) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  Wants(world, "4.3.0");
  world.dump_held = true;  // Of the upgraded state.
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  const auto files = std::exchange(world.host_files, {});
  EXPECT_TRUE(process.RunUntil([&] { return Ready(world) == "Unknown/NotAnOMSContainer"; }, 5))
      << Ready(world);
  EXPECT_TRUE(Stalled(world).starts_with("False")) << Stalled(world);
  world.host_files = files;
  world.Release();
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectAsBefore(world);
}

TEST(Rollback, ForwardAgainAfterItIsANewUpgrade) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  Wants(world, "4.3.1");
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
  EXPECT_EQ(world.script_runs, 2) << "once in each operation";
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");
  EXPECT_TRUE(world.Find("oms_431")->info.running);
}

TEST(Rollback, OfARunningScriptEndsItWithItsContainer) {
  World world;
  world.script_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  world.Release();
  ExpectAsBefore(world);
}

TEST(Rollback, OfAFailedScriptNeedsNoMoreThanTheRevert) {
  World world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  ExpectAsBefore(world);
  EXPECT_FALSE(world.Record()->Restore("oms_rm").restored)
      << "a database that still equals its backup is left alone";
}

TEST(Rollback, OfAContainerThatDiedAndOfAnUnknownScript) {
  for (const bool dies : {true, false}) {
    World world;
    (dies ? world.new_dies_at_start : world.script_vanishes) = true;
    Process process(world);
    process.Settle();
    ASSERT_THAT(Stalled(world), StartsWith("True/"));
    Wants(world, "4.3.0");
    ASSERT_TRUE(RunBack(world, process)) << Why(world);
    ExpectAsBefore(world);
  }
}

TEST(Rollback, AfterSuccessIsNotBegunWhileSuspendedAndNotHeldOnceBegun) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.0";
    spec["suspend"] = true;
  });
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Suspended");
  EXPECT_EQ(world.drops, 0);
  world.restore_held = true;
  world.EditSpec([](json& spec) { spec["suspend"] = false; });
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) { spec["suspend"] = true; });
  world.Release();
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  ExpectAsBefore(world);
}

TEST(Rollback, OfASuspendedUpgradeNeedsNoMoreThanTheRevert) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) { spec["suspend"] = true; });
  world.Release();
  process.Settle();
  ASSERT_EQ(Ready(world), "False/Suspended");
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectAsBefore(world);
}

TEST(Rollback, ByPolicyIsHeldBySuspend) {
  World world;
  world.script_exit_code = 3;
  world.script_held = true;
  Process process(world);
  world.EditSpec([](json& spec) { spec["strategy"]["onFailure"] = "Rollback"; });
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  // The way back comes no further than the dump of what is there.
  world.Locked([&] {
    world.dump_held = true;
    world.script_held = false;
  });
  world.Wake();
  ASSERT_TRUE(process.RunUntil(
      [&] { return world.Record()->direction == model::Direction::kRollback && world.Held(); }));
  world.EditSpec([](json& spec) { spec["suspend"] = true; });
  world.Release();
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Suspended");
  EXPECT_EQ(world.drops, 0);
}

// -------------------------------------------------------------------------------- what can go
// wrong

TEST(Rollback, ABackupThatWasChangedOnDiskStopsItBeforeAnythingIsStoppedOrDropped) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  const auto record = *world.Record();
  const std::string file = record.folder + "/" + record.backup->folder + "/oms_cm/data.sql";
  const std::string whole = world.files[file];
  world.Locked([&] { world.files[file][3] ^= 1; });
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/BackupCorrupt");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("oms_cm/data.sql"));
  EXPECT_EQ(world.drops, 0);
  EXPECT_TRUE(world.Find("oms_431")->info.running) << "OMS goes on as it is";
  world.Locked([&] { world.files[file] = whole; });
  world.Annotate(crd::kResetAt, "mended");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  ExpectAsBefore(world);
}

TEST(Rollback, ALoadThatFailsOrIsCutOffIsBegunAgainFromTheFront) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.loads_to_fail = 2;
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectAsBefore(world);
}

TEST(Rollback, ALoadThatDiffersIsDoneOnceMoreAndThenAPersonsCase) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.loads_to_spoil = 6;
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/RestoreDiffers");
  EXPECT_FALSE(world.OmsRuns());
  world.loads_to_spoil = 0;
  world.Annotate(crd::kResetAt, "again");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  ExpectAsBefore(world);
}

TEST(Rollback, AStateInUseThatCannotBeDumpedIsNotDroppedWithoutAWord) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.dumps_to_fail = 1000;
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/UpgradedStateUnsaved");
  EXPECT_EQ(world.drops, 0);
  world.Annotate(crd::kAccept, "UpgradedStateUnsaved-" + world.Record()->id.substr(0, 8));
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  ExpectAsBefore(world);
  EXPECT_FALSE(world.Record()->upgraded_state->complete);
}

TEST(Rollback, AnOldContainerThatSomebodyRemovedIsMadeAgain) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.Locked([&] { world.containers.erase(std::string(world.Find("oms_430")->info.id)); });
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectAsBefore(world);
  EXPECT_EQ(world.Find("oms_430")->info.EnvValue("HTTP_PROXY"), "http://proxy");
  EXPECT_THAT(world.events, Contains(HasSubstr("OldContainerRecreated")));
}

// Somebody's container takes the old one's name, and its id is the answer.
std::string TakeTheOldName(World& world) {
  auto container = *world.Find("oms_430");
  world.containers.erase(container.info.id);
  container.info.image_id = "sha256:of-somebody-else";
  container.info.id = world.NewId();
  world.containers[container.info.id] = container;
  return container.info.id;
}

void ExpectToldAndNotTouched(World& world, Process& process, const std::string& foreign) {
  EXPECT_EQ(Stalled(world), "True/NameTaken");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("another one of that name"));
  EXPECT_EQ(world.Find("oms_430")->info.id, foreign);
  EXPECT_FALSE(world.Find("oms_430")->info.running);
  EXPECT_THAT(world.events, Not(Contains(HasSubstr("OldContainerRecreated"))));
  world.Locked([&] { world.containers.erase(foreign); });
  world.Annotate(crd::kResetAt, "removed");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectAsBefore(world);
}

TEST(Rollback, AnotherContainerInTheOldOnesPlaceIsToldAndNotTouched) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  const auto foreign = world.Locked([&] { return TakeTheOldName(world); });
  Wants(world, "4.3.0");
  process.Settle();
  ExpectToldAndNotTouched(world, process, foreign);
}

TEST(Rollback, ANameThatIsTakenJustBeforeTheOldOneIsMadeAgainIsNoSuccess) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  const World::Container old = *world.Find("oms_430");
  world.Locked([&] { world.containers.erase(old.info.id); });
  std::string foreign;
  world.before_create = [&] {
    if (!foreign.empty()) return;
    world.containers[old.info.id] = old;
    foreign = TakeTheOldName(world);
  };
  Wants(world, "4.3.0");
  process.Settle();
  ASSERT_FALSE(foreign.empty());
  ExpectToldAndNotTouched(world, process, foreign);
}

TEST(Rollback, AnHaTableThatTheUpgradeHasLeftUnreadableDoesNotHoldTheWayBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.Locked([&] { world.ha_unreadable = true; });
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectAsBefore(world);
}

TEST(Rollback, ARowOfAnotherMetaDbIsNeverRestoredInto) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  Wants(world, "4.3.0");
  world.restore_held = true;
  // All three are dropped, and none is loaded yet.
  ASSERT_TRUE(process.RunUntil(
      [&] { return world.Locked([&] { return world.drops == 3 && world.held_ > 0; }); }));
  world.Locked([&] { world.server_identity = "tenant-2"; });
  world.Release();
  process.AwaitTasks();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/WrongMetaDB");
  EXPECT_EQ(world.drops, 3);
  world.Locked([&] { world.server_identity = "tenant-1"; });
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  ExpectAsBefore(world);
}

// --------------------------------------------------------------------------------- whose wish it
// is

TEST(Policy, RollbackTurnsAFailedUpgradeBackAndDoesNotTryTheSameGenerationAgain) {
  World world;
  world.EditSpec([](json& spec) { spec["strategy"] = {{"onFailure", "Rollback"}}; });
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Ready(world), "False/RolledBackAfterFailure");
  EXPECT_EQ(Stalled(world), "True/RolledBackAfterFailure");
  ExpectAsBefore(world);
  EXPECT_EQ(world.script_runs, 1);
  world.script_exit_code = 0;
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Stalled(world), "True/RolledBackAfterFailure") << "also after a restart";
  world.Annotate(crd::kResetAt, "again");
  ASSERT_TRUE(second.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
}

TEST(Turns, AThirdVersionAfterTheStopWaitsForTheEndOfAHealthyUpgrade) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  Wants(world, "4.2.9");
  world.Release();
  process.Settle();
  EXPECT_EQ(world.Resource().status.history.at(0).outcome, crd::HistoryOutcome::kSucceeded);
  EXPECT_EQ(Stalled(world), "True/DowngradeRefused");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("or to 4.3.0"));
}

TEST(Turns, AThirdVersionIsCarriedWithItsOwnImage) {
  World world;
  world.archives["/images/oms_4.3.2.tar.gz"] = "oms:4.3.2";
  world.files["/images/oms_4.3.2.tar.gz"] = "the archive of 4.3.2";
  world.load_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.2";
    spec["image"] = {{"reference", "oms:4.3.2"}, {"archive", "/images/oms_4.3.2.tar.gz"}};
  });
  world.Release();
  ASSERT_TRUE(process.RunUntil([&] {
    return world.Record() && world.Record()->to.ToString() == "4.3.2";
  })) << Why(world);
  EXPECT_EQ(world.Record()->image.reference, "oms:4.3.2");
}

TEST(Turns, ARevertThatIsIgnoredDoesNotChangeTheImageThatIsCarried) {
  World world;
  world.EditSpec([](json& spec) { spec["strategy"]["onVersionRevert"] = "Ignore"; });
  world.load_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.0";
    spec["image"] = {{"reference", "oms:4.3.0"}, {"archive", "/images/oms_4.3.0.tar.gz"}};
  });
  world.Release();
  process.Settle();
  EXPECT_EQ(world.Record()->outcome, model::OperationOutcome::kSucceeded) << Why(world);
  EXPECT_EQ(world.Find("oms_431")->info.image_id, "sha256:oms431");
}

TEST(Turns, AnEditForwardInTheMiddleOfARollbackWaitsForItsEnd) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  Wants(world, "4.3.0");
  world.restore_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  Wants(world, "4.3.1");
  world.Release();
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
  const auto history = world.Resource().status.history;
  ASSERT_EQ(history.size(), 3u);
  EXPECT_EQ(history[1].outcome, crd::HistoryOutcome::kRolledBack);
}

TEST(Deletion, InTheMiddleRollsBackFirst) {
  World world;
  world.script_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) { spec["suspend"] = true; });
  world.Delete();
  process.RunUntil([&] { return world.Resource().meta.name.empty(); });
  world.Release();
  EXPECT_TRUE(world.Resource().meta.name.empty());
  EXPECT_TRUE(world.row->Free());
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
}

TEST(Deletion, AsAnOrphanLeavesEverythingAsItIs) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) { spec["deletionPolicy"] = "Orphan"; });
  world.Delete();
  process.Settle(10);
  world.Release();
  EXPECT_TRUE(world.Resource().meta.name.empty());
  EXPECT_FALSE(world.OmsRuns());
  EXPECT_NE(world.Find("oms_431"), nullptr);
}

TEST(Deletion, WhileNothingAnswersHasAClearWayOut) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  const std::string id = world.Record()->id;
  world.engine_down = true;
  world.Delete();
  world.Release();
  process.Settle(10);
  ASSERT_FALSE(world.Resource().meta.name.empty());
  EXPECT_THAT(world.Resource().status.message, HasSubstr("oms.oceanbase.com/abandon=" + id));
  world.Annotate(crd::kAbandon, "another");
  process.Settle(10);
  ASSERT_FALSE(world.Resource().meta.name.empty());
  world.Annotate(crd::kAbandon, id);
  process.Settle(10);
  EXPECT_TRUE(world.Resource().meta.name.empty());
  EXPECT_THAT(world.events, Contains(HasSubstr("Abandoned")));
}

TEST(Abandon, GivesAnOpenOperationUpAndLeavesAllAsItIs) {
  World world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  const int before = world.oms_writes;
  world.Annotate(crd::kAbandon, world.Record()->id);
  process.Settle();
  EXPECT_EQ(world.Record()->outcome, model::OperationOutcome::kAbandoned);
  EXPECT_EQ(world.row->operation_id, "");
  EXPECT_EQ(world.oms_writes, before);
}

// ------------------------------------------------------------------------------- it can die
// anywhere

// The writes of a rollback after success, done by one process.
int WritesOfARollback() {
  World world;
  {
    Process first(world, "first");
    EXPECT_TRUE(first.RunToReady());
  }
  Wants(world, "4.3.0");
  Process second(world, "second");
  EXPECT_TRUE(RunBack(world, second)) << Why(world);
  ExpectAsBefore(world);
  return world.WritesOf(second.life);
}

struct How {
  const char* name;
  Life::End end;
  bool erase_status;
};
constexpr int kShards = 4;
constexpr int kStride = kShards * fixtures::kEvery;
class RollbackCrashes : public testing::TestWithParam<std::tuple<How, int>> {};

TEST_P(RollbackCrashes, LeadToTheSameEnd) {
  const auto& [how, shard] = GetParam();
  const int all = WritesOfARollback();
  ASSERT_GT(all, 30);
  for (int n = 1 + shard; n <= all && !HasFailure(); n += kStride) {
    World world;
    {
      Process first(world, "first");
      ASSERT_TRUE(first.RunToReady());
    }
    Wants(world, "4.3.0");
    std::string last;
    {
      Process second(world, "second");
      second.life.DieAt(n, how.end);
      (void)RunBack(world, second);
      last = world.Locked([&] { return world.log.back(); });
    }
    if (how.erase_status) world.EraseStatus();
    SCOPED_TRACE("died at write " + std::to_string(n) + ", the last that was done: " + last);
    Process third(world, "third");
    EXPECT_TRUE(RunBack(world, third)) << Why(world) << third.LastError();
    ExpectAsBefore(world);
  }
}
INSTANTIATE_TEST_SUITE_P(
    EachWrite, RollbackCrashes,
    testing::Combine(testing::Values(How{"After", Life::End::kAfter, false},
                                     How{"Before", Life::End::kBefore, false},
                                     How{"AfterWithTheStatusErased", Life::End::kAfter, true}),
                     testing::Range(0, kShards)),
    [](const auto& row) {
      return std::string(std::get<0>(row.param).name) + std::to_string(std::get<1>(row.param));
    });

// The upgrade dies at each of its writes, and is reverted while nobody looks.
class RevertedAtEachWrite : public testing::TestWithParam<int> {};

TEST_P(RevertedAtEachWrite, ComesBackToTheOldVersion) {
  int all = 0;
  {
    World world;
    Process process(world);
    ASSERT_TRUE(process.RunToReady());
    all = world.WritesOf(process.life);
  }
  for (int n = 1 + GetParam(); n <= all && !HasFailure(); n += kStride) {
    World world;
    std::string last;
    {
      Process first(world, "first");
      first.life.DieAt(n, Life::End::kAfter);
      (void)first.RunToReady();
      last = world.Locked([&] { return world.log.empty() ? std::string() : world.log.back(); });
    }
    const bool began = world.Record().has_value();
    SCOPED_TRACE("died at write " + std::to_string(n) + ", the last that was done: " + last);
    Wants(world, "4.3.0");
    Process second(world, "second");
    EXPECT_TRUE(second.RunUntil([&] { return Ready(world).starts_with("True"); }))
        << Why(world) << second.LastError();
    if (began) {
      ExpectAsBefore(world, world.Record()->Passed(PointKind::kStopping));
    } else {
      EXPECT_EQ(world.oms_writes, 0);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Upgrade, RevertedAtEachWrite, testing::Range(0, kShards));

}  // namespace
}  // namespace oms

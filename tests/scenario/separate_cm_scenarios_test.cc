// An OMS whose cm and cm_hb lie on another server than rm: every promise on each of the two.
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

using fakes::kCmServer;
using fakes::kRmServer;
using fakes::Life;
using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;

constexpr int kShards = 6;
constexpr int kStride = 2 * kShards * fixtures::kEvery;
constexpr uint64_t kRmTimeout = 10'000'000, kCmTimeout = 20'000'000;

struct SeparateWorld : World {
  SeparateWorld() { SeparateCm(); }
};
// mysqldump has the longer way: it also touches a setting of either server.
struct MysqldumpWorld : SeparateWorld {
  MysqldumpWorld() {
    EditSpec([](json& spec) { spec["backup"]["tool"] = "mysqldump"; });
  }
};

void ExpectServersAsTheyWere(World& world) {
  EXPECT_EQ(world.query_timeout, kRmTimeout);
  EXPECT_EQ(world.cm_query_timeout, kCmTimeout);
}

void ExpectUpgraded(World& world) {
  EXPECT_EQ(Ready(world), "True/Succeeded") << Why(world);
  EXPECT_EQ(world.script_runs, 1);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");
  EXPECT_EQ(world.databases["oms_cm"], "cm of 4.3.1");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  EXPECT_FALSE(world.sequence.bak.exists || world.sequence.bak2.exists);
  ExpectServersAsTheyWere(world);
  const auto record = world.Record();
  ASSERT_TRUE(record && record->backup);
  EXPECT_FALSE(record->open());
  ASSERT_EQ(record->databases.size(), 3U);
  EXPECT_EQ(record->databases[0].server, "tenant-1");
  EXPECT_EQ(record->databases[1].server, "tenant-2");
  EXPECT_EQ(record->databases[2].server, "tenant-2");
  const std::string folder = record->folder + "/" + record->backup->folder;
  const auto manifest = record::Manifest::FromJson(world.files[folder + "/manifest.json"]);
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->Find("oms_rm")->server, kRmServer);
  EXPECT_EQ(manifest->Find("oms_cm")->server, kCmServer);
  EXPECT_EQ(manifest->Find("oms_cm_hb")->server, kCmServer);
  EXPECT_EQ(manifest->Find("oms_cm_hb")->server_identity, "tenant-2");
}

bool IsBack(World& world) {
  const auto resource = world.Resource();
  return resource.status.observed_generation == resource.meta.generation &&
         Ready(world).starts_with("True");
}

void ExpectOldAgain(World& world) {
  EXPECT_TRUE(IsBack(world)) << Why(world);
  ASSERT_NE(world.Find("oms_430"), nullptr);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_EQ(world.databases["oms_cm"], "cm of 4.3.0");
  EXPECT_EQ(world.databases["oms_cm_hb"], "beats");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  ExpectServersAsTheyWere(world);
  const auto record = world.Record();
  EXPECT_FALSE(record && record->open());
}

std::string RefusedFor(World& world) {
  Process process(world);
  process.Settle();
  EXPECT_EQ(world.oms_writes, 0) << "nothing is touched";
  return Stalled(world);
}

ports::DbConnection ReporterOnCm() {
  ports::DbConnection other;
  other.server = kCmServer;
  other.id = 5;
  other.user = "report";
  other.database = "oms_cm";
  return other;
}

// ----------------------------------------------------------------------------------- there and
// back

TEST(SeparateCm, IsUpgradedWithEachDatabaseOnItsServer) {
  SeparateWorld world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world) << process.LastError();
  ExpectUpgraded(world);
  EXPECT_THAT(world.log, Contains("ProveFence"));
  EXPECT_THAT(world.log, Contains("ProveFence of CM"));
  EXPECT_THAT(world.log, Contains("ProveRights of CM"));
  const auto record = world.Record();
  const std::string restore =
      world.files[record->folder + "/" + record->backup->folder + "/RESTORE.md"];
  EXPECT_THAT(
      restore,
      HasSubstr("--defaults-file=client.cnf --local-infile=0 --protocol=tcp -h 10.0.0.3 -P 2883"));
  EXPECT_THAT(
      restore,
      HasSubstr(
          "--defaults-file=client-cm.cnf --local-infile=0 --protocol=tcp -h 10.0.0.4 -P 2881"));
  EXPECT_THAT(restore, HasSubstr("make `client-cm.cnf` in the same way for 10.0.0.4:2881"));
}

TEST(SeparateCm, GoesBackLongAfterSuccess) {
  SeparateWorld world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world) << process.LastError();
  ExpectOldAgain(world);
  EXPECT_EQ(world.drops, 3);
}

TEST(SeparateCm, GoesBackFromAFailedScript) {
  SeparateWorld world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  Wants(world, "4.3.0");
  ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
  ExpectOldAgain(world);
}

TEST(SeparateCm, OfBefore401IsLookedAtOnBothServers) {
  World world("3.4.0");
  world.SeparateCm();
  world.legacy.black_regions = {"7"};
  world.legacy.duplicates = {{"oms_project", "twice", 2, {"1", "2"}}};
  EXPECT_EQ(RefusedFor(world), "True/DuplicateTaskNames");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("twice"));
  world.legacy.duplicates.clear();
  EXPECT_EQ(RefusedFor(world), "True/BlackRegionNoChanged");
}

// -------------------------------------------------------------------------------- the prerequisite

TEST(SeparateCm, WaitsForTheWordThatItsTasksAreReady) {
  SeparateWorld world;
  world.EditSpec([](json& spec) { spec["acknowledge"] = json::array(); });
  EXPECT_EQ(RefusedFor(world), "True/AcknowledgementNeeded");
  const std::string message = world.Resource().status.message;
  EXPECT_THAT(message, HasSubstr("spec.acknowledge: [TasksReadyForSeparateCM]"));
  EXPECT_THAT(message, HasSubstr("Full-Import and Incr-Sync"));
  EXPECT_THAT(message, HasSubstr("Incr-Sync alone, in the reverse increment step"));
  EXPECT_THAT(message, HasSubstr("Full-Import alone past the end"));
  world.EditSpec([](json& spec) { spec["acknowledge"] = {"TasksReadyForSeparateCM"}; });
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  ExpectUpgraded(world);
}

TEST(SeparateCm, ThatIsTheSameServerByAnotherNameAsksForNothing) {
  SeparateWorld world;
  world.cm_identity = world.server_identity;
  world.EditSpec([](json& spec) { spec["acknowledge"] = json::array(); });
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.Record()->databases[1].server, "tenant-1");
}

// --------------------------------------------------------------------------------- what is refused

TEST(SeparateCmRefused, AServerThatCannotBeFenced) {
  SeparateWorld world;
  world.cm_cannot_fence = true;
  EXPECT_EQ(RefusedFor(world), "True/CannotFence");
  EXPECT_THAT(world.Resource().status.message, HasSubstr(kCmServer));
}

TEST(SeparateCmRefused, AServerThatGivesNoRights) {
  SeparateWorld world;
  world.cm_no_rights = true;
  EXPECT_EQ(RefusedFor(world), "True/MetaDBDenied");
  EXPECT_THAT(world.Resource().status.message, HasSubstr(kCmServer));
}

TEST(SeparateCmRefused, OneWayForBoth) {
  SeparateWorld world;
  world.EditSpec([](json& spec) { spec["metaDB"]["connect"]["host"] = "10.0.0.3"; });
  EXPECT_EQ(RefusedFor(world), "True/InvalidSpec");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("spec.metaDB.cm.connect"));
}

TEST(SeparateCmRefused, AWayToAnotherServerThanConfigYamlHas) {
  World world;  // All on one.
  world.separate_cm = true;
  world.cm_password = "new-word";
  world.api.Put({"", "v1", "secrets"}, {{"metadata", {{"namespace", "ns"}, {"name", "of-cm"}}},
                                        {"data", {{"password", "bmV3LXdvcmQ="}}}});
  world.EditSpec([](json& spec) {
    spec["metaDB"]["cm"]["connect"] = {
        {"host", "10.0.0.4"}, {"port", 2881}, {"passwordSecretRef", {{"name", "of-cm"}}}};
  });
  EXPECT_EQ(RefusedFor(world), "True/NotThisOMS");
}

TEST(SeparateCmRefused, AHeartbeatDatabaseOnAThirdServer) {
  SeparateWorld world;
  world.EditSpec([](json& spec) {
    spec["metaDB"]["cmHeartbeat"]["connect"] = {{"host", "10.0.0.5"}};
  });
  EXPECT_EQ(RefusedFor(world), "True/NotSupportedYet");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("spec.metaDB.cm"));
}

// ------------------------------------------------------------------------------ how it is reached

TEST(SeparateCm, IsReachedAsTheSpecSaysForEachAndItsSecretIsHeld) {
  SeparateWorld world;
  world.Locked([&] { world.cm_password = "new-word"; });
  const kube::ResourceType secrets{"", "v1", "secrets"};
  world.api.Put(secrets, {{"apiVersion", "v1"},
                          {"kind", "Secret"},
                          {"metadata", {{"namespace", "ns"}, {"name", "of-cm"}}},
                          {"data", {{"password", "bmV3LXdvcmQ="}}}});
  world.EditSpec([](json& spec) {
    spec["metaDB"]["cm"]["connect"]["passwordSecretRef"] = {{"name", "of-cm"}};
  });
  Process process(world);
  world.Locked([&] { world.dump_held = true; });
  (void)process.RunUntil([&] { return world.Held(); });
  const auto held = world.api.Find(secrets, {"ns", "of-cm"});
  ASSERT_TRUE(held.has_value());
  EXPECT_TRUE(held->at("metadata").contains("finalizers"));
  world.Release();
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  ExpectUpgraded(world);
}

TEST(SeparateCm, ThatIsAnotherServerInTheMiddleIsNotGoneOnWith) {
  for (const bool cm : {false, true}) {
    SeparateWorld world;
    {
      Process first(world, "first");
      first.life.DieAfter("Dump ends");
      EXPECT_FALSE(first.RunToReady());
    }
    world.Locked([&] { (cm ? world.cm_identity : world.server_identity) = "tenant-9"; });
    const auto row = world.Locked([&] { return world.row; });
    Process second(world, "second");
    second.Settle();
    EXPECT_EQ(Stalled(world), "True/WrongMetaDB");
    EXPECT_THAT(world.Resource().status.message,
                HasSubstr(cm ? "spec.metaDB.cm.connect" : "spec.metaDB.rm.connect"));
    EXPECT_EQ(world.row->epoch, row->epoch) << "nothing is claimed on a server that is another";
    world.Locked(
        [&] { (cm ? world.cm_identity : world.server_identity) = cm ? "tenant-2" : "tenant-1"; });
    ASSERT_TRUE(second.RunToReady()) << Why(world);
    ExpectUpgraded(world);
  }
}

TEST(SeparateCm, ItsQueryTimeoutIsPutBackWhereOnlyThatWasRaised) {
  MysqldumpWorld world;
  world.query_timeout = 48ULL * 3600 * 1'000'000;  // Of RM's server: long enough as it is.
  {
    Process first(world, "first");
    ASSERT_TRUE(first.RunToReady()) << Why(world);
  }
  Wants(world, "4.3.0");
  {
    Process second(world, "second");
    second.life.DieAfter("SetGlobalQueryTimeout");
    EXPECT_FALSE(second.RunUntil([&] { return IsBack(world); }));
  }
  ASSERT_NE(world.cm_query_timeout, kCmTimeout) << "raised to keep the upgraded state";
  world.EditSpec([](json& spec) { spec["backup"]["tool"] = "mydumper"; });
  Process third(world, "third");
  ASSERT_TRUE(third.RunUntil([&] { return IsBack(world); })) << Why(world);
  EXPECT_EQ(world.cm_query_timeout, kCmTimeout);
}

TEST(SeparateCm, ThatIsAwayAfterTheStopIsWaitedFor) {
  for (const bool back : {false, true}) {
    SeparateWorld world;
    Process process(world);
    world.Locked([&] { world.dump_held = true; });
    (void)process.RunUntil([&] { return world.Held(); });
    world.Locked([&] { world.cm_down = true; });
    world.Release();
    if (back) Wants(world, "4.3.0");
    process.Settle(40);
    EXPECT_THAT(world.Resource().status.message, HasSubstr("CM"));
    EXPECT_FALSE(world.OmsRuns());
    EXPECT_EQ(world.drops, 0);
    world.Locked([&] { world.cm_down = false; });
    ASSERT_TRUE(process.RunUntil([&] { return IsBack(world); })) << Why(world);
    back ? ExpectOldAgain(world) : ExpectUpgraded(world);
  }
}

// ----------------------------------------------------------------------------------------- others

TEST(SeparateCm, OthersAreEndedOnTheServerWhereTheyAre) {
  SeparateWorld world;
  world.foreign = {ReporterOnCm()};
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_TRUE(world.cm_killed.contains(5));
  EXPECT_FALSE(world.killed.contains(5)) << "that number is somebody else's on the other server";
  EXPECT_THAT(world.events,
              Contains(testing::AllOf(HasSubstr("ForeignConnectionsEnded"), HasSubstr("report"))));
  EXPECT_EQ(world.Record()->backup->folder, "dump/1");
  ExpectUpgraded(world);
}

TEST(SeparateCm, OneWhoComesToItDuringTheDumpMakesTheDumpWorthless) {
  SeparateWorld world;
  Process process(world);
  world.Locked([&] { world.dump_held = true; });
  (void)process.RunUntil([&] { return world.Held(); });
  world.Locked([&] { world.foreign = {ReporterOnCm()}; });
  world.Release();
  process.AwaitTasks();
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.Record()->backup->folder, "dump/2");
  ExpectUpgraded(world);
}

TEST(SeparateCm, AnOmsThatStillWritesThereMakesTheDumpWorthless) {
  SeparateWorld world;
  Process process(world);
  world.Locked([&] { world.dump_held = true; });
  (void)process.RunUntil([&] { return world.Held(); });
  world.Locked([&] { ++world.sequence.base.max_id; });
  world.Release();
  process.AwaitTasks();
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.Record()->backup->folder, "dump/2");
}

// --------------------------------------------------------------------------------------- takeovers

TEST(SeparateCm, ATakeoverEndsTheDumpsOfBothServers) {
  SeparateWorld world;
  Process first(world, "first");
  world.Locked([&] { world.dump_held = true; });
  (void)first.RunUntil([&] { return world.Held(); });
  ASSERT_TRUE(world.AwaitHeld(3));
  const auto registered = world.Locked([&] { return world.row->connections; });
  EXPECT_EQ(std::count_if(registered.begin(), registered.end(),
                          [](const auto& c) { return c.server == kCmServer; }),
            2);
  Process second(world, "second");
  (void)second.RunUntil(
      [&] { return world.Locked([&] { return world.row->process == "second"; }); });
  world.Locked([&] {
    for (const auto& connection : registered) {
      EXPECT_TRUE(world.IsKilledLocked(connection)) << connection.server << " " << connection.id;
    }
  });
  world.Release();
  ASSERT_TRUE(second.RunToReady()) << Why(world);
  ExpectUpgraded(world);
}

TEST(SeparateCm, ATakeoverWaitsForTheServerOnWhichItCannotKill) {
  SeparateWorld world;
  Process first(world, "first");
  world.Locked([&] { world.dump_held = true; });
  (void)first.RunUntil([&] { return world.Held(); });
  ASSERT_TRUE(world.AwaitHeld(3));
  const auto registered = world.Locked([&] { return world.row->connections; });
  Process second(world, "second");
  // It answers, and goes away in the moment of the claim.
  second.life.DieAfter("Claim row");
  (void)second.RunToReady();
  world.Locked([&] { world.cm_down = true; });
  Process third(world, "third");
  third.Settle(20);
  world.Locked([&] {
    EXPECT_EQ(world.row->connections, registered) << "nobody has ended them";
    world.cm_down = false;
  });
  (void)third.RunUntil([&] { return world.Locked([&] { return world.row->process == "third"; }); });
  world.Locked([&] {
    for (const auto& connection : registered) EXPECT_TRUE(world.IsKilledLocked(connection));
  });
  world.Release();
  ASSERT_TRUE(third.RunToReady()) << Why(world);
  ExpectUpgraded(world);
}

// ------------------------------------------------------------------------------------------
// crashes

int WritesOfAWholeRun() {
  MysqldumpWorld world;
  Process process(world);
  EXPECT_TRUE(process.RunToReady()) << Why(world);
  ExpectUpgraded(world);
  return world.WritesOf(process.life);
}

class SeparateCmCrash : public testing::TestWithParam<int> {};

TEST_P(SeparateCmCrash, AtEachWriteLeadsToTheSameEnd) {
  const int all = WritesOfAWholeRun();
  for (const auto end : {Life::End::kAfter, Life::End::kBefore}) {
    const int from = 1 + 2 * GetParam() + (end == Life::End::kAfter ? 0 : 1);
    for (int n = from; n <= all && !HasFailure(); n += kStride) {
      MysqldumpWorld world;
      SCOPED_TRACE(DiesUpgrading(world, n, end));
      TheNextUpgrades(world);
      ExpectUpgraded(world);
    }
  }
}

TEST_P(SeparateCmCrash, AtEachWriteAndThenRevertedGoesBackWhole) {
  const int all = WritesOfAWholeRun();
  for (int n = 1 + GetParam(); n <= all && !HasFailure(); n += kStride / 2) {
    MysqldumpWorld world;
    SCOPED_TRACE(DiesUpgrading(world, n, Life::End::kAfter));
    Wants(world, "4.3.0");
    TheNextDiesAndAnotherGoesBack(world, 5 + n % 41, [&] { return IsBack(world); });
    ExpectOldAgain(world);
  }
}

TEST_P(SeparateCmCrash, OneThatGoesOnLateChangesNothing) {
  const int all = WritesOfAWholeRun();
  for (int n = 1 + GetParam(); n <= all && !HasFailure(); n += kStride) {
    MysqldumpWorld world;
    SCOPED_TRACE("stands still before write " + std::to_string(n));
    if (GoesOnLate(world, n, [] {})) ExpectUpgraded(world);
  }
}
INSTANTIATE_TEST_SUITE_P(EachWrite, SeparateCmCrash, testing::Range(0, kShards));

}  // namespace
}  // namespace oms

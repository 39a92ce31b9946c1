// Between operations, and where one is given up, called off, taken over or lost sight of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/model/labels.h"
#include "reconcilers/oms/ha_config.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Process;
using fakes::World;
using model::OperationOutcome;
using model::PointKind;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const kube::ResourceType kSecrets{"", "v1", "secrets"};

void Wants432(World& world) {
  world.archives["/images/oms_4.3.2.tar.gz"] = "oms:4.3.2";
  world.files["/images/oms_4.3.2.tar.gz"] = "the archive of 4.3.2";
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.2";
    spec["image"] = {{"reference", "oms:4.3.2"}, {"archive", "/images/oms_4.3.2.tar.gz"}};
  });
}

TEST(WayBack, ToAContainerThatIsGoneStartsTheConsoleThatItsUpgradeHeld) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  Wants432(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Find("oms_432") != nullptr; }));
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  world.Locked([&] { world.containers.erase(std::string(world.Find("oms_431")->info.id)); });
  world.consoles["oms_431"] = "STOPPED";  // As IS_UPGRADE holds it in a new file system.
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.1";
    spec["image"] = {{"reference", "oms:4.3.1"}, {"archive", fakes::kArchive}};
  });
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.consoles["oms_431"], "RUNNING");
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
}

// ------------------------------------------------------------------------------------ given up

TEST(Abandoned, IsNeitherReadyNorBegunAgainByItself) {
  World world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  world.Annotate(crd::kAbandon, world.Record()->id);
  process.Settle();
  EXPECT_EQ(world.Record()->outcome, OperationOutcome::kAbandoned);
  EXPECT_EQ(Ready(world), "False/Abandoned") << "the new container runs, half migrated";
  EXPECT_THAT(ConditionOf(world.Resource(), "ServicesHealthy"), StartsWith("Unknown"));
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("HA was switched off")));
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("RESTORE.md")));
  EXPECT_THAT(world.Resource().status.follow_ups,
              Contains(HasSubstr("Remove /data/conf/config-4.3.1.yaml on node oms-1")));
  EXPECT_EQ(world.Resource().status.last_handled.abandon, world.Record()->id);
  // By hand, as RESTORE.md and the follow-ups say.
  world.EndContainer("oms_431", 0);
  world.Locked([&] { world.containers.erase(std::string(world.Find("oms_431")->info.id)); });
  world.StartByHand("oms_430");
  world.Locked([&] { world.host_files.erase("/data/conf/config-4.3.1.yaml"); });
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Ready(world), "False/Abandoned");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  world.script_exit_code = 0;
  world.EditSpec([](json& spec) { spec["historyLimit"] = 7; });
  EXPECT_TRUE(RunUp(world, second)) << Why(world);
}

TEST(Abandoned, WhileNothingAnswersIsWrittenDownAndHoldsWhenItAnswersAgain) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  const std::string id = world.Record()->id;
  world.Locked([&] { world.engine_down = true; });
  world.Annotate(crd::kAbandon, "another");
  world.Release();
  process.Settle(10);
  EXPECT_TRUE(world.Record()->open());
  world.Annotate(crd::kAbandon, id);
  process.Settle(10);
  EXPECT_EQ(world.Record()->outcome, OperationOutcome::kAbandoned);
  EXPECT_EQ(Ready(world), "False/Abandoned") << Why(world);
  const int n = static_cast<int>(world.records.at(world.row->folder).size());
  process.Settle(10);
  EXPECT_EQ(world.records.at(world.row->folder).size(), static_cast<size_t>(n)) << "once";
  world.Locked([&] { world.engine_down = false; });
  process.Settle(10);
  EXPECT_EQ(Ready(world), "False/Abandoned") << Why(world);
  EXPECT_EQ(world.row->operation_id, "");
}

// ---------------------------------------------------------------------------------- called off

TEST(CalledOff, AnUndoBeforeItsStopLeavesEverythingAsItWas) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  const auto upgraded = *world.Record();
  world.Locked([&] {  // What it finds to be wrong.
    world.files[upgraded.folder + "/" + upgraded.backup->folder + "/oms_cm/data.sql"][3] ^= 1;
  });
  Wants(world, "4.3.0");
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/BackupCorrupt");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("set spec.version to 4.3.1 again"));
  Wants(world, "4.3.1");
  process.Settle();
  EXPECT_EQ(Ready(world), "True/UpToDate") << Why(world);
  EXPECT_EQ(world.Record()->outcome, OperationOutcome::kCalledOff);
  EXPECT_TRUE(world.Find("oms_431")->info.running);
  EXPECT_EQ(world.drops, 0);
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  EXPECT_EQ(world.Resource().status.history.at(0).outcome, crd::HistoryOutcome::kSuperseded);
  // The way back is still one.
  world.Locked([&] {
    world.files[upgraded.folder + "/" + upgraded.backup->folder + "/oms_cm/data.sql"][3] ^= 1;
  });
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
}

// ------------------------------------------------------------------------- more than one upgrade

TEST(WayBack, OfTheUpgradeBeforeOneThatWasTakenBackIsStillThere) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.load_held = true;
  Wants432(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  Wants(world, "4.3.1");
  world.Release();
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  Wants(world, "4.3.0");
  ASSERT_TRUE(process.RunUntil([&] { return world.Resource().status.current_version == "4.3.0"; }))
      << Why(world);
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST(WayBack, IsKnownToAResourceThatWasDeletedAndMadeAgain) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  const auto whole = *world.api.Find({crd::kGroup, crd::kVersionName, crd::kPlural}, {"ns", "oms"});
  const uint64_t epoch = world.row->epoch;
  world.Delete();
  process.Settle(10);
  ASSERT_TRUE(world.Resource().meta.name.empty());
  json again = whole;
  again.erase("status");
  again["metadata"] = {{"namespace", "ns"}, {"name", "oms"}};
  again["spec"]["version"] = "4.3.0";
  world.api.Put({crd::kGroup, crd::kVersionName, crd::kPlural}, again);
  Process second(world, "second");
  ASSERT_TRUE(RunBack(world, second)) << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_GT(world.row->epoch, epoch) << "it only ever grows";
}

TEST(Site, OfASecondUpgradeIsReadThroughTheContainerThatWasStoppedLast) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.clock.Advance(std::chrono::hours(1));
  // The old one's file is tidied away; only the new one's counts.
  world.Locked([&] { world.host_files.erase("/data/conf/config.yaml"); });
  world.dump_held = true;
  Wants432(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world) << process.LastError();
  (void)process.Pass();
  EXPECT_FALSE(world.OmsRuns());
  EXPECT_EQ(world.Resource().status.current_version, "4.3.1");
  Wants(world, "4.3.1");
  world.Release();
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_431")->info.running);
}

// ------------------------------------------------------------------------------------ taken over

TEST(TakenOver, UnderAnotherNameTheNewContainerIsStillKnown) {
  World world;
  {
    Process first(world, "first");
    world.script_exit_code = 3;
    first.Settle();
    ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  }
  // All of it as another resource has left it.
  world.Locked([&] {
    world.row->owner.object = "team/other";
    for (auto& [n, text] : world.records.at(world.row->folder)) {
      const size_t at = text.find("\"ns/oms\"");
      text.replace(at, 8, "\"team/other\"");
    }
    world.Find("oms_431")->info.labels[model::labels::kOwner] = "team.other";
  });
  world.Annotate(crd::kTakeOver, "team/other");
  Wants(world, "4.3.0");
  Process second(world, "second");
  ASSERT_TRUE(RunBack(world, second)) << Why(world);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
}

TEST(Owner, IsTheOtherOfTwoResourcesForOneOms) {
  World world;
  json first = *world.api.Find({crd::kGroup, crd::kVersionName, crd::kPlural}, {"ns", "oms"});
  first["metadata"] = {{"namespace", "ns"}, {"name", "first"}};
  world.api.Put({crd::kGroup, crd::kVersionName, crd::kPlural}, first);
  world.row = ports::OwnershipRow{{"cluster-1", "ns/first"}, "p", 7, "", "", "", {}};
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OwnedByAnother");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("ns/first"));
  EXPECT_EQ(world.oms_writes, 0);
}

// ------------------------------------------------------------------------------- row and folder

TEST(Row, OfAMetaDbThatWasBroughtBackToBeforeTheOperationIsNotBelieved) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  const auto before = *world.row;
  world.dump_held = true;
  Wants(world, "4.3.0");
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  const std::string open = world.Record()->id;
  world.Kill(process.life);
  world.Release();
  world.Locked([&] { world.row = before; });
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Stalled(world), "True/OperationsDiffer");
  EXPECT_THAT(world.Resource().status.message, HasSubstr(open));
  EXPECT_EQ(world.drops, 0);
  world.Annotate(crd::kAbandon, open);
  second.Settle();
  EXPECT_NE(Stalled(world), "True/OperationsDiffer") << Why(world);
}

TEST(Directory, OfBackupsMayBeAnotherForTheNextOperation) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  const std::string folder = world.Record()->folder;
  world.EditSpec([](json& spec) {
    spec["backup"] = {{"directory", "/var/lib/oms-upgrade/other"}};
  });
  world.Release();
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.Record()->folder, folder) << "what has begun goes on where it is";
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  Wants(world, "4.3.1");
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_THAT(world.Record()->folder, StartsWith("/var/lib/oms-upgrade/other/"));
}

TEST(Node, ThatIsRenamedInTheMiddleIsToldByItsName) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) { spec["nodes"][0]["name"] = "renamed"; });
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NodesChanged") << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("'oms-1'"));
  world.EditSpec([](json& spec) { spec["nodes"][0]["name"] = "oms-1"; });
  EXPECT_TRUE(RunUp(world, process)) << Why(world);
}

// ------------------------------------------------------------------------------------- proofs

TEST(Proof, ThatThisIsTheMetaDbOfThisOmsHoldsForThatServerAlone) {
  World world;
  world.EditSpec([](json& spec) { spec["suspend"] = true; });
  Process process(world);
  process.Settle();
  ASSERT_EQ(Ready(world), "False/Suspended") << Why(world);
  // A copy of it, which nobody writes.
  world.Locked([&] {
    world.server_identity = "a copy";
    world.heart_stands_still = true;
  });
  world.EditSpec([](json& spec) { spec["suspend"] = false; });
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NotThisOMS") << Why(world);
  EXPECT_EQ(world.oms_writes, 0);
}

TEST(Proof, IsMadeAnewForTheNextOperation) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  const auto proofs = [&] { return std::count(world.log.begin(), world.log.end(), "ProveFence"); };
  ASSERT_EQ(proofs(), 1);
  Wants432(world);
  process.Settle();
  EXPECT_EQ(proofs(), 2) << Why(world);
}

TEST(Place, ThatIsNotTheOperationsIsLeftAlone) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Kill(process.life);
  world.Release();
  const auto row = world.Locked([&] { return *world.row; });
  world.Locked([&] {
    world.server_identity = "tenant-2";
    world.row.reset();
  });
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Stalled(world), "True/WrongMetaDB");
  EXPECT_FALSE(world.row.has_value()) << "no row is made on a server that is none of ours";
  world.Locked([&] {
    world.server_identity = "tenant-1";
    world.row = row;
  });
  EXPECT_TRUE(RunUp(world, second)) << Why(world) << second.LastError();
}

// ------------------------------------------------------------------------------------ deletion

TEST(Deletion, AsAnOrphanInTheMiddleOfARestoreWaitsForItsEnd) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.0";
    spec["deletionPolicy"] = "Orphan";
  });
  world.restore_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Delete();
  (void)process.Pass();
  EXPECT_FALSE(world.Resource().meta.name.empty());
  world.Release();
  process.RunUntil([&] { return world.Resource().meta.name.empty(); });
  EXPECT_TRUE(world.Resource().meta.name.empty());
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST(Deletion, IsNotHeldUpByFlagsThatWereNarrowed) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EditSpec(
      [](json& spec) { spec["nodes"][0]["engine"]["endpoint"] = "tcp://10.0.0.9:2376"; });
  process.Settle(5);
  ASSERT_EQ(Stalled(world), "True/EngineNotAllowed");
  world.Delete();
  process.Settle(5);
  EXPECT_TRUE(world.Resource().meta.name.empty());
}

TEST(Deletion, OfANamespaceDoesNotTakeTheSecretsOfAnOpenOperation) {
  World world;
  world.api.Put(kSecrets,
                {{"metadata", {{"namespace", "ns"}, {"name", "meta"}, {"finalizers", {"a/b"}}}},
                 {"data", {{"password", "czNjcmV0LXdvcmQ="}}}});  // s3cret-word
  world.EditSpec([](json& spec) {
    spec["metaDB"] = {{"connect", {{"passwordSecretRef", {{"name", "meta"}}}}}};
  });
  const auto finalizers = [&] {
    return world.api.Find(kSecrets, {"ns", "meta"})->at("metadata").value("finalizers", json());
  };
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  EXPECT_EQ(finalizers().size(), 2u) << finalizers();
  world.Release();
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  (void)process.Pass();
  EXPECT_EQ(finalizers(), json({"a/b"})) << "let go, and nobody else's is touched";
}

TEST(Deletion, WithItsPasswordSecretGoneUsesThePasswordOfConfigYaml) {
  World world;
  world.api.Put(kSecrets, {{"metadata", {{"namespace", "ns"}, {"name", "meta"}}},
                           {"data", {{"password", "czNjcmV0LXdvcmQ="}}}});
  world.EditSpec([](json& spec) {
    spec["metaDB"] = {{"connect", {{"passwordSecretRef", {{"name", "meta"}}}}}};
  });
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  world.api.Remove(kSecrets, {"ns", "meta"});
  world.Delete();
  world.Release();
  process.RunUntil([&] { return world.Resource().meta.name.empty(); });
  EXPECT_TRUE(world.Resource().meta.name.empty()) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

// --------------------------------------------------------------------------------- while idle

TEST(Idle, TellsOnceThatSomebodyHasSwitchedHaOff) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.Locked([&] { world.ha = *product::DisableHa(*world.ha); });
  for (int i = 0; i < 4; ++i) (void)process.Pass();
  EXPECT_EQ(Ready(world), "True/Succeeded") << "a person's choice";
  EXPECT_THAT(world.Resource().status.message, HasSubstr("HA is off"));
  EXPECT_EQ(std::count_if(world.events.begin(), world.events.end(),
                          [](const auto& e) { return e.find("HASwitchedOff") != e.npos; }),
            1);
  EXPECT_FALSE(product::ReadHa(*world.ha)->enabled) << "nothing is repaired";
}

}  // namespace
}  // namespace oms

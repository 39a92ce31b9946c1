// Whole upgrades over a world in memory: what a person sees, and what has become of OMS.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/oms/ha_config.h"
#include "reconcilers/record/manifest.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Process;
using fakes::World;
using model::PointKind;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Everything about OMS is as it was before the controller came.
void ExpectUntouched(World& world) {
  EXPECT_EQ(world.oms_writes, 0) << testing::PrintToString(world.log);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430") == nullptr || world.Find("oms_431") == nullptr);
}

void Suspend(World& world, bool on) {
  world.EditSpec([&](json& spec) { spec["suspend"] = on; });
}

// Stands in the middle of the downtime: OMS is stopped, the dumps of all three databases have begun
// and do not end before World::Release().
bool RunIntoTheDump(World& world, Process& process) {
  world.dump_held = true;
  return process.RunUntil([&] { return world.Held(); }) && world.AwaitHeld(3);
}

// ------------------------------------------------------------------------------- the upgrade
// itself

TEST(Upgrade, CarriesOmsFromVersionToVersion) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady())
      << Stalled(world) << world.Resource().status.message << process.LastError();

  EXPECT_EQ(world.script_runs, 1);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");
  EXPECT_FALSE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("oms_430")->info.restart_policy, "no");
  const auto& fresh = world.Find("oms_431")->info;
  EXPECT_TRUE(fresh.running);
  EXPECT_EQ(fresh.image_id, "sha256:oms431");
  EXPECT_EQ(fresh.restart_policy, "always") << "as the old one had it";
  EXPECT_EQ(fresh.EnvValue("IS_UPGRADE"), "true");
  EXPECT_EQ(fresh.EnvValue("HTTP_PROXY"), "http://proxy");
  EXPECT_EQ(fresh.FindMount("/home/admin/conf/config.yaml")->source,
            "/data/conf/config-4.3.1.yaml");
}

// The age of the start is not known then; it must not keep OMS down until the clock has caught up.
TEST(Upgrade, IsHealthyAsSoonAsEverWhereTheClockWasSetBackSinceTheStart) {
  World world;
  world.script_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.script_runs == 1; })) << Why(world);
  const base::SteadyTime before = world.clock.Now();
  world.clock.JumpWall(-std::chrono::hours(5));
  world.script_held = false;
  ASSERT_TRUE(process.RunToReady()) << Why(world) << process.LastError();
  EXPECT_LT(world.clock.Now() - before, std::chrono::minutes(30));
}

TEST(Upgrade, LeavesTheOldConfigAloneAndWritesTheNewOneWithTheSameOwner) {
  World world;
  ASSERT_TRUE(Process(world).RunToReady());
  EXPECT_EQ(world.host_files["/data/conf/config.yaml"].content, fakes::kOldConfig);
  const auto& fresh = world.host_files["/data/conf/config-4.3.1.yaml"];
  EXPECT_THAT(fresh.content, HasSubstr("oms_rm_meta_host"));
  EXPECT_THAT(fresh.content, HasSubstr("oms_cm_meta_host"));
  EXPECT_THAT(fresh.content, HasSubstr("# written by hand"));
  EXPECT_EQ(fresh.uid, 1000);
  EXPECT_EQ(fresh.gid, 1001);
  EXPECT_EQ(fresh.mode, 0640u);
}

TEST(Upgrade, OfAnOatBeforeFourThreeTwoLeavesTheConfigAsItIs) {
  World world;
  world.EditSpec([](json& spec) {
    spec["deployment"] = {{"provisioner", "OAT"}, {"oatVersion", "4.3.1"}};
  });
  ASSERT_TRUE(Process(world).RunToReady()) << Stalled(world);
  EXPECT_EQ(ConditionOf(world.Resource(), "ConfigRewritten"), "True/Skipped");
  EXPECT_EQ(world.host_files["/data/conf/config.yaml"].content, fakes::kOldConfig);
  EXPECT_FALSE(world.host_files.contains("/data/conf/config-4.3.1.yaml"));
  EXPECT_EQ(world.Find("oms_431")->info.FindMount("/home/admin/conf/config.yaml")->source,
            "/data/conf/config.yaml");
}

TEST(Upgrade, OfAnOatFromFourThreeTwoOnChangesTheConfigAsAlways) {
  World world;
  world.EditSpec([](json& spec) {
    spec["deployment"] = {{"provisioner", "OAT"}, {"oatVersion", "4.3.2"}};
  });
  ASSERT_TRUE(Process(world).RunToReady()) << Stalled(world);
  EXPECT_TRUE(world.host_files.contains("/data/conf/config-4.3.1.yaml"));
}

TEST(Upgrade, SwitchesHaOnAgainWithItsOwnKeys) {
  World world;
  ASSERT_TRUE(Process(world).RunToReady());
  const auto ha = product::ReadHa(*world.ha);
  ASSERT_TRUE(ha.ok());
  EXPECT_TRUE(ha->enabled);
  EXPECT_TRUE(ha->perceive);
  EXPECT_THAT(*world.ha, HasSubstr(R"("ownKey": [1, 2])"));
  EXPECT_THAT(*world.ha, HasSubstr(R"("enableHost":true)"));
}

TEST(Upgrade, WithoutPerceiveTheIntervalCoversTheDowntimeAndHalfAnHour) {
  World world;
  world.EditSpec([](json& spec) { spec["ha"] = {{"perceiveStoreClientCheckpoint", false}}; });
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  const auto ha = product::ReadHa(*world.ha);
  ASSERT_TRUE(ha.ok());
  EXPECT_TRUE(ha->enabled);
  EXPECT_FALSE(ha->perceive);
  const auto record = *world.Record();
  const auto down = std::chrono::ceil<std::chrono::minutes>(*record.t2 - *record.t1);
  EXPECT_GE(ha->refetch_minutes, (down + std::chrono::minutes(30)).count());
}

TEST(Upgrade, HaThatWasOffStaysOffAndIsALoudFollowUp) {
  World world;
  world.ha = R"({"enable":false,"ownKey":1})";
  ASSERT_TRUE(Process(world).RunToReady());
  EXPECT_EQ(world.ha, R"({"enable":false,"ownKey":1})");
  EXPECT_EQ(ConditionOf(world.Resource(), "HAEnabled"), "True/Skipped");
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("HA was off")));
  EXPECT_TRUE(world.Record()->t2.has_value());
}

TEST(Upgrade, WithoutARowOfHaConfigNothingIsSwitched) {
  World world;
  world.ha.reset();
  ASSERT_TRUE(Process(world).RunToReady()) << Stalled(world);
  EXPECT_FALSE(world.ha.has_value());
  EXPECT_THAT(world.log, Not(Contains("SwapHaConfig")));
  EXPECT_EQ(ConditionOf(world.Resource(), "HADisabled"), "True/Skipped");
}

TEST(Upgrade, HaConfigWithOtherOrderUnknownAndMissingKeysKeepsThemAll) {
  World world;
  world.ha = R"({"zulu":{"a":[1]}, "checkRequestIntervalSec":6e2,"enable":"true"})";
  ASSERT_TRUE(Process(world).RunToReady()) << Stalled(world);
  EXPECT_EQ(world.ha, R"({"zulu":{"a":[1]}, "checkRequestIntervalSec":6e2,"enable":"true", )"
                      R"("perceiveStoreClientCheckpoint":true})");
}

TEST(Upgrade, WhatAPersonChangesBetweenReadAndWriteOfHaConfigIsKept) {
  World world;
  const std::string on = R"({"enable":true})";
  const std::string off = R"({"enable":false,"mine":1})";
  world.ha = on;
  // Each of the two switches meets an edit that its read has not seen.
  world.before_ha_swap = [&] {
    if (world.ha == on) world.ha = R"({"enable":true,"mine":1})";
    if (world.ha == off) world.ha = R"({"enable":false,"mine":2})";
  };
  ASSERT_TRUE(Process(world).RunToReady()) << Stalled(world);
  EXPECT_EQ(world.ha, R"({"enable":true,"mine":2,"perceiveStoreClientCheckpoint":true})");
}

TEST(Https, OfAMountedCertificateIsAskedByItAndMountedAgain) {
  World world;
  world.MountCertificate(std::chrono::hours(24));
  ASSERT_TRUE(Process(world).RunToReady()) << Stalled(world);
  const auto& fresh = world.Find("oms_431")->info;
  EXPECT_EQ(fresh.FindMount("/etc/pki/nginx/oms_server.crt")->source, "/data/https_crt");
  EXPECT_EQ(fresh.FindMount("/etc/pki/nginx/oms_server.key")->source, "/data/https_key");
  EXPECT_THAT(crd::StatusToJson(world.Resource().status).dump(), Not(HasSubstr("k3y-word")));
  for (const auto& [n, text] : world.records.at(world.row->folder))
    EXPECT_THAT(text, Not(HasSubstr("k3y-word"))) << n;
}

TEST(Https, OfACaByReferenceIsAskedByItAndTheHostsAddress) {
  World world;
  world.MountCertificate(std::chrono::hours(24));
  world.api.Put({"", "v1", "secrets"}, {{"metadata", {{"namespace", "ns"}, {"name", "console-ca"}}},
                                        {"data", {{"ca.crt", "dGhlIENB"}}}});
  world.EditSpec([](json& s) { s["https"] = {{"secretRef", {{"name", "console-ca"}}}}; });
  world.speaks = ports::HttpsTrust{"the CA", "10.0.0.1"};
  Process process(world);
  EXPECT_TRUE(process.RunToReady()) << Stalled(world) << process.LastError();
}

TEST(MetaDbTls, TheServerIsBelievedByTheCaThatTheSecretHolds) {
  World world;
  world.api.Put({"", "v1", "secrets"}, {{"metadata", {{"namespace", "ns"}, {"name", "db-ca"}}},
                                        {"data", {{"ca.crt", "dGhlIENB"}}}});
  world.EditSpec([](json& s) {
    s["metaDB"] = {{"connect", {{"tls", {{"secretRef", {{"name", "db-ca"}}}}}}}};
  });
  Process process(world);
  (void)process.Pass();
  EXPECT_EQ(world.meta_ca, "the CA") << Stalled(world);
}

TEST(Upgrade, TellsWhatIsLeftForAPersonInEventsToo) {
  World world;
  world.ha = R"({"enable":false})";
  ASSERT_TRUE(Process(world).RunToReady());
  EXPECT_THAT(world.events, Contains(HasSubstr("Normal FollowUp: Resume the Full-Import")));
  EXPECT_THAT(world.events, Contains(HasSubstr("Normal FollowUp: Clear the browser cache")));
  EXPECT_THAT(world.events, Contains(HasSubstr("Warning FollowUp: HA was off")));
}

TEST(Downtime, ThatComesNearItsBudgetIsWarnedOfOnceForEachLevel) {
  World world;
  world.EditSpec([](json& spec) {
    spec["strategy"] = {{"downtimeBudget", "4h"}, {"progressDeadline", "100h"}};
  });
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  const auto told = [&](const char* reason) {
    return std::count_if(world.events.begin(), world.events.end(),
                         [&](const auto& e) { return e.find(reason) != e.npos; });
  };
  const auto look = [&] {
    (void)process.Pass();
    (void)process.Pass();
  };
  look();
  EXPECT_EQ(told("DowntimeNearBudget"), 0);
  world.clock.Advance(std::chrono::minutes(185));
  look();
  EXPECT_EQ(told("Warning DowntimeNearBudget"), 1);
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("three quarters of 4h")));
  world.clock.Advance(std::chrono::hours(1));
  look();
  EXPECT_EQ(told("Warning DowntimeOverBudget"), 1);
  EXPECT_EQ(told("DowntimeNearBudget"), 1);
  world.Release();
  process.AwaitTasks();
  ASSERT_TRUE(process.RunToReady()) << Stalled(world);
  EXPECT_EQ(world.Resource().status.follow_ups.size(), 2u) << "what is left, and the warning gone";
}

TEST(ManualHa, IsWaitedForToldAndSeenToHappen) {
  World world;
  world.EditSpec([](json& spec) { spec["ha"] = {{"control", "Manual"}}; });
  Process process(world);
  const auto awaits = [&] { return Ready(world) == "False/AwaitingHASwitch"; };
  ASSERT_TRUE(process.RunUntil(awaits)) << Stalled(world);
  EXPECT_TRUE(world.OmsRuns()) << "OMS is not stopped while a person is waited for";
  EXPECT_THAT(world.Resource().status.message, HasSubstr("enable to false"));
  EXPECT_THAT(ConditionOf(world.Resource(), "Reconciling"), testing::StartsWith("False"));
  for (int i = 0; i < 10; ++i) (void)process.Pass();
  EXPECT_EQ(std::count_if(world.events.begin(), world.events.end(),
                          [](const auto& e) { return e.find("AwaitingHASwitch") != e.npos; }),
            1);
  world.Locked([&] { world.ha = R"({"enable":false,"ownKey":1})"; });
  ASSERT_TRUE(process.RunUntil([&] { return world.script_runs == 1 && awaits(); }))
      << Stalled(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("enable to true"));
  world.Locked([&] { world.ha = R"({"enable":true,"ownKey":1})"; });
  ASSERT_TRUE(process.RunToReady()) << Stalled(world);
  EXPECT_EQ(world.ha, R"({"enable":true,"ownKey":1})") << "what the person wrote is theirs";
  EXPECT_THAT(world.log, Not(Contains("SwapHaConfig")));
}

TEST(ManualHa, ARevertWhileThePersonIsWaitedForGoesBackAndSwitchesNothing) {
  World world;
  world.EditSpec([](json& spec) { spec["ha"] = {{"control", "Manual"}}; });
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "False/AwaitingHASwitch"; }));
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(process.RunToReady()) << Stalled(world);
  EXPECT_EQ(Ready(world), "True/RolledBackByRequest");
  EXPECT_EQ(world.ha, fakes::kHaText);
}

TEST(Upgrade, KeepsThreeDatabasesInAManifestThatProvesItself) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  const auto record = *world.Record();
  ASSERT_TRUE(record.backup.has_value());
  const auto text = world.files.at(record.folder + "/" + record.backup->folder + "/manifest.json");
  const auto manifest = record::Manifest::FromJson(text);
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->databases.size(), 3u);
  EXPECT_EQ(manifest->container_id, world.Find("oms_430")->info.id);
  EXPECT_THAT(world.files.at(record.folder + "/" + record.backup->folder + "/oms_rm/data.sql"),
              HasSubstr("rm of 4.3.0"));
  const auto status = world.Resource().status;
  EXPECT_EQ(status.backups.size(), 3u) << "a person sees each database's backup";
  EXPECT_EQ(world.files.at(record.folder + "/config/oms-1/config.yaml"), fakes::kOldConfig);
  EXPECT_EQ(world.files.at(record.folder + "/images/oms-1.tar"), "image oms:4.3.0");
}

TEST(Upgrade, CompactsTheHeartbeatAndItsIdsNeverGoBackwards) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Record() && world.Record()->backup; }));
  EXPECT_FALSE(world.sequence.bak.exists);
  EXPECT_FALSE(world.sequence.bak2.exists);
  EXPECT_GE(world.sequence.base.max_id, 100'000u);
  EXPECT_GT(world.sequence.base.auto_increment, world.sequence.base.max_id);
  EXPECT_LT(world.sequence.base.rows, 100u);
}

TEST(Upgrade, TellsWhatItDidInConditionsTimesAndHistory) {
  World world;
  ASSERT_TRUE(Process(world).RunToReady());
  const auto resource = world.Resource();
  for (const auto condition : crd::UpgradeSteps()) {
    EXPECT_THAT(ConditionOf(resource, condition.type), testing::StartsWith("True"))
        << condition.type;
  }
  EXPECT_EQ(ConditionOf(resource, "Ready"), "True/Succeeded");
  EXPECT_THAT(ConditionOf(resource, "Stalled"), testing::StartsWith("False"));
  EXPECT_THAT(ConditionOf(resource, "Reconciling"), testing::StartsWith("False"));
  EXPECT_EQ(resource.status.observed_generation, resource.meta.generation);
  EXPECT_EQ(resource.status.current_version, "4.3.1");
  ASSERT_TRUE(resource.status.operation.has_value());
  EXPECT_TRUE(resource.status.operation->t1.has_value());
  EXPECT_TRUE(resource.status.operation->t2.has_value());
  EXPECT_LE(*resource.status.operation->t1, *resource.status.operation->t2);
  EXPECT_EQ(resource.status.history.size(), 1u);
  EXPECT_THAT(world.events, Contains(HasSubstr("UpgradeStarted")));
  EXPECT_THAT(world.events, Contains(HasSubstr("UpgradeSucceeded")));
  const auto record = *world.Record();
  EXPECT_FALSE(record.open());
  EXPECT_EQ(world.row->operation_id, "");
}

TEST(Upgrade, TellsNoSecretAnywhere) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  EXPECT_THAT(crd::StatusToJson(world.Resource().status).dump(), Not(HasSubstr("s3cret")));
  EXPECT_THAT(testing::PrintToString(world.events), Not(HasSubstr("s3cret")));
  for (const auto& [n, text] : world.records.at(world.row->folder))
    EXPECT_THAT(text, Not(HasSubstr("s3cret"))) << n;
}

TEST(Upgrade, APassWithNothingToDoMakesNoWrite) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  process.Settle();
  const int before = world.writes;
  for (int i = 0; i < 5; ++i) {
    (void)process.Pass();
    world.clock.Advance(std::chrono::minutes(1));
  }
  EXPECT_EQ(world.writes, before) << world.log.back();
  Process another(world, "another");  // Nor does a new process that finds all done.
  another.Settle();
  EXPECT_EQ(world.writes, before) << world.log.back();
}

TEST(Upgrade, AWatchThatLagsBehindDoesNotHoldItUp) {
  World world;
  Process process(world);
  process.FreezeCache();
  ASSERT_TRUE(process.RunToReady()) << process.LastError();
  EXPECT_EQ(world.script_runs, 1);
  process.Settle();
  const int before = world.writes;
  (void)process.Pass();
  EXPECT_EQ(world.writes, before);
}

TEST(Upgrade, AnOmsThatWasRestartedBeforeTheStopIsUpgradedAllTheSame) {
  World world;
  world.load_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EndContainer("oms_430", 0);
  world.clock.Advance(std::chrono::seconds(5));
  world.StartByHand("oms_430");
  world.Release();
  process.AwaitTasks();
  ASSERT_TRUE(process.RunToReady()) << Stalled(world) << process.LastError();
  const auto record = *world.Record();
  EXPECT_EQ(record.backup->started_at, world.Find("oms_430")->info.started_at);
}

TEST(Upgrade, AnOmsThatIsUpToDateIsOnlyLookedAt) {
  World world;
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  EXPECT_EQ(Ready(world), "True/UpToDate");
  ExpectUntouched(world);
  EXPECT_FALSE(world.row.has_value());
  process.Settle();
  const int before = world.writes;
  (void)process.Pass();
  EXPECT_EQ(world.writes, before);
}

TEST(Upgrade, AnImageThatIsThereNeedsNoArchive) {
  World world;
  world.EditSpec([](json& spec) { spec["image"].erase("archive"); });
  world.images["oms:4.3.1"] = world.images["oms:4.3.0"];
  world.images["oms:4.3.1"].id = "sha256:oms431";
  EXPECT_TRUE(Process(world).RunToReady());
  EXPECT_THAT(world.log, Not(Contains("LoadImage")));
}

TEST(Upgrade, ADumpThatFailsIsTakenAgainInANewFolder) {
  World world;
  world.dumps_to_fail = 1;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  EXPECT_EQ(world.Record()->backup->folder, "dump/2");
  EXPECT_THAT(world.events, Contains(HasSubstr("Warning DumpFailed")));
}

TEST(Upgrade, ADumpThatKeepsFailingStallsAndGoesOnByAnEditOfTheSpec) {
  World world;
  world.dumps_to_fail = 1000;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/DumpFailed");
  EXPECT_LE(world.Record()->Progress(model::Step::kBackUpDatabases).begun, 4);
  world.dumps_to_fail = 0;
  world.EditSpec([](json& spec) { spec["historyLimit"] = 4; });
  EXPECT_TRUE(process.RunToReady()) << Stalled(world);
}

ports::DbConnection Reporter() {
  ports::DbConnection other;
  other.id = 5;
  other.user = "report";
  other.database = "oms_rm";
  return other;
}

TEST(Upgrade, ForeignConnectionsAreEndedAfterTheStopAndNamed) {
  World world;
  world.foreign = {Reporter()};
  EXPECT_TRUE(Process(world).RunToReady()) << Stalled(world);
  EXPECT_TRUE(world.killed.contains(5));
  EXPECT_THAT(world.events,
              Contains(testing::AllOf(HasSubstr("ForeignConnectionsEnded"), HasSubstr("report"))));
  EXPECT_EQ(world.Record()->backup->folder, "dump/1");
}

TEST(Upgrade, AForeignConnectionDuringTheDumpMakesItWorthless) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.Locked([&] { world.foreign = {Reporter()}; });
  world.Release();
  process.AwaitTasks();
  EXPECT_TRUE(process.RunToReady()) << Stalled(world);
  EXPECT_TRUE(world.killed.contains(5));
  EXPECT_EQ(world.Record()->backup->folder, "dump/2");
}

// ---------------------------------------------------------------------------------------- bad
// input

struct Bad {
  const char* name;
  const char* reason;
  void (*make)(World&);
};
class BadInput : public testing::TestWithParam<Bad> {};

TEST_P(BadInput, IsToldByAConditionAndChangesNothing) {
  World world;
  GetParam().make(world);
  Process process(world);
  process.Settle();
  const auto resource = world.Resource();
  EXPECT_EQ(ConditionOf(resource, "Stalled"), std::string("True/") + GetParam().reason)
      << resource.status.message;
  EXPECT_THAT(ConditionOf(resource, "Ready"), testing::StartsWith("False"));
  EXPECT_THAT(resource.status.message, Not(IsEmpty()));
  EXPECT_THAT(resource.status.message, Not(HasSubstr("s3cret")));
  EXPECT_EQ(resource.status.observed_generation, resource.meta.generation);
  ExpectUntouched(world);
}

INSTANTIATE_TEST_SUITE_P(
    Scenario, BadInput,
    testing::Values(
        Bad{"UnknownVersion", "UnknownVersion",
            [](World& w) { w.EditSpec([](json& s) { s["version"] = "9.9.9"; }); }},
        Bad{"CertificateExpired", "CertificateExpired",
            [](World& w) { w.MountCertificate(std::chrono::hours(-1)); }},
        Bad{"CertificateWithAnotherKey", "KeyOfAnotherCertificate",
            [](World& w) {
              w.MountCertificate(std::chrono::hours(1));
              w.host_files["/data/https_key"].content = "another";
            }},
        Bad{"CertificateThatIsAFolder", "CertificateUnreadable",
            [](World& w) {
              w.MountCertificate(std::chrono::hours(1));
              w.host_files["/data/https_crt"].regular = false;
            }},
        Bad{"CertificateWithoutItsKey", "CertificateHalfMounted",
            [](World& w) {
              w.MountCertificate(std::chrono::hours(1));
              w.Find("oms_430")->info.mounts.pop_back();
            }},
        Bad{"CaWithoutACertificate", "CertificateNotMounted",
            [](World& w) {
              w.api.Put({"", "v1", "secrets"},
                        {{"metadata", {{"namespace", "ns"}, {"name", "console-ca"}}},
                         {"data", {{"ca.crt", "dGhlIENB"}}}});
              w.EditSpec([](json& s) { s["https"] = {{"secretRef", {{"name", "console-ca"}}}}; });
            }},
        Bad{"CaInNoSecret", "SecretUnreadable",
            [](World& w) {
              w.EditSpec([](json& s) { s["https"] = {{"secretRef", {{"name", "nowhere"}}}}; });
            }},
        Bad{"OldAndNewKeysThatDiffer", "ConfigInvalid",
            [](World& w) {
              w.host_files["/data/conf/config.yaml"].content += "oms_rm_meta_host: 10.0.0.4\n";
            }},
        Bad{"HostNotInCmNodes", "HostNotInConfig",
            [](World& w) {
              auto& text = w.host_files["/data/conf/config.yaml"].content;
              text.replace(text.find("- \"10.0.0.1\""), 12, "- \"10.0.0.7\"");
            }},
        Bad{"MalformedVersion", "InvalidVersion",
            [](World& w) { w.EditSpec([](json& s) { s["version"] = "latest"; }); }},
        Bad{"LowerVersion", "DowngradeRefused",
            [](World& w) { w.EditSpec([](json& s) { s["version"] = "4.2.5"; }); }},
        Bad{"ArchiveChecksum", "ArchiveChecksumDiffers",
            [](World& w) {
              w.EditSpec([](json& s) { s["image"]["sha256"] = std::string(64, 'a'); });
            }},
        Bad{"ImageId", "ImageIDDiffers",
            [](World& w) { w.EditSpec([](json& s) { s["image"]["id"] = "sha256:other"; }); }},
        Bad{"ArchiveMissing", "ArchiveNotFound", [](World& w) { w.files.erase(fakes::kArchive); }},
        Bad{"ArchiveOfAnother", "ImageNotInArchive",
            [](World& w) { w.archives[fakes::kArchive] = "oms:4.2.5"; }},
        Bad{"Engine", "EngineUnreachable", [](World& w) { w.engine_down = true; }},
        Bad{"Password", "MetaDBDenied", [](World& w) { w.password = "another"; }},
        Bad{"Container", "ContainerNotFound",
            [](World& w) {
              w.EditSpec([](json& s) { s["nodes"][0]["container"]["name"] = "oms_4300"; });
            }},
        Bad{"Mounts", "GuideFlags", [](World& w) { w.Find("oms_430")->info.mounts.pop_back(); }},
        Bad{"Disk", "DiskLow", [](World& w) { w.free_bytes = 1000; }},
        Bad{"AutoRemove", "AutoRemove",
            [](World& w) { w.Find("oms_430")->info.auto_remove = true; }},
        Bad{"UnlistedHost", "UnlistedHostOnline",
            [](World& w) {
              w.hosts.push_back({"10.0.0.2", "ONLINE"});
            }},
        Bad{"NotThisOms", "NotThisOMS", [](World& w) { w.heart_stands_still = true; }},
        Bad{"Fence", "CannotFence", [](World& w) { w.cannot_fence = true; }},
        Bad{"Rights", "MetaDBDenied", [](World& w) { w.no_rights = true; }},
        Bad{"HaConfig", "HAConfigInvalid", [](World& w) { w.ha = "[not json"; }},
        Bad{"EngineFlag", "EngineNotAllowed",
            [](World& w) {
              w.EditSpec(
                  [](json& s) { s["nodes"][0]["engine"]["endpoint"] = "tcp://1.2.3.4:2376"; });
            }}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(BadInputMended, GoesOnWithoutATouchOfTheResource) {
  World world;
  world.free_bytes = 1000;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/DiskLow");
  world.free_bytes = 1ULL << 40;
  EXPECT_TRUE(process.RunToReady());
}

TEST(BadInputMended, AWrongImageNameThatIsCorrectedGoesOn) {
  World world;
  world.archives[fakes::kArchive] = "oms:4.3.1-x86";
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ImageNotInArchive");
  world.EditSpec([](json& spec) { spec["image"]["reference"] = "oms:4.3.1-x86"; });
  EXPECT_TRUE(process.RunToReady()) << Stalled(world);
  EXPECT_EQ(world.Record()->image.reference, "oms:4.3.1-x86");
}

TEST(BadInputMended, AWrongChecksumThatIsCorrectedGoesOn) {
  World world;
  world.EditSpec([](json& spec) { spec["image"]["sha256"] = std::string(64, 'a'); });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ArchiveChecksumDiffers");
  world.EditSpec([](json& spec) { spec["image"].erase("sha256"); });
  EXPECT_TRUE(process.RunToReady()) << Stalled(world);
}

// ----------------------------------------------------------------------------------- held by a
// person

TEST(Held, SuspendMidwayStopsTheNextStepAndGoesOnWhereItWas) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  Suspend(world, true);
  world.Release();
  process.AwaitTasks();
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Suspended");
  EXPECT_THAT(Stalled(world), testing::StartsWith("False"));
  EXPECT_EQ(world.script_runs, 0);
  const int before = world.writes;
  (void)process.Pass();
  EXPECT_EQ(world.writes, before);
  Suspend(world, false);
  EXPECT_TRUE(process.RunToReady());
  EXPECT_EQ(world.script_runs, 1);
}

TEST(Held, SuspendBetweenHaOffAndTheStopPutsHaBackAfterFiveMinutes) {
  World world;
  {
    Process first(world, "first");
    first.life.DieAfter("SwapHaConfig");
    ASSERT_FALSE(first.RunToReady());
  }
  ASSERT_FALSE(product::ReadHa(*world.ha)->enabled);
  ASSERT_TRUE(world.OmsRuns());
  Suspend(world, true);
  Process second(world, "second");
  for (int i = 0; i < 20; ++i) {
    (void)second.Pass();
    world.clock.Advance(std::chrono::seconds(10));
  }
  EXPECT_FALSE(product::ReadHa(*world.ha)->enabled) << "not before five minutes";
  world.clock.Advance(std::chrono::minutes(2));
  second.Settle();
  EXPECT_EQ(world.ha, fakes::kHaText);
  EXPECT_THAT(world.events, Contains(HasSubstr("HARestored")));
  Suspend(world, false);
  EXPECT_TRUE(second.RunToReady());
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
}

TEST(Held, WhatAPersonChangesInHaConfigMeanwhileIsKeptWhenHaIsPutBack) {
  World world;
  world.ha = R"({"enable":true,"ownKey":1})";
  {
    Process first(world, "first");
    first.life.DieAfter("SwapHaConfig");
    ASSERT_FALSE(first.RunToReady());
  }
  ASSERT_EQ(world.ha, R"({"enable":false,"ownKey":1})");
  world.ha = R"({"enable":false,"ownKey":2})";
  Suspend(world, true);
  world.clock.Advance(std::chrono::minutes(6));
  Process(world, "second").Settle();
  EXPECT_EQ(world.ha, R"({"enable":true,"ownKey":2})");
}

TEST(Held, ARevertBeforeTheStopTurnsTheUpgradeBackAndTheNextOneStartsAfresh) {
  World world;
  world.load_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  const std::string first = world.Record()->id;
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(process.RunToReady()) << Stalled(world);
  EXPECT_EQ(Ready(world), "True/RolledBackByRequest");
  ExpectUntouched(world);
  world.Release();
  world.EditSpec([](json& spec) { spec["version"] = "4.3.1"; });
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Stalled(world);
  EXPECT_NE(world.Record()->id, first);
}

TEST(Timeouts, OfAStepWithinThePassAreToldByTheirFieldAndGoOnWhenCorrected) {
  for (const char* field : {"config", "start", "haSwitch", "compact"}) {
    SCOPED_TRACE(field);
    World world;
    world.EditSpec([&](json& spec) { spec["strategy"]["timeouts"][field] = "0s"; });
    Process process(world);
    process.RunUntil([] { return false; }, 15);
    EXPECT_THAT(world.Resource().status.message,
                HasSubstr(std::string("spec.strategy.timeouts.") + field));
    EXPECT_NE(Ready(world), "True/Succeeded");
    world.EditSpec([](json& spec) { spec["strategy"].erase("timeouts"); });
    EXPECT_TRUE(process.RunToReady()) << Stalled(world) << process.LastError();
  }
}

// --------------------------------------------------------------------------------------- state,
// owners

TEST(Owner, AnErasedStatusIsFilledAgainFromTheRowAndTheRecord) {
  World world;
  Process process(world);
  world.script_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  const std::string id = world.Record()->id;
  world.EraseStatus();
  world.Kill(process.life);
  world.Release();
  Process second(world, "second");
  ASSERT_TRUE(second.RunToReady());
  EXPECT_EQ(world.Resource().status.operation->id, id);
  EXPECT_EQ(world.script_runs, 1);
}

TEST(Owner, ARowOfAnotherOwnerIsLeftAloneUntilAPersonSaysOtherwise) {
  World world;
  world.row = ports::OwnershipRow{{"cluster-2", "team/oms"}, "p", 7, "", "", "", {}};
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OwnedByAnother");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("team/oms"));
  ExpectUntouched(world);
  EXPECT_EQ(world.row->epoch, 7u);
  world.Annotate(crd::kTakeOver, "team/wrong");
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OwnedByAnother");
  world.Annotate(crd::kTakeOver, "team/oms");
  EXPECT_TRUE(process.RunToReady());
  EXPECT_GT(world.row->epoch, 7u);
}

TEST(Owner, TheOperationOfTheOtherIsNotShownAsOnesOwn) {
  World world;
  Process first(world);
  ASSERT_TRUE(first.RunToReady());
  world.Kill(first.life);
  world.Locked([&] { world.row->owner = {"cluster-2", "team/oms"}; });
  world.EraseStatus();
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Stalled(world), "True/OwnedByAnother");
  EXPECT_FALSE(world.Resource().status.operation);
  EXPECT_TRUE(world.Resource().status.backups.empty());
  EXPECT_TRUE(world.Resource().status.history.empty());
}

TEST(Owner, AResourceWhoseOmsWasTakenOverCanBeDeleted) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.Locked([&] {
    world.row->owner = {"cluster-2", "team/oms"};
    world.row->epoch = 99;
  });
  Process next(world, "next");
  world.Delete();
  next.Settle(10);
  EXPECT_TRUE(world.Resource().meta.name.empty()) << "the finalizer must go";
  EXPECT_EQ(world.row->epoch, 99u);
}

TEST(Owner, ADeletedResourceWithNothingOpenGivesTheOmsFree) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  const int before = world.oms_writes;
  world.Delete();
  process.Settle(10);
  EXPECT_TRUE(world.Resource().meta.name.empty());
  EXPECT_TRUE(world.row->Free()) << "another resource may take this OMS now";
  EXPECT_EQ(world.oms_writes, before);
}

TEST(Volume, AnotherVolumeIsNeverNoBackup) {
  World world;
  {
    Process first(world, "first");
    ASSERT_TRUE(RunIntoTheDump(world, first));
  }
  world.Release();
  const auto records = world.records;
  world.volume_identity = "volume-2";
  world.records.clear();
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/WrongBackupVolume");
  EXPECT_EQ(world.script_runs, 0);
  world.volume_identity.reset();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/WrongBackupVolume");
  world.EraseStatus();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/WrongBackupVolume") << "the row knows it too";
  EXPECT_TRUE(world.records.empty());
  world.volume_identity = "volume-1";
  world.records = records;
  EXPECT_TRUE(process.RunToReady());
  EXPECT_EQ(world.script_runs, 1);
}

TEST(Volume, ARowThatIsLostIsMadeAnewFromTheRecord) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  const auto row = *world.row;
  world.Locked([&] { world.row.reset(); });
  world.Release();
  process.AwaitTasks();
  ASSERT_TRUE(process.RunToReady()) << Stalled(world) << process.LastError();
  EXPECT_GT(world.row->epoch, row.epoch);
  EXPECT_EQ(world.row->folder, row.folder);
  EXPECT_EQ(world.script_runs, 1);
}

TEST(TakeOver, TheFirstOneIsFencedAndWritesNothingMore) {
  for (const std::string place : {"load", "dump", "script"}) {
    SCOPED_TRACE(place);
    World world;
    (place == "load"   ? world.load_held
     : place == "dump" ? world.dump_held
                       : world.script_held) = true;
    Process first(world, "first");
    ASSERT_TRUE(first.RunUntil([&] { return world.Held(); }));
    ASSERT_TRUE(world.AwaitHeld(place == "dump" ? 3 : 1));
    Process second(world, "second");
    ASSERT_TRUE(second.RunUntil(
        [&] { return world.Locked([&] { return world.row->process == "second"; }); }));
    const int before = world.WritesOf(first.life);
    const auto answer = first.Pass();
    EXPECT_TRUE(answer.Is(base::Code::kFenced)) << first.LastError();
    EXPECT_EQ(world.WritesOf(first.life), before);
    world.Release();
    first.AwaitTasks();
    EXPECT_TRUE(second.RunToReady()) << Stalled(world);
    EXPECT_TRUE(first.Pass().Is(base::Code::kFenced));
    EXPECT_EQ(world.script_runs, 1);
  }
}

TEST(TakeOver, InMidDumpTheFirstOnesDumpIsEndedAndNothingIsDoneTwice) {
  World world;
  Process first(world, "first");
  ASSERT_TRUE(RunIntoTheDump(world, first));
  Process second(world, "second");
  (void)second.Pass();  // Claims; the first one's connections are ended.
  world.Release();
  first.AwaitTasks();
  EXPECT_TRUE(second.RunToReady()) << Stalled(world);
  EXPECT_TRUE(first.Pass().Is(base::Code::kFenced));
  EXPECT_EQ(world.script_runs, 1);
  EXPECT_EQ(world.Record()->backup->folder, "dump/2");
}

TEST(TakeOver, AScriptThatRunsIsWatchedByTheSuccessor) {
  World world;
  world.script_held = true;
  Process first(world, "first");
  ASSERT_TRUE(first.RunUntil([&] { return world.Held(); }));
  Process second(world, "second");
  for (int i = 0; i < 5; ++i) {
    (void)second.Pass();
    world.clock.Advance(std::chrono::seconds(2));
  }
  EXPECT_EQ(ConditionOf(world.Resource(), "UpgradeScriptRun"), "False/InProgress");
  world.Release();
  EXPECT_TRUE(second.RunToReady());
  EXPECT_EQ(world.script_runs, 1);
}

// ------------------------------------------------------------------------------- the edition

TEST(Edition, IsTakenFromTheSpecWhereNoTagNamesIt) {
  World world("4.2.4");
  world.EditSpec([](json& spec) {
    spec["version"] = "4.2.6";
    spec["image"]["reference"] = "oms:4.2.6";
    spec["mode"] = "Plan";
  });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/UnknownVersion") << "the enterprise edition has no 4.2.6";
  world.EditSpec([](json& spec) { spec["deployment"] = {{"edition", "Community"}}; });
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Planned") << world.Resource().status.message;
  EXPECT_EQ(world.Resource().status.current_version, "4.2.4-CE");
}

TEST(Edition, IsTakenFromTheTagsWhereTheVersionDoesNotSayIt) {
  World world("4.2.4-ce");
  world.EditSpec([](json& spec) {
    spec["version"] = "4.2.6";
    spec["image"] = {{"reference", "oms:feature_4.2.6_ce"}, {"archive", fakes::kArchive}};
    spec["mode"] = "Plan";
  });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Planned") << world.Resource().status.message;
}

// ------------------------------------------------------------------------------- what cannot be
// undone

TEST(Script, ThatFailsStallsAndIsNeverRunAgain) {
  World world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("exit code 3"));
  EXPECT_FALSE(product::ReadHa(*world.ha)->enabled);
  Process second(world, "second");
  second.Settle();
  world.EditSpec([](json& spec) { spec["historyLimit"] = 4; });
  second.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  EXPECT_EQ(world.script_runs, 1);
}

TEST(Script, OfUnknownOutcomeStallsAndIsNeverRunAgain) {
  World world;
  world.script_vanishes = true;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptOutcomeUnknown");
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(world.script_runs, 1);
}

TEST(Script, IsNotBegunBeforeSupervisordAnswers) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.Locked([&] { world.supervisor_silent = true; });
  world.Release();
  process.RunUntil([] { return false; }, 20);
  EXPECT_EQ(world.script_runs, 0);
  world.Locked([&] { world.supervisor_silent = false; });
  EXPECT_TRUE(process.RunToReady());
}

TEST(NewContainer, ThatDiesAtItsStartIsNotStartedAgain) {
  World world;
  world.new_dies_at_start = true;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NewContainerDied");
  const auto starts = [&] {
    return std::count(world.log.begin(), world.log.end(), "Start oms_431");
  };
  EXPECT_EQ(starts(), 1);
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(starts(), 1);
  EXPECT_EQ(world.script_runs, 0);
}

TEST(NewContainer, ThatDiesUnderItsScriptIsAnUnknownOutcomeAndNoSecondRun) {
  World world;
  world.script_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EndContainer("oms_431", 137);
  world.Wake();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NewContainerDied");
  EXPECT_EQ(world.script_runs, 1);
}

TEST(OldContainer, StartedByHandBeforeTheNewOneIsNotFought) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.StartByHand("oms_430");
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OldContainerStarted");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_FALSE(world.Record()->Passed(PointKind::kNewStarting));
}

TEST(OldContainer, StartedByHandIsStoppedAgainOnATokenAndBackedUpAnew) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.StartByHand("oms_430");
  const std::string again = world.Find("oms_430")->info.started_at;
  world.Release();
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/OldContainerStarted");
  world.Annotate(crd::kResetAt, "go on");
  ASSERT_TRUE(process.RunToReady()) << Stalled(world) << process.LastError();
  EXPECT_EQ(world.Record()->backup->started_at, again);
  EXPECT_EQ(world.Resource().status.last_handled.reset_at, "go on");
}

// ----------------------------------------------------------------------------------- after the
// success

TEST(Closed, AnOmsThatAPersonStoppedIsNotTakenForTheOldVersion) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.EndContainer("oms_431", 0);
  const int before = world.oms_writes;
  process.Settle();
  EXPECT_EQ(world.oms_writes, before);
  EXPECT_EQ(world.Resource().status.current_version, "4.3.1");
  EXPECT_EQ(Ready(world), "False/OMSNotRunning") << "seen, told, and not repaired";
  EXPECT_THAT(world.Resource().status.message, Not(HasSubstr("'oms_430'")))
      << "never say: start the old one";
}

TEST(Closed, APersonWhoWentBackByHandIsNotUpgradedAgain) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.EndContainer("oms_431", 0);
  world.StartByHand("oms_430");
  const int before = world.oms_writes;
  process.Settle();
  EXPECT_EQ(world.oms_writes, before) << "a closed operation is latched";
  EXPECT_EQ(Stalled(world), "True/VersionDiffers");
}

}  // namespace
}  // namespace oms

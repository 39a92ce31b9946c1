#include "reconcilers/steps/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/model/limits.h"
#include "reconcilers/steps/state.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::vector<model::Trouble> Check(const fixtures::Upgrade& upgrade, const char* from = "4.3.0",
                                  const char* to = "4.3.1") {
  return CheckPreflight(upgrade.spec, *crd::Version::Parse(from), *crd::Version::Parse(to),
                        upgrade.facts);
}

TEST(CheckPreflight, FindsNothingWrongWithASoundOms) {
  EXPECT_THAT(Check(fixtures::Upgrade()), IsEmpty());
}

struct Bad {
  const char* reason;
  const char* says;  // What the message must hold: what is wrong, or what to do.
  void (*make)(fixtures::Upgrade&);
};
class BadInput : public testing::TestWithParam<Bad> {};

TEST_P(BadInput, HasAReasonAndAMessageThatSaysWhatToDo) {
  fixtures::Upgrade upgrade;
  GetParam().make(upgrade);
  const auto troubles = Check(upgrade);
  ASSERT_FALSE(troubles.empty());
  EXPECT_EQ(troubles.front().reason, GetParam().reason);
  EXPECT_THAT(troubles.front().message, HasSubstr(GetParam().says));
  const auto state = PreflightState(upgrade.spec, *crd::Version::Parse("4.3.0"),
                                    *crd::Version::Parse("4.3.1"), upgrade.facts);
  EXPECT_EQ(state.verdict, Verdict::kFailed);
  EXPECT_EQ(state.reason, GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Preflight, BadInput,
    testing::Values(
        Bad{"AutoRemove", "--rm",
            [](fixtures::Upgrade& u) { u.node().old_container->auto_remove = true; }},
        Bad{"GuideFlags", "/home/ds/store",
            [](fixtures::Upgrade& u) {
              u.node().old_container->mounts.erase(u.node().old_container->mounts.begin() + 2);
            }},
        Bad{"GuideFlags", "--privileged",
            [](fixtures::Upgrade& u) { u.node().old_container->privileged = false; }},
        Bad{"GuideFlags", "--net host",
            [](fixtures::Upgrade& u) { u.node().old_container->network_mode = "bridge"; }},
        Bad{"OwnedByOtherTool", "com.docker.compose.project",
            [](fixtures::Upgrade& u) {
              u.node().old_container->labels["com.docker.compose.project"] = "oms";
            }},
        Bad{"OMSNotRunning", "start it",
            [](fixtures::Upgrade& u) {
              u.node().old_container->running = false;
              u.node().old_container->status = "exited";
            }},
        Bad{"NameTaken", "rename or remove",
            [](fixtures::Upgrade& u) { u.node().planned_name_taken = true; }},
        Bad{"ConfigUnreadable", "restore the file",
            [](fixtures::Upgrade& u) { u.node().config->regular = false; }},
        Bad{"OMSUnhealthy", "FATAL",
            [](fixtures::Upgrade& u) { u.node().health->programs[0].state = "FATAL"; }},
        Bad{"UnlistedHostOnline", "10.0.0.2",
            [](fixtures::Upgrade& u) {
              u.meta().hosts.push_back({"10.0.0.2", "ONLINE"});
            }},
        Bad{"HostNotInConfig", "10.0.0.8, 10.0.0.9",
            [](fixtures::Upgrade& u) {
              u.facts.config.emplace();
              u.facts.config->cm_nodes = {"10.0.0.8", "10.0.0.9"};
            }},
        Bad{"NotThisOMS", "spec.metaDB.connect",
            [](fixtures::Upgrade& u) { u.meta().heartbeat_moves = false; }},
        Bad{"SecondContainerRuns", "oms_430",
            [](fixtures::Upgrade& u) { u.node().second_running = "oms_430"; }},
        Bad{"DiskLow", "free some space",
            [](fixtures::Upgrade& u) { u.facts.volume->free_bytes = 1000; }},
        Bad{"DumpUnsupported", "oms_rm.t.g is a generated column, so that dump",
            [](fixtures::Upgrade& u) {
              u.spec.backup.tool = crd::BackupTool::kMysqldump;
              u.meta().databases[0].obstacles.no_mysqldump = "oms_rm.t.g is a generated column";
            }},
        Bad{"DumpUnsupported", "set spec.backup.tool to mysqldump, or to Auto",
            [](fixtures::Upgrade& u) {
              u.spec.backup.tool = crd::BackupTool::kMydumper;
              u.meta().databases[1].obstacles.no_mydumper = "oms_cm.t.h is INVISIBLE";
            }},
        Bad{"DumpUnsupported", "oms_cm.t.h is INVISIBLE; oms_rm.t.g is a generated column",
            [](fixtures::Upgrade& u) {
              u.meta().databases[0].obstacles.no_mysqldump = "oms_rm.t.g is a generated column";
              u.meta().databases[1].obstacles.no_mydumper = "oms_cm.t.h is INVISIBLE";
            }},
        Bad{"ViewBroken", "drop it",
            [](fixtures::Upgrade& u) {
              u.meta().databases[1].broken_view = "oms_cm.v: no such table";
            }},
        Bad{"HAConfigInvalid", "ha.config",
            [](fixtures::Upgrade& u) { u.meta().ha_raw = "[not an object"; }},
        Bad{"MetaDBDenied", "password",
            [](fixtures::Upgrade& u) {
              u.facts.troubles = {{"MetaDBDenied", "the password is wrong"}};
            }}),
    [](const auto& row) { return std::string(row.param.reason) + std::to_string(row.index); });

TEST(CheckPreflight, WhatOneToolCannotDumpIsNothingToTheOther) {
  for (const auto wanted : {crd::BackupTool::kAuto, crd::BackupTool::kMydumper}) {
    fixtures::Upgrade upgrade;
    upgrade.spec.backup.tool = wanted;
    upgrade.meta().databases[0].obstacles.no_mysqldump = "oms_rm.t.g is a generated column";
    EXPECT_TRUE(upgrade.of(model::Step::kPreflight).complete())
        << upgrade.of(model::Step::kPreflight).message;
  }
  for (const auto wanted : {crd::BackupTool::kAuto, crd::BackupTool::kMysqldump}) {
    fixtures::Upgrade upgrade;
    upgrade.spec.backup.tool = wanted;
    upgrade.meta().databases[0].obstacles.no_mydumper = "oms_rm.t.h is INVISIBLE";
    EXPECT_TRUE(upgrade.of(model::Step::kPreflight).complete())
        << upgrade.of(model::Step::kPreflight).message;
  }
}

TEST(CheckPreflight, CmNodesMayNameMoreThanThisHostOrNothing) {
  fixtures::Upgrade upgrade;
  upgrade.facts.config.emplace();
  EXPECT_THAT(Check(upgrade), IsEmpty());
  upgrade.facts.config->cm_nodes = {"10.0.0.9", "10.0.0.1"};
  EXPECT_THAT(Check(upgrade), IsEmpty());
}

TEST(CheckPreflight, CmNodesWithAHostNameAreNotJudged) {
  fixtures::Upgrade upgrade;
  upgrade.facts.config.emplace();
  upgrade.facts.config->cm_nodes = {"oms-a.example.com", "10.0.0.9"};
  EXPECT_THAT(Check(upgrade), IsEmpty());
}

TEST(CheckPreflight, AHostThatIsOfflineMayBeUnlisted) {
  fixtures::Upgrade upgrade;
  upgrade.meta().hosts.push_back({"10.0.0.2", "OFFLINE"});
  EXPECT_THAT(Check(upgrade), IsEmpty());
}

TEST(CheckPreflight, AFieldThatCannotBeHonouredYetIsRefusedAndNotPassedOver) {
  const std::vector<void (*)(crd::Spec&)> rows = {[](crd::Spec& s) {
    s.meta_db = crd::MetaDb{{}, {}, {}, crd::DatabaseConnect{}};
  }};
  for (const auto& row : rows) {
    fixtures::Upgrade upgrade;
    row(upgrade.spec);
    const auto troubles = Check(upgrade);
    ASSERT_EQ(troubles.size(), 1u);
    EXPECT_EQ(troubles[0].reason, "NotSupportedYet");
  }
}

TEST(CheckPreflight, ACmServerOfItsOwnAsksForTheTasksFrom431On) {
  for (const auto& [to, asked] : {std::pair{"4.3.1", true}, {"4.3.0", false}}) {
    fixtures::Upgrade upgrade;
    upgrade.facts.meta->cm_server = ports::DbServerInfo{"10.11", false, "another"};
    upgrade.spec.image.reference = fmt::format("oms:{}", to);
    const auto troubles = CheckPreflight(upgrade.spec, *crd::Version::Parse("4.2.3"),
                                         *crd::Version::Parse(to), upgrade.facts);
    ASSERT_EQ(troubles.size(), asked ? 1U : 0U) << to;
    if (!asked) continue;
    EXPECT_EQ(troubles[0].reason, "AcknowledgementNeeded");
    EXPECT_THAT(troubles[0].message, HasSubstr("TasksReadyForSeparateCM"));
  }
}

// What a component that keeps running needs, beside a first node that is replaced.
fixtures::Upgrade KeepingTasks() {
  fixtures::Upgrade upgrade;
  upgrade.spec.deployment.keep_tasks_running = true;
  upgrade.spec.deployment.assistant = crd::Image{"tools:4.3.1", "", "", ""};
  model::NodeFacts component = upgrade.facts.nodes.front();
  component.name = "oms-2";
  component.role = crd::NodeRole::kComponent;
  component.keeps_running = true;
  component.component.emplace();
  component.engine->id = "engine-2";
  component.old_container->id = "component";
  for (auto& entry : component.old_container->env) {
    if (entry.starts_with("OMS_HOST_IP=")) entry = "OMS_HOST_IP=10.0.0.2";
  }
  upgrade.facts.nodes.push_back(std::move(component));
  return upgrade;
}

TEST(CheckPreflight, OfAComponentThatKeepsRunning) {
  EXPECT_THAT(Check(KeepingTasks()), IsEmpty());
  struct Row {
    const char* reason;
    void (*change)(fixtures::Upgrade&, model::NodeFacts&);
  };
  const std::vector<Row> rows = {
      {"InvalidSpec",
       [](fixtures::Upgrade& u, model::NodeFacts&) { u.spec.deployment.assistant.reset(); }},
      {"InvalidSpec",
       [](fixtures::Upgrade&, model::NodeFacts& node) { node.keeps_running = false; }},
      {"NameTaken",
       [](fixtures::Upgrade&, model::NodeFacts& node) { node.component->name_taken = true; }},
      {"RunFolderNotMounted",
       [](fixtures::Upgrade&, model::NodeFacts& node) {
         for (auto& mount : node.old_container->mounts) {
           if (mount.destination == "/home/ds/run") mount.source = "run:folder";
         }
       }},
  };
  for (const auto& row : rows) {
    fixtures::Upgrade upgrade = KeepingTasks();
    row.change(upgrade, upgrade.facts.nodes.back());
    const auto troubles = Check(upgrade);
    ASSERT_EQ(troubles.size(), 1u) << row.reason;
    EXPECT_EQ(troubles[0].reason, row.reason);
  }
}

TEST(CheckPreflight, AComponentWhoseUpgradeWasBegunMayNotBeWell) {
  fixtures::Upgrade upgrade = KeepingTasks();
  model::NodeFacts& component = upgrade.facts.nodes.back();
  component.health.emplace();
  ASSERT_EQ(Check(upgrade).at(0).reason, "OMSUnhealthy");
  component.component->begun = true;
  EXPECT_THAT(Check(upgrade), IsEmpty());
}

TEST(CheckPreflight, FromBelow401TasksCannotKeepRunning) {
  fixtures::Upgrade upgrade = KeepingTasks();
  upgrade.spec.acknowledge = {"TasksSettled", "NoOblogproxyTasks", "NoFullImportRunning"};
  const auto troubles = Check(upgrade, "3.4.0");
  EXPECT_TRUE(std::any_of(troubles.begin(), troubles.end(), [](const model::Trouble& trouble) {
    return trouble.reason == "KeepTasksImpossible";
  }));
}

TEST(CheckPreflight, WaitsForAllWordsOfTheOverviewAtOnce) {
  fixtures::Upgrade upgrade;
  upgrade.spec.acknowledge = {"TasksSettled"};
  auto troubles = Check(upgrade, "3.4.0");
  ASSERT_EQ(troubles.size(), 1u);
  EXPECT_EQ(troubles[0].reason, "AcknowledgementNeeded");
  EXPECT_FALSE(troubles[0].passing) << "nothing but an edit mends it";
  EXPECT_THAT(troubles[0].message,
              HasSubstr("write spec.acknowledge: [TasksSettled, NoOblogproxyTasks, "
                        "NoFullImportRunning]"));
  upgrade.spec.acknowledge = {"TasksSettled", "NoOblogproxyTasks", "NoFullImportRunning"};
  EXPECT_THAT(Check(upgrade, "3.4.0"), IsEmpty());
}

TEST(CheckPreflight, TheGuardOfIncrSyncIsReadInHaConfig) {
  fixtures::Upgrade upgrade;
  upgrade.meta().ha_raw = R"({"enable":true,"enableJdbcWriter":true,"enableConnector":false})";
  const auto troubles = Check(upgrade, "4.1.0");
  ASSERT_EQ(troubles.size(), 1u);
  EXPECT_THAT(troubles[0].message, HasSubstr("set enableConnector to true"));
  upgrade.meta().ha_raw = R"({"enable":true,"enableJdbcWriter":true,"enableConnector":true})";
  EXPECT_THAT(Check(upgrade, "4.1.0"), IsEmpty());
}

TEST(CheckPreflight, AWordThatNothingAsksForIsRefusedWithThoseThatThereAre) {
  fixtures::Upgrade upgrade;
  upgrade.spec.acknowledge = {"TasksSetled"};
  const auto troubles = Check(upgrade);
  ASSERT_EQ(troubles.size(), 1u);
  EXPECT_EQ(troubles[0].reason, "InvalidSpec");
  EXPECT_THAT(troubles[0].message, HasSubstr("unknown value in spec.acknowledge: TasksSetled"));
  EXPECT_THAT(troubles[0].message,
              HasSubstr("NoOblogproxyTasks, NoSharePlex, TasksReadyForSeparateCM, TasksSettled"));
}

TEST(AdvisoriesBeforeStart, NamesWhatNothingWaitsForUntilItIsAcknowledged) {
  fixtures::Upgrade upgrade;
  const auto told = [&] {
    return AdvisoriesBeforeStart(upgrade.spec, *crd::Version::Parse("4.3.0"),
                                 *crd::Version::Parse("4.3.1"), upgrade.facts);
  };
  EXPECT_THAT(told(), testing::Contains(HasSubstr("Check that no task reads through oblogproxy")));
  upgrade.spec.acknowledge = {"TasksSettled", "NoOblogproxyTasks", "NoFullImportRunning"};
  EXPECT_THAT(told(), IsEmpty());
}

// A second node that is fit to be upgraded with the first.
fixtures::Upgrade OfTwo() {
  fixtures::Upgrade upgrade;
  model::NodeFacts second = upgrade.node();
  second.name = "oms-2";
  second.engine->id = "engine-2";
  second.old_container->env = {"OMS_HOST_IP=10.0.0.2"};
  upgrade.node().running_version = second.running_version = "4.3.0";
  upgrade.node().parsed_config.emplace();
  second.parsed_config.emplace();
  upgrade.facts.nodes.push_back(second);
  upgrade.meta().hosts.push_back({"10.0.0.2", "ONLINE"});
  return upgrade;
}

TEST(CheckPreflight, NodesMustBeThoseOfOneOms) {
  EXPECT_THAT(Check(OfTwo()), IsEmpty());
  struct Row {
    const char* reason;
    void (*spoil)(model::NodeFacts& first, model::NodeFacts& second);
  };
  const std::vector<Row> rows = {
      {"SameContainer", [](model::NodeFacts&, model::NodeFacts& b) { b.engine->id = "engine"; }},
      {"SameHostIP",
       [](model::NodeFacts&, model::NodeFacts& b) {
         b.old_container->id = "other";
         b.old_container->env = {"OMS_HOST_IP=10.0.0.1"};
       }},
      {"NameTaken",
       [](model::NodeFacts&, model::NodeFacts& b) {
         b.engine->id = "engine";
         b.old_container->id = "other";
       }},
      {"NodeVersionsDiffer",
       [](model::NodeFacts&, model::NodeFacts& b) { b.running_version = "4.2.5"; }},
      {"NodeMetaDBsDiffer",
       [](model::NodeFacts&, model::NodeFacts& b) { b.parsed_config->rm.host = "10.9.9.9"; }},
      {"NodeMetaDBsDiffer",
       [](model::NodeFacts&, model::NodeFacts& b) {
         b.parsed_config->drc_cm_heartbeat_db = "cm_hb_2";
       }},
      {"NoManagementNode", [](model::NodeFacts& a, model::NodeFacts& b) {
         a.role = b.role = crd::NodeRole::kComponent;
       }}};
  for (const auto& row : rows) {
    fixtures::Upgrade upgrade = OfTwo();
    row.spoil(upgrade.facts.nodes[0], upgrade.facts.nodes[1]);
    std::vector<std::string> reasons;
    for (const auto& trouble : Check(upgrade)) reasons.push_back(trouble.reason);
    EXPECT_THAT(reasons, testing::Contains(row.reason));
  }
}

TEST(CheckPreflight, AMaintenanceWindowThatCannotBeReadIsTold) {
  fixtures::Upgrade upgrade;
  upgrade.spec.maintenance_window = {{}, "23:00", "05:00", "Mars/Olympus"};
  const auto troubles = Check(upgrade);
  ASSERT_EQ(troubles.size(), 1u);
  EXPECT_EQ(troubles[0].reason, "InvalidWindow");
}

TEST(CheckPreflight, TheVersionPathComesFirst) {
  fixtures::Upgrade upgrade;
  upgrade.facts.volume->free_bytes = 0;
  const auto troubles = Check(upgrade, "3.1.0", "4.3.1");
  ASSERT_GE(troubles.size(), 2u);
  EXPECT_EQ(troubles[0].reason, "UnsupportedPath");
  EXPECT_EQ(Check(upgrade, "4.3.0", "9.9.9")[0].reason, "UnknownVersion");
}

TEST(CheckPreflight, WhatIsSavedAlreadyNeedsNoRoomAnyMore) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().old_image_size = 8ULL << 30;
  upgrade.facts.volume->free_bytes = 1ULL << 30;  // The image has been saved; dumps fit well.
  EXPECT_EQ(upgrade.of(model::Step::kPreflight).reason, "DiskLow");
  upgrade.node().old_image_saved = true;
  EXPECT_TRUE(upgrade.of(model::Step::kPreflight).complete())
      << upgrade.of(model::Step::kPreflight).message;
}

TEST(PreflightState, SeveralTroublesAreCountedAndTheFirstIsShown) {
  fixtures::Upgrade upgrade;
  upgrade.node().planned_name_taken = true;
  upgrade.facts.volume->free_bytes = 0;
  const auto state = upgrade.of(model::Step::kPreflight);
  EXPECT_EQ(state.reason, "NameTaken");
  EXPECT_THAT(state.message, HasSubstr("(1 more: DiskLow)"));
}

TEST(PreflightState, IsNotPassedBeforeTheHeartbeatWasSeenToMove) {
  fixtures::Upgrade upgrade;
  upgrade.meta().heartbeat_moves.reset();
  EXPECT_EQ(upgrade.of(model::Step::kPreflight).verdict, Verdict::kRunning);
}

TEST(PreflightState, IsNotPassedWhereTheMetaDbWasNotSeen) {
  fixtures::Upgrade upgrade;
  upgrade.facts.meta.reset();
  EXPECT_FALSE(upgrade.of(model::Step::kPreflight).complete());
}

// ------------------------------------------------------------------------- a start below 4.0.1

// By somebody who has seen to all that the overview asks for.
fixtures::Upgrade SeenTo() {
  fixtures::Upgrade upgrade;
  upgrade.spec.acknowledge = {"TasksSettled", "NoOblogproxyTasks", "NoFullImportRunning"};
  return upgrade;
}

TEST(CheckLegacy, ManyDuplicatesAreToldInFewWords) {
  fixtures::Upgrade upgrade = SeenTo();
  upgrade.meta().legacy.emplace();
  for (int i = 0; i < 7; ++i) {
    upgrade.meta().legacy->duplicates.push_back(
        {"oms_sync_project", "task " + std::to_string(i), 300, {"1", "2"}});
  }
  const auto troubles = Check(upgrade, "3.4.0");
  ASSERT_EQ(troubles.size(), 1u);
  EXPECT_EQ(troubles[0].reason, "DuplicateTaskNames");
  EXPECT_THAT(troubles[0].message,
              testing::AllOf(HasSubstr("'task 4' in oms_sync_project (ids 1, 2 and 298 more)"),
                             testing::Not(HasSubstr("task 5")), HasSubstr("2 more names"),
                             HasSubstr("UPDATE oms_sync_project SET project_name")));
}

TEST(CheckLegacy, BlackRegionsNeedTheWordFalseAndNothingElse) {
  fixtures::Upgrade upgrade = SeenTo();
  upgrade.meta().legacy.emplace();
  EXPECT_THAT(Check(upgrade, "3.4.0"), IsEmpty());
  upgrade.meta().legacy->black_regions = {"7"};
  EXPECT_EQ(Check(upgrade, "3.4.0").at(0).reason, "BlackRegionNoChanged");
  upgrade.spec.legacy.data_source_used_at_both_ends = true;
  EXPECT_EQ(Check(upgrade, "3.4.0").at(0).reason, "BlackRegionNoChanged");
  upgrade.spec.legacy.data_source_used_at_both_ends = false;
  EXPECT_THAT(Check(upgrade, "3.4.0"), IsEmpty());
  upgrade.meta().legacy->duplicates = {{"oms_project", "x", 2, {"1", "2"}}};
  EXPECT_EQ(Check(upgrade, "3.4.0").at(0).reason, "DuplicateTaskNames") << "not of those";
}

// ---------------------------------------------------------------------------------------- limits

model::Limits Narrow() {
  return {{"unix:///var/run/docker.sock", "tcp://10.0.0.*:2376"},
          {"/var/lib/oms-upgrade"},
          {"/images/"}};
}

TEST(CheckLimits, LetsThroughWhatTheFlagsName) {
  auto spec = fixtures::SpecOf();
  spec.nodes[0].engine.endpoint = "tcp://10.0.0.17:2376";
  spec.backup.directory = "/var/lib/oms-upgrade/backups/";
  const auto status = model::CheckLimits(spec, Narrow());
  EXPECT_TRUE(status.ok()) << status.error().message;
  spec.backup.directory = "/var/lib/oms-upgrade";
  EXPECT_TRUE(model::CheckLimits(spec, Narrow()).ok());
}

TEST(CheckLimits, RefusesAllElseByAReason) {
  const auto reason = [](void (*change)(crd::Spec&)) {
    auto spec = fixtures::SpecOf();
    spec.backup.directory = "/var/lib/oms-upgrade/x";
    change(spec);
    const auto status = model::CheckLimits(spec, Narrow());
    return status.ok() ? std::string("ok") : status.error().reason;
  };
  EXPECT_EQ(reason([](crd::Spec& s) { s.nodes[0].engine.endpoint = "tcp://10.0.1.1:2376"; }),
            "EngineNotAllowed");
  EXPECT_EQ(
      reason([](crd::Spec& s) { s.nodes[0].engine.endpoint = "unix:///var/run/docker.sock2"; }),
      "EngineNotAllowed");
  EXPECT_EQ(reason([](crd::Spec& s) { s.backup.directory = "/var/lib/oms-upgrade-else"; }),
            "BackupDirectoryNotAllowed");
  EXPECT_EQ(reason([](crd::Spec& s) { s.backup.directory = "/var/lib/oms-upgrade/../../../etc"; }),
            "BackupDirectoryNotAllowed");
  EXPECT_EQ(reason([](crd::Spec& s) { s.backup.directory = "relative"; }),
            "BackupDirectoryNotAllowed");
  EXPECT_EQ(reason([](crd::Spec& s) { s.image.archive = "/images/../etc/shadow"; }),
            "ArchiveNotAllowed");
  EXPECT_EQ(reason([](crd::Spec& s) { s.image.archive.clear(); }), "ok");
}

TEST(MatchesPattern, AStarStandsForAnyRunOfCharacters) {
  EXPECT_TRUE(model::MatchesPattern("*", ""));
  EXPECT_TRUE(model::MatchesPattern("tcp://*:2376", "tcp://a.b:2376"));
  EXPECT_TRUE(model::MatchesPattern("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(model::MatchesPattern("a*b", "abc"));
  EXPECT_FALSE(model::MatchesPattern("", "a"));
}

}  // namespace
}  // namespace oms::steps

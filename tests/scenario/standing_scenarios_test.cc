// Between operations: Ready is for what was seen to be well, and what is said to be done next is
// right for the databases that are there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// As the minutes go by.
void Passes(World& world, Process& process, int count) {
  for (int i = 0; i < count; ++i) {
    (void)process.Pass();
    world.clock.Advance(std::chrono::minutes(1));
  }
}

// ------------------------------------------------------------------------------------------- idle

struct Unwell {
  const char* name;
  const char* says;
  void (*begins)(World&);
  void (*ends)(World&);
};
void PrintTo(const Unwell& unwell, std::ostream* out) { *out << unwell.name; }
class IdleOms : public testing::TestWithParam<Unwell> {};

TEST_P(IdleOms, ThatIsNotWellIsNotReadyAndIsLeftAsItIs) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  const int oms_writes = world.oms_writes;
  world.Locked([&] { GetParam().begins(world); });
  Passes(world, process, 6);
  EXPECT_EQ(Ready(world), "False/OMSUnhealthy") << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr(GetParam().says));
  EXPECT_EQ(std::count_if(world.events.begin(), world.events.end(),
                          [](const auto& e) { return e.starts_with("Warning OMSUnhealthy"); }),
            1);
  world.Locked([&] { GetParam().ends(world); });
  Passes(world, process, 2);
  EXPECT_EQ(Ready(world), "True/Succeeded") << Why(world);
  EXPECT_EQ(world.oms_writes, oms_writes);
}

INSTANTIATE_TEST_SUITE_P(
    Idle, IdleOms,
    testing::Values(Unwell{"Supervisord", "supervisord",
                           [](World& w) { w.supervisor_silent = true; },
                           [](World& w) { w.supervisor_silent = false; }},
                    Unwell{"Console", "oms_console is FATAL", [](World& w) { w.console = "FATAL"; },
                           [](World& w) { w.console = "RUNNING"; }},
                    Unwell{"Host", "OFFLINE", [](World& w) { w.hosts[0].status = "OFFLINE"; },
                           [](World& w) { w.hosts[0].status = "ONLINE"; }},
                    Unwell{"Heart", "heart_beat", [](World& w) { w.heart_stands_still = true; },
                           [](World& w) { w.heart_stands_still = false; }}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(IdleOms, IsNotCalledUnwellForOneLook) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.supervisor_silent = true;
  (void)process.Pass();
  EXPECT_EQ(Ready(world), "True/Succeeded");
  world.supervisor_silent = false;
  Passes(world, process, 3);
  EXPECT_EQ(Ready(world), "True/Succeeded");
  EXPECT_THAT(world.events, Not(Contains(HasSubstr("OMSUnhealthy"))));
}

TEST(IdleOms, ThatCannotBeLookedAtStaysWhatItWas) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.exec_fails = true;
  Passes(world, process, 6);
  EXPECT_EQ(Ready(world), "True/Succeeded") << "that a look got no answer says nothing of OMS";
  world.Locked([&] { world.exec_fails = false, world.supervisor_silent = true; });
  Passes(world, process, 3);
  ASSERT_EQ(Ready(world), "False/OMSUnhealthy");
  world.exec_fails = true;
  Passes(world, process, 3);
  EXPECT_EQ(Ready(world), "False/OMSUnhealthy");
}

TEST(IdleOms, ThatIsWellIsOnlyLookedAt) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  Passes(world, process, 1);
  const int writes = world.writes;
  Passes(world, process, 5);
  EXPECT_EQ(world.writes, writes) << testing::PrintToString(world.log);
}

// -------------------------------------------------------------------------------------- abandoned

World& Abandon(World& world, Process& process) {
  world.script_exit_code = 3;
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  world.Annotate(crd::kAbandon, world.Record()->id);
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Abandoned");
  return world;
}

TEST(Abandoned, AHalfMigratedOmsIsNotReadyAfterAnEdit) {
  World world;
  Process process(world);
  Abandon(world, process);
  world.EditSpec([](json& spec) { spec["historyLimit"] = 7; });
  Passes(world, process, 4);
  EXPECT_EQ(Ready(world), "False/Abandoned") << Why(world);
  const std::string token = "Abandoned-" + world.Record()->id.substr(0, 8);
  EXPECT_THAT(world.Resource().status.message, HasSubstr(std::string(crd::kAccept) + "=" + token));
  // A person has seen to it that it is whole.
  world.Annotate(crd::kAccept, token);
  Passes(world, process, 4);
  EXPECT_THAT(Ready(world), StartsWith("True/")) << Why(world);
  // It is written down, whatever becomes of the annotation.
  world.TakeAnnotation(crd::kAccept);
  Process second(world, "second");
  Passes(world, second, 4);
  EXPECT_THAT(Ready(world), StartsWith("True/")) << Why(world);
}

TEST(Abandoned, AHalfMigratedOmsIsNotReadyForAResourceThatWasMadeAgain) {
  World world;
  Process process(world);
  Abandon(world, process);
  auto again = *world.api.Find({crd::kGroup, crd::kVersionName, crd::kPlural}, {"ns", "oms"});
  world.Delete();
  process.Settle(10);
  again.erase("status");
  again["metadata"] = {{"namespace", "ns"}, {"name", "oms"}};
  world.api.Put({crd::kGroup, crd::kVersionName, crd::kPlural}, again);
  Process second(world, "second");
  Passes(world, second, 4);
  EXPECT_EQ(Ready(world), "False/Abandoned") << Why(world);
}

// --------------------------------------------------------------- the new container is gone, later

void Prune(World& world, const char* container) {
  world.Locked([&] { world.containers.erase(std::string(world.Find(container)->info.id)); });
}

TEST(NewContainer, ThatWasPrunedAfterSuccessNeverLeadsToTheOldOneOnNewDatabases) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EndContainer("oms_431", 0);  // Stopped for work on the host, ...
  Prune(world, "oms_431");           // ... and taken by `docker system prune`.
  for (const char* token : {"", "try again"}) {
    if (*token != '\0') world.Annotate(crd::kResetAt, token);
    process.Settle();
    EXPECT_EQ(Stalled(world), "True/NewContainerGone") << Why(world);
    EXPECT_THAT(world.Resource().status.message, HasSubstr("must not be started"));
    EXPECT_THAT(world.Resource().status.message, Not(HasSubstr("start it")));
    EXPECT_EQ(world.Resource().status.current_version, "4.3.1") << "as the databases are";
  }
  EXPECT_FALSE(world.OmsRuns());
}

TEST(NewContainer, ThatWasPrunedAfterSuccessIsNotNeededForTheWayBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EndContainer("oms_431", 0);
  Prune(world, "oms_431");
  process.Settle();
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST(NewContainer, ThatWasPrunedLongAfterSuccessAsksBeforeTheWayBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EndContainer("oms_431", 0);
  Prune(world, "oms_431");
  world.clock.Advance(std::chrono::hours(100));
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval") << Why(world);
  EXPECT_EQ(world.drops, 0);
}

TEST(NewContainer, ThatWasPrunedNamesWhatKeepsTheSpecFromGoingBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EditSpec([](json& spec) { spec["strategy"]["onVersionRevert"] = "Ignore"; });
  world.EndContainer("oms_431", 0);
  Prune(world, "oms_431");
  process.Settle();
  EXPECT_THAT(Why(world), HasSubstr("Set spec.strategy.onVersionRevert to Rollback and "
                                    "spec.version to 4.3.0 to roll back"));
  world.EditSpec([](json& spec) { spec["strategy"]["onVersionRevert"] = "Rollback"; });
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
}

TEST(NewContainer, OfOneOfTwoNodesThatWasPrunedIsTheSame) {
  World world;
  world.AddSecondNode();
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  world.EndContainer("omsb_431", 0);
  Prune(world, "omsb_431");
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NewContainerGone") << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("omsb_430"));
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_TRUE(world.Find("omsb_430")->info.running);
}

}  // namespace
}  // namespace oms

// Which tool dumps, and that a dump which is not whole never becomes the way back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;
using nlohmann::json;
using ports::DumpTool;
using testing::HasSubstr;

constexpr char kInvisible[] = "oms_rm.inv.note is an INVISIBLE column, which mydumper omits";
constexpr char kGenerated[] = "oms_cm.g.sum is a generated column";

void WithTool(World& world, const char* tool) {
  world.EditSpec([&](json& spec) { spec["backup"]["tool"] = tool; });
}

TEST(DumpTool, IsMydumperWhereNothingStandsInItsWay) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.dumped_with, DumpTool::kMydumper);
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "ProveQueryTimeout"), 0);
}

TEST(DumpTool, IsMysqldumpWhereMydumperWouldLeaveSomethingOut) {
  World world;
  world.obstacles["oms_rm"].no_mydumper = kInvisible;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.dumped_with, DumpTool::kMysqldump);
  EXPECT_EQ(world.query_timeout, 10'000'000U) << "raised for it, and put back";
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "SetGlobalQueryTimeout"), 2);
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
}

TEST(DumpTool, ThatAutoComesToIsProvedBeforeTheStop) {
  World world;
  world.obstacles["oms_rm"].no_mydumper = kInvisible;
  world.no_set_global = true;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/MetaDBDenied") << Why(world);
  EXPECT_TRUE(world.OmsRuns());
}

TEST(DumpTool, ThatWasAskedForAndLeavesSomethingOutIsRefusedWhileOmsRuns) {
  World world;
  world.obstacles["oms_rm"].no_mydumper = kInvisible;
  WithTool(world, "mydumper");
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/DumpUnsupported");
  EXPECT_THAT(Why(world), HasSubstr("oms_rm.inv.note"));
  EXPECT_THAT(Why(world), HasSubstr("set spec.backup.tool to mysqldump, or to Auto"));
  EXPECT_TRUE(world.OmsRuns());
  EXPECT_EQ(world.oms_writes, 0);
  WithTool(world, "Auto");
  EXPECT_TRUE(RunUp(world, process)) << Why(world);
}

TEST(DumpTool, ThatThereIsNoneOfIsToldWithBothReasonsWhileOmsRuns) {
  World world;
  world.obstacles["oms_rm"].no_mydumper = kInvisible;
  world.obstacles["oms_cm"].no_mysqldump = kGenerated;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/DumpUnsupported");
  EXPECT_THAT(Why(world), HasSubstr("oms_rm.inv.note"));
  EXPECT_THAT(Why(world), HasSubstr("oms_cm.g.sum"));
  EXPECT_TRUE(world.OmsRuns());
}

TEST(DumpTool, IsChosenAgainRightBeforeEachDump) {
  World world;
  world.dumps_to_fail = 1;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  ASSERT_EQ(world.dumped_with, DumpTool::kMydumper);
  world.Locked([&] { world.obstacles["oms_rm"].no_mydumper = kInvisible; });
  world.Release();
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.dumped_with, DumpTool::kMysqldump);
}

TEST(DumpTool, OfTheUpgradedStateIsTheOneThatKeepsItWhole) {
  for (const char* wanted : {"Auto", "mydumper"}) {
    World world;
    WithTool(world, wanted);
    Process process(world);
    ASSERT_TRUE(RunUp(world, process)) << Why(world);
    ASSERT_EQ(world.dumped_with, DumpTool::kMydumper);
    world.Locked([&] { world.obstacles["oms_rm"].no_mydumper = kInvisible; });
    Wants(world, "4.3.0");
    ASSERT_TRUE(RunBack(world, process)) << Why(world);
    EXPECT_EQ(world.dumped_with, DumpTool::kMysqldump) << wanted;
  }
}

TEST(DumpTool, ThatThereIsNoneOfForTheUpgradedStateDoesNotHoldUpTheWayBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.Locked([&] {
    world.obstacles["oms_rm"] = {kInvisible, kGenerated};
    world.dumps_to_fail = 1000;  // As the tool does then.
  });
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/UpgradedStateUnsaved") << Why(world);
}

// ------------------------------------------------------------------------- what could not come
// back

TEST(Dump, ThatLacksARowNeverBecomesTheWayBack) {
  World world;
  world.rows_in_dump = 0;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/DumpIncomplete");
  EXPECT_THAT(Why(world), HasSubstr("oms_rm.t: 0 rows in the files, 1 in the database"));
  EXPECT_FALSE(world.Record()->backup);
  EXPECT_FALSE(world.Record()->Passed(model::PointKind::kNewStarting));
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.drops, 0);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST(Preflight, ARightThatABackupNeedsIsAskedForWhileOmsRuns) {
  World world;
  world.denied["oms_cm"] = "user 'oms' lacks TRIGGER on oms_cm: GRANT TRIGGER ON oms_cm.* TO 'oms'";
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/MetaDBDenied");
  EXPECT_THAT(Why(world), HasSubstr("GRANT TRIGGER ON oms_cm.*"));
  EXPECT_TRUE(world.OmsRuns());
  EXPECT_EQ(world.oms_writes, 0);
  world.Locked([&] { world.denied.clear(); });
  EXPECT_TRUE(RunUp(world, process)) << "by itself, once it is granted: " << Why(world);
}

TEST(Preflight, ARowThatCouldNotBeLoadedAgainIsFoundOnceWhileOmsRuns) {
  World world;
  world.too_long["oms_cm"] = "a row of oms_cm.fat holds 9437184 bytes";
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/PacketTooSmall");
  EXPECT_THAT(Why(world), HasSubstr("oms_cm.fat"));
  EXPECT_TRUE(world.OmsRuns());
  EXPECT_EQ(world.oms_writes, 0);
  world.Locked([&] {
    world.too_long.clear();
    world.log.clear();
  });
  ASSERT_TRUE(RunUp(world, process)) << "by itself, once the server takes it: " << Why(world);
  EXPECT_EQ(std::count(world.log.begin(), world.log.end(), "ProveRowsFit"), 3)
      << "once for each database; it reads them";
}

TEST(ScheduledEvents, AreToldBeforeTheStopAndAreLeftForAPersonAfterARollback) {
  World world;
  world.scheduled_events["oms_cm_hb"] = {"purge"};
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_THAT(world.events,
              testing::Contains(AllOf(HasSubstr("SeeToItFirst"), HasSubstr("oms_cm_hb.purge"))));
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_THAT(world.Resource().status.follow_ups,
              testing::Contains(AllOf(HasSubstr("Create these scheduled events again"),
                                      HasSubstr("oms_cm_hb.purge"))));
}

TEST(ScheduledEvents, OfADatabaseThatWasNotRestoredAreStillThere) {
  World world;
  world.scheduled_events["oms_cm_hb"] = {"purge"};
  world.rows_in_dump = 0;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/DumpIncomplete");
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  ASSERT_EQ(world.drops, 0);
  for (const auto& left : world.Resource().status.follow_ups)
    EXPECT_THAT(left, testing::Not(HasSubstr("scheduled events")));
}

TEST(ScheduledEvents, AreInThePlan) {
  World world;
  world.scheduled_events["oms_cm_hb"] = {"purge"};
  world.EditSpec([](json& spec) { spec["mode"] = "Plan"; });
  Process process(world);
  process.Settle();
  const auto& plan = world.Resource().status.plan;
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->steps, testing::Contains(AllOf(testing::StartsWith("Before: "),
                                                   HasSubstr("oms_cm_hb.purge"))));
}

}  // namespace
}  // namespace oms

// What a person has asked for: an annotation is an act, not a state. One that is gone asks for
// nothing, one that was taken is not taken again, and one that names a plan or a difference is for
// that one alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::HasSubstr;

std::string FailsAndGoesBack(World& world, Process& process) {
  world.EditSpec([](json& spec) { spec["strategy"]["onFailure"] = "Rollback"; });
  world.script_exit_code = 3;
  process.Settle();
  return Stalled(world);
}

// ------------------------------------------------------------------------------------- reset
// tokens

TEST(ResetToken, ThatIsTakenAwayReleasesNoLatchedFailure) {
  World world;
  world.Annotate(crd::kResetAt, "an earlier one");
  Process process(world);
  ASSERT_EQ(FailsAndGoesBack(world, process), "True/RolledBackAfterFailure") << Why(world);
  const int oms_writes = world.oms_writes;
  world.TakeAnnotation(crd::kResetAt);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/RolledBackAfterFailure");
  EXPECT_EQ(world.script_runs, 1);
  // The same token again is none either: it was taken.
  world.Annotate(crd::kResetAt, "an earlier one");
  process.Settle();
  EXPECT_EQ(world.script_runs, 1);
  EXPECT_EQ(world.oms_writes, oms_writes) << testing::PrintToString(world.log);
  world.Annotate(crd::kResetAt, "a new one");
  process.Settle();
  EXPECT_EQ(world.script_runs, 2) << Why(world);
}

TEST(ResetToken, ThatIsTakenAwayForgivesNothing) {
  World world;
  world.starts_to_refuse = 1000;
  world.Annotate(crd::kResetAt, "an earlier one");
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/EngineRefused");
  const int refused = world.starts_to_refuse;
  world.TakeAnnotation(crd::kResetAt);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/EngineRefused");
  EXPECT_EQ(world.starts_to_refuse, refused) << "nothing was tried again";
  EXPECT_EQ(world.Resource().status.operation->failures, 4);
}

TEST(ResetToken, ThatIsTakenAwayDoesNotTurnAFailedScriptBack) {
  World world;
  world.script_exit_code = 3;
  world.Annotate(crd::kResetAt, "an earlier one");
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  world.TakeAnnotation(crd::kResetAt);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  EXPECT_EQ(world.Record()->direction, upgrade::Direction::kUpgrade);
}

TEST(ResetToken, ThatIsTakenAwayLeavesAnAbandonedOperationAbandoned) {
  World world;
  world.script_exit_code = 3;
  world.Annotate(crd::kResetAt, "an earlier one");
  Process process(world);
  process.Settle();
  world.Annotate(crd::kAbandon, world.Record()->id);
  process.Settle();
  ASSERT_EQ(Ready(world), "False/Abandoned");
  world.TakeAnnotation(crd::kResetAt);
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Abandoned");
}

TEST(RequestedAt, ThatIsTakenAwayEndsNoPause) {
  World world;
  world.starts_to_refuse = 1000;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.starts_to_refuse == 999; }));
  world.Annotate(crd::kRequestedAt, "now");
  (void)process.Pass();
  ASSERT_EQ(world.starts_to_refuse, 998) << "a new one ends the pause";
  world.TakeAnnotation(crd::kRequestedAt);
  for (int i = 0; i < 3; ++i) (void)process.Pass();  // The clock stands still.
  EXPECT_EQ(world.starts_to_refuse, 998) << "the pause is not over";
}

// ---------------------------------------------------------------------------------------- flapping

TEST(Flapping, IsNotCountedFromAttemptsThatEndedBeforeOmsWasTouched) {
  World world;
  // Held right before HA: nothing of OMS is touched.
  world.EditSpec([](json& spec) {
    spec["maintenanceWindow"] = {{"days", {"Mon"}}, {"start", "03:00"}, {"end", "03:01"}};
  });
  Process process(world);
  for (int i = 0; i < 5; ++i) {
    Wants(world, "4.3.1");
    process.Settle();
    ASSERT_EQ(Ready(world), "False/OutsideWindow") << i << ": " << Why(world);
    Wants(world, "4.3.0");
    process.Settle();
    ASSERT_EQ(Ready(world), "True/RolledBackByRequest") << i << ": " << Why(world);
  }
  EXPECT_EQ(*world.ha, fakes::kHaText);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

}  // namespace
}  // namespace oms

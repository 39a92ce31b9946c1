// What a person has asked for: an annotation is an act, not a state. One that is gone asks for
// nothing, one that was taken is not taken again, and one that names a plan or a difference is for
// that one alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

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

size_t Restored(const World& world) {
  const auto record = world.Record();
  return record ? static_cast<size_t>(std::count_if(
                      record->restores.begin(), record->restores.end(),
                      [](const auto& entry) { return entry.second.restored.has_value(); }))
                : 0;
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
  EXPECT_EQ(world.Record()->direction, model::Direction::kUpgrade);
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

// ----------------------------------------------------------- approvals of an undo, and acceptances

std::string PlanHash(const World& world) {
  const auto status = world.Resource().status;
  return status.plan ? status.plan->hash : std::string();
}

TEST(Approval, OfALateUndoIsForThatRevertAlone) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.clock.Advance(std::chrono::hours(100));
  Wants(world, "4.3.0");
  process.Settle();
  ASSERT_EQ(Ready(world), "False/AwaitingApproval");
  const std::string asked = PlanHash(world);
  // Thought better of; and the approval comes all the same.
  Wants(world, "4.3.1");
  world.Annotate(crd::kApprove, asked);
  process.Settle();
  ASSERT_EQ(Ready(world), "True/Succeeded");
  world.clock.Advance(std::chrono::hours(24 * 30));
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval") << Why(world);
  EXPECT_EQ(world.drops, 0);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("34d 4h ago"));
  world.Annotate(crd::kApprove, PlanHash(world));
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
}

TEST(Approval, OfAnUndoThatWasCalledOffIsUsedUp) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.clock.Advance(std::chrono::hours(100));
  const auto record = *world.Record();
  const std::string file = record.folder + "/" + record.backup->folder + "/oms_cm/data.sql";
  world.Locked([&] { world.files[file][3] ^= 1; });  // Holds it before its stop.
  Wants(world, "4.3.0");
  process.Settle();
  const std::string asked = PlanHash(world);
  world.Annotate(crd::kApprove, asked);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/BackupCorrupt") << Why(world);
  Wants(world, "4.3.1");
  process.Settle();
  ASSERT_EQ(world.Record()->outcome, model::OperationOutcome::kCalledOff) << Why(world);
  world.Locked([&] { world.files[file][3] ^= 1; });
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval") << Why(world);
  EXPECT_NE(PlanHash(world), asked);
  EXPECT_EQ(world.drops, 0);
}

TEST(Accepting, TheDifferenceOfOneDatabaseAcceptsThatOneAlone) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.loads_to_spoil = 6;  // Each of the three, twice.
  Wants(world, "4.3.0");
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/RestoreDiffers") << Why(world);
  std::set<std::string> accepted;
  for (size_t n = 1; n <= 3; ++n) {
    const std::string message = world.Resource().status.message;
    const std::string key = std::string(crd::kAccept) + "=";
    const size_t at = message.find(key);
    ASSERT_NE(at, std::string::npos) << message;
    const std::string token = message.substr(at + key.size());
    EXPECT_TRUE(accepted.insert(token).second) << "asked for each of its own: " << token;
    world.Annotate(crd::kAccept, token);
    world.promises.PersonAccepted();
    process.Settle();
    EXPECT_EQ(Restored(world), n);
    EXPECT_EQ(Stalled(world) == "True/RestoreDiffers", n < 3) << Why(world);
  }
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
}

TEST(Accepting, ADifferenceIsNoAcceptanceOfALaterOne) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.loads_to_spoil = 6;
  Wants(world, "4.3.0");
  process.Settle();
  const std::string message = world.Resource().status.message;
  const std::string token = message.substr(message.rfind('=') + 1);
  // Loaded again, and other rows are wrong.
  world.spoils_with = " with quite another row";
  world.loads_to_spoil = 6;
  world.Annotate(crd::kResetAt, "again");
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/RestoreDiffers");
  world.Annotate(crd::kAccept, token);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/RestoreDiffers");
  EXPECT_EQ(Restored(world), 0u);
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

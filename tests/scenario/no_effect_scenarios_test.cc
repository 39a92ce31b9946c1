// Acts that change nothing, and what somebody sets back each time: tries that failed, bounded as
// any other, and told. Nobody is fought without end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/oms/ha_config.h"
#include "reconcilers/oms/heartbeat.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

int Done(const World& world, const std::string& what) {
  return static_cast<int>(std::count_if(world.log.begin(), world.log.end(), [&](const auto& name) {
    return name.find(what) != std::string::npos;
  }));
}

TEST(NoEffect, OfASwitchThatSomebodySetsBackEachTimeStallsAndGoesOnOnceTheyStop) {
  World world;
  world.after_ha_swap = [&] { world.ha = fakes::kHaText; };
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NoEffect") << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("ha.config is on"));
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_LE(Done(world, "SwapHaConfig"), 20) << "five, in each of four tries";
  // A restart is no retry.
  const int swaps = Done(world, "SwapHaConfig");
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Done(world, "SwapHaConfig"), swaps);
  world.after_ha_swap = nullptr;
  world.Annotate(crd::kResetAt, "they stopped");
  EXPECT_TRUE(RunUp(world, second)) << Why(world);
}

TEST(NoEffect, OfASwitchThatIsSetBackOnTheWayBackStallsWithTheOldVersionRunning) {
  World world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  world.after_ha_swap = [&] { world.ha = *product::DisableHa(*world.ha); };
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NoEffect") << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_LE(Done(world, "SwapHaConfig"), 25);
  world.after_ha_swap = nullptr;
  world.Annotate(crd::kResetAt, "they stopped");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
}

TEST(NoEffect, OfACompactionUnderAnOmsThatStillWritesIsBounded) {
  World world;
  world.before_heartbeat = [&] {
    if (world.OmsRuns() || !world.sequence.base.exists) return;
    ++world.sequence.base.max_id;
    ++world.sequence.base.rows;
    ++world.sequence.base.auto_increment;
  };
  Process process(world);
  process.Settle();
  EXPECT_THAT(Stalled(world), StartsWith("True/")) << Why(world);
  EXPECT_LE(Done(world, "Compact"), 120);
  world.before_heartbeat = nullptr;
  world.Annotate(crd::kResetAt, "it is stopped now");
  EXPECT_TRUE(RunUp(world, process)) << Why(world);
}

}  // namespace
}  // namespace oms

// What is written and answered otherwise, or late.
//
// A record is written, and the answer is an error: a folder that could not be synced, an NFS server
// that says what its first answer would not have said. Whatever record it is, all comes to the
// right end, and the process, which serves other resources too, goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "reconcilers/oms/ha_config.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"
#include "tests/scenario/stride.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;

// True: no pass asked for the end of the process.
bool RunsOn(Process& process, const std::function<bool()>& there) {
  bool fenced = false;
  const bool came = process.RunUntil([&] {
    fenced = fenced || process.LastError().starts_with("Fenced");
    return fenced || there();
  });
  EXPECT_FALSE(fenced) << process.LastError();
  return came && !fenced;
}

// Up and back, with what goes wrong on the way; of how many records and writes, it tells.
struct Counted {
  int records = 0, writes = 0;
};
Counted UpAndBack(const std::function<void(World&, Process&)>& amiss, bool script_fails) {
  World world;
  world.script_exit_code = script_fails ? 3 : 0;
  Process process(world);
  amiss(world, process);
  if (script_fails) {
    EXPECT_TRUE(RunsOn(process, [&] { return Stalled(world) == "True/ScriptFailed"; }))
        << Why(world);
  } else {
    EXPECT_TRUE(RunsOn(process, [&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
    EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.1");
  }
  EXPECT_EQ(world.script_runs, 1);
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunsOn(process, [&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
  EXPECT_TRUE(product::ReadHa(*world.ha)->enabled);
  EXPECT_EQ(world.script_runs, 1);
  return {world.appends, world.WritesOf(process.life)};
}

class LostAnswer : public testing::TestWithParam<bool> {};

TEST_P(LostAnswer, OfAnyRecordLeadsToTheSameEndInTheSameProcess) {
  const int records = UpAndBack([](World&, Process&) {}, GetParam()).records;
  ASSERT_GT(records, 30);
  for (int n = 1; n <= records; n += fixtures::kEvery) {
    SCOPED_TRACE("record " + std::to_string(n) + " of " + std::to_string(records));
    UpAndBack([&](World& world, Process&) { world.answer_to_lose = n; }, GetParam());
    if (HasFailure()) return;
  }
}

// Longer than a pass, and than any step: what was done is written down all the same, and the next
// pass goes on from there.
TEST_P(LostAnswer, OfAnyWriteThatComesAfterTheTimeOfItsPassLosesNothing) {
  constexpr base::Duration kPass = std::chrono::minutes(10), kSlow = std::chrono::minutes(11);
  const int writes =
      UpAndBack([&](World&, Process& process) { process.pass_timeout = kPass; }, GetParam()).writes;
  ASSERT_GT(writes, 60);
  for (int n = 1; n <= writes; n += 3 * fixtures::kEvery) {
    SCOPED_TRACE("write " + std::to_string(n) + " of " + std::to_string(writes));
    UpAndBack(
        [&](World&, Process& process) {
          process.pass_timeout = kPass;
          process.life.SlowAt(n, kSlow);
        },
        GetParam());
    if (HasFailure()) return;
  }
}
// The limit of a step is its own, also where it is longer than that of a pass; and a step that
// takes longer than its own is told by it, however long the pass has been over.
TEST(PassTimeout, IsNotThatOfAStep) {
  for (const char* limit : {"1h", "20m"}) {
    SCOPED_TRACE(limit);
    World world;
    world.EditSpec([&](nlohmann::json& spec) { spec["strategy"]["timeouts"]["haSwitch"] = limit; });
    bool slow = true;
    world.before_ha_swap = [&] {
      if (std::exchange(slow, false)) world.clock.Advance(std::chrono::minutes(25));
    };
    Process process(world);
    process.pass_timeout = std::chrono::minutes(10);
    EXPECT_TRUE(RunsOn(process, [&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
    const auto told = testing::Contains(
        testing::HasSubstr("took longer than 20m0s (spec.strategy.timeouts.haSwitch)"));
    if (limit == std::string("20m")) {
      EXPECT_THAT(world.events, told);
    } else {
      EXPECT_THAT(world.events, testing::Not(testing::Contains(testing::HasSubstr("Warning"))));
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Direction, LostAnswer, testing::Bool(), [](const auto& script_fails) {
  return script_fails.param ? "TurnedBack" : "Undone";
});

}  // namespace
}  // namespace oms

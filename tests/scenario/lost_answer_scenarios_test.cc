// A record is written, and the answer is an error: a folder that could not be synced, an NFS server
// that says what its first answer would not have said. Whatever record it is, all comes to the
// right end, and the process, which serves other resources too, goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/ha_config.h"
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

// Up and back; of how many records, it tells.
int UpAndBack(int answer_to_lose, bool script_fails) {
  World world;
  world.answer_to_lose = answer_to_lose;
  world.script_exit_code = script_fails ? 3 : 0;
  Process process(world);
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
  EXPECT_FALSE(world.both_ran);
  EXPECT_FALSE(world.dropped_while_running);
  EXPECT_TRUE(upgrade::ReadHa(*world.ha)->enabled);
  EXPECT_EQ(world.script_runs, 1);
  return world.appends;
}

class LostAnswer : public testing::TestWithParam<bool> {};

TEST_P(LostAnswer, OfAnyRecordLeadsToTheSameEndInTheSameProcess) {
  const int records = UpAndBack(0, GetParam());
  ASSERT_GT(records, 30);
  for (int n = 1; n <= records; n += upgrade::kEvery) {
    SCOPED_TRACE("record " + std::to_string(n) + " of " + std::to_string(records));
    UpAndBack(n, GetParam());
    if (HasFailure()) return;
  }
}
INSTANTIATE_TEST_SUITE_P(Direction, LostAnswer, testing::Bool(), [](const auto& script_fails) {
  return script_fails.param ? "TurnedBack" : "Undone";
});

}  // namespace
}  // namespace oms

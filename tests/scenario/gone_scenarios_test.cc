// Containers and images that somebody, or something, has taken away or started in the middle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Process;
using fakes::World;
using model::PointKind;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Stands in the middle of the downtime: OMS is stopped, the dumps of all three databases have begun
// and do not end before World::Release().
bool RunIntoTheDump(World& world, Process& process) {
  world.dump_held = true;
  return process.RunUntil([&] { return world.Held(); }) && world.AwaitHeld(3);
}

// Once by the old engine: no container that does not run stays, and with `all` no image that none
// uses.
void Prune(World& world, bool all) {
  world.Locked([&] {
    std::erase_if(world.containers, [](const auto& each) { return !each.second.info.running; });
    std::set<std::string> used;
    for (const auto& [id, container] : world.containers) used.insert(container.info.image_id);
    if (all)
      std::erase_if(world.images, [&](const auto& each) { return !used.contains(each.second.id); });
  });
}

void Remove(World& world, const std::string& name) {
  world.Locked([&] {
    std::erase_if(world.containers, [&](const auto& c) { return c.second.info.name == name; });
  });
}

// ------------------------------------------------------------ a new container that cannot be
// removed

TEST(DeadContainer, BeforeItsStartHoldsUpNoReturn) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.Locked([&] { world.unremovable = {"oms_431"}; });
  Wants(world, "4.3.0");
  world.Release();
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("oms_430")->info.restart_policy, "always");
  EXPECT_THAT(world.events,
              Contains(AllOf(HasSubstr("Warning ContainerNotRemoved"), HasSubstr("oms_431"),
                             HasSubstr("docker rm oms_431"), HasSubstr("driver failed"))));
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("docker rm oms_431")));
  EXPECT_TRUE(world.Find("oms_431")->info.dead);
}

TEST(DeadContainer, AfterSuccessHoldsUpNoReturn) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.Locked([&] { world.unremovable = {"oms_431"}; });
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("docker rm oms_431")));
}

TEST(DeadContainer, WhoseCauseIsGoneBeforeTheEndIsRemoved) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.Locked([&] { world.unremovable = {"oms_431"}, world.restore_held = true; });
  Wants(world, "4.3.0");
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  world.Locked([&] { world.unremovable.clear(); });
  world.Release();
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
  EXPECT_THAT(world.Resource().status.follow_ups, Not(Contains(HasSubstr("docker rm"))));
}

TEST(DeadContainer, ThatAProcessBeforeThisOneLeftIsKnownAsSuch) {
  World world;
  {
    Process first(world, "first");
    ASSERT_TRUE(RunUp(world, first)) << Why(world);
    Wants(world, "4.3.0");
    first.life.DieAfter("Stop oms_431");
    EXPECT_FALSE(RunBack(world, first));
  }
  // The removal was tried, and nothing written down.
  world.Locked([&] {
    world.unremovable = {"oms_431"};
    auto& info = world.Find("oms_431")->info;
    info.dead = true;
    info.status = "removing";
    world.log.clear();
  });
  Process second(world, "second");
  ASSERT_TRUE(RunBack(world, second)) << Why(world);
  EXPECT_THAT(world.log, Not(Contains("SetRestartPolicy no oms_431")));
}

TEST(DeadContainer, ThatWasToBeStartedIsToldAndMadeAgainOnceItIsRemoved) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.Locked([&] {
    world.Find("oms_431")->info.dead = true;
    world.Find("oms_431")->info.status = "dead";
  });
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NameTaken");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("docker rm oms_431"));
  Remove(world, "oms_431");
  EXPECT_TRUE(RunUp(world, process)) << Why(world);
}

// -------------------------------------------------------------------- pruned in the downtime

TEST(OldContainer, ThatIsPrunedInTheDowntimeIsToldAndARevertGoesBack) {
  for (const bool all : {false, true}) {
    World world;
    Process process(world);
    ASSERT_TRUE(RunIntoTheDump(world, process));
    Prune(world, all);
    world.Release();
    process.Settle();
    EXPECT_EQ(Stalled(world), "True/OldContainerGone") << Why(world);
    EXPECT_EQ(world.script_runs, 0);
    const int before = world.writes;
    for (int i = 0; i < 5; ++i) (void)process.Pass();
    EXPECT_EQ(world.writes, before) << "nothing spins";
    Wants(world, "4.3.0");
    ASSERT_TRUE(RunBack(world, process)) << Why(world);
    EXPECT_TRUE(world.Find("oms_430")->info.running);
    EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  }
}

TEST(OldContainer, ThatIsRemovedAloneInTheDowntimeIsToldAndARevertGoesBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  Remove(world, "oms_430");
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OldContainerGone") << Why(world);
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST(OldImage, ThatComesBackWithAnotherIdIsToldAndNotLoadedForEver) {
  World world;
  world.saved_image_differs = true;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  Prune(world, true);
  Wants(world, "4.3.0");
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OldImageDiffers") << Why(world);
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr("sha256:oms430"), HasSubstr("resetAt")));
  const auto loads = [&] { return std::count(world.log.begin(), world.log.end(), "LoadImage"); };
  const auto before = loads();
  for (int i = 0; i < 6; ++i) (void)process.Pass();
  EXPECT_EQ(loads(), before);
  // Brought there by a person.
  world.Locked([&] {
    auto image = world.images.begin()->second;
    image.id = "sha256:oms430";
    world.images["oms:4.3.0"] = image;
    world.loaded_on.erase("oms:4.3.0");
  });
  world.Annotate(crd::kResetAt, "brought");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

// ------------------------------------------------------------- started before its turn

TEST(NewContainer, ThatSomebodyStartsInTheDowntimeIsToldAndNothingIsCompactedUnderIt) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.StartByHand("oms_431");
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NewContainerStarted") << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("docker rm -f oms_431"));
  const auto compacted = [&] { return std::count(world.log.begin(), world.log.end(), "Compact"); };
  const auto before = compacted();
  for (int i = 0; i < 5; ++i) (void)process.Pass();
  EXPECT_EQ(compacted(), before);
  EXPECT_FALSE(world.Record()->Passed(PointKind::kNewStarting));
  // It has written heartbeats, so the dump that was taken is none any more.
  const int dumps = world.Record()->Progress(model::Step::kBackUpDatabases).begun;
  Remove(world, "oms_431");
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_GT(world.Record()->Progress(model::Step::kBackUpDatabases).begun, dumps);
  EXPECT_EQ(world.script_runs, 1);
}

TEST(NewContainer, ThatHasRunBeforeItsTurnIsNotTakenForOneThatHasNot) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunIntoTheDump(world, process));
  world.StartByHand("oms_431");
  world.EndContainer("oms_431", 0);
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NewContainerStarted") << Why(world);
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
}

TEST(NewContainer, ThatSomebodyStartsBeforeTheStopHoldsTheStop) {
  World world;
  world.EditSpec([](nlohmann::json& spec) {
    spec["maintenanceWindow"] = {{"start", "00:00"}, {"end", "00:01"}, {"timeZone", "UTC"}};
  });
  Process process(world);
  ASSERT_TRUE(process.RunUntil(
      [&] { return Ready(world) == "False/OutsideWindow" && world.Find("oms_431") != nullptr; }));
  world.StartByHand("oms_431");
  world.EditSpec([](nlohmann::json& spec) { spec.erase("maintenanceWindow"); });
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/NewContainerStarted") << Why(world);
  EXPECT_FALSE(world.Record()->Passed(PointKind::kStopping));
  Remove(world, "oms_431");
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
}

}  // namespace
}  // namespace oms

// An operation that is held by a window, an approval or a person, and what changes meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/oms/ha_config.h"
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
using testing::Not;
using testing::StartsWith;

// The world's clock begins on Friday 2026-01-02, 03:04:05.
void WindowFromSix(json& spec) {
  spec["maintenanceWindow"] = {{"start", "06:00"}, {"end", "08:00"}, {"timeZone", "UTC"}};
}
void ToSix(World& world) { world.clock.Advance(std::chrono::hours(3)); }

std::string PlanHash(const World& world) {
  const auto plan = world.Resource().status.plan;
  return plan ? plan->hash : "no plan";
}

// --------------------------------------------------------------------------------- a window

TEST(Window, HoldsBeforeHaAndTheStopAndGoesOnOnceItOpens) {
  for (const bool ha_on : {true, false}) {
    SCOPED_TRACE(ha_on);
    World world;
    if (!ha_on) world.ha = R"({"enable":false})";
    world.EditSpec(WindowFromSix);
    Process process(world);
    process.Settle();
    EXPECT_EQ(Ready(world), "False/OutsideWindow") << Why(world);
    EXPECT_THAT(world.log, Contains("LoadImage")) << "the image may be loaded at any time";
    EXPECT_TRUE(world.OmsRuns());
    EXPECT_FALSE(world.Record()->Passed(PointKind::kStopping));
    EXPECT_EQ(product::ReadHa(*world.ha)->enabled, ha_on) << "nothing is switched yet";
    ToSix(world);
    ASSERT_TRUE(process.RunToReady()) << Why(world);
    EXPECT_EQ(Ready(world), "True/Succeeded");
  }
}

TEST(Window, ThatClosesInTheDowntimeHoldsNothing) {
  World world;
  world.EditSpec(WindowFromSix);
  ToSix(world);
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  world.clock.Advance(std::chrono::hours(3));
  world.Release();
  EXPECT_TRUE(process.RunToReady()) << Why(world);
}

TEST(Window, IsNotWaitedForByARollback) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.EditSpec([](json& spec) {
    WindowFromSix(spec);
    spec["version"] = "4.3.0";
  });
  EXPECT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
}

// -------------------------------------------------------------------- what changes meanwhile

TEST(Held, HaThatAPersonSwitchesOffMeanwhileStaysOff) {
  World world;
  world.EditSpec(WindowFromSix);
  Process process(world);
  process.Settle();
  ASSERT_EQ(Ready(world), "False/OutsideWindow");
  const std::string off = R"({"enable": false,  "ownKey": [1, 2], "enableHost":true})";
  world.Locked([&] { world.ha = off; });
  ToSix(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.ha, off);
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("HA was off")));
}

TEST(Held, HaThatAPersonSwitchesOnMeanwhileIsOffWhileOmsIsDownAndOnAgainAfterwards) {
  World world;
  world.ha = R"({"enable":false,"own":1})";
  world.EditSpec(WindowFromSix);
  Process process(world);
  process.Settle();
  ASSERT_EQ(Ready(world), "False/OutsideWindow");
  world.Locked([&] { world.ha = R"({"enable":true,"own":2})"; });
  ToSix(world);
  world.dump_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  EXPECT_EQ(world.ha, R"({"enable":false,"own":2})");
  world.Release();
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  const auto ha = product::ReadHa(*world.ha);
  EXPECT_TRUE(ha->enabled && ha->perceive);
  EXPECT_THAT(*world.ha, HasSubstr("\"own\":2"));
}

TEST(Held, AConfigThatIsEditedMeanwhileIsWhatTheNewOneStartsWith) {
  World world;
  world.EditSpec(WindowFromSix);
  Process process(world);
  process.Settle();
  ASSERT_EQ(Ready(world), "False/OutsideWindow");
  ASSERT_TRUE(world.host_files.contains("/data/conf/config-4.3.1.yaml"));
  world.Locked([&] {
    world.host_files["/data/conf/config.yaml"].content += "\"ghana_server_port\": \"8090\"\n";
  });
  ToSix(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_THAT(world.host_files["/data/conf/config-4.3.1.yaml"].content,
              HasSubstr("\"ghana_server_port\": \"8090\""));
  EXPECT_THAT(world.files.at(world.Record()->folder + "/config/oms-1/config.yaml"),
              HasSubstr("ghana_server_port"));
}

TEST(Held, AContainerThatWasCreatedBeforeTheConfigHadToChangeIsMadeAgain) {
  World world;
  world.EditSpec([](json& spec) {
    WindowFromSix(spec);
    spec["deployment"] = {{"provisioner", "OAT"}, {"oatVersion", "4.3.1"}};
  });
  Process process(world);
  process.Settle();
  ASSERT_EQ(Ready(world), "False/OutsideWindow");
  const std::string created = world.Find("oms_431")->info.id;
  world.EditSpec([](json& spec) { spec["deployment"]["oatVersion"] = "4.3.2"; });
  ToSix(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_NE(world.Find("oms_431")->info.id, created);
  EXPECT_EQ(world.Find("oms_431")->info.FindMount("/home/admin/conf/config.yaml")->source,
            "/data/conf/config-4.3.1.yaml");
}

// ------------------------------------------------------------------------------ an approval

TEST(Approval, OfThePlanThatIsShownBeginsIt) {
  World world;
  world.EditSpec([](json& spec) { spec["approval"] = "Manual"; });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("approve=" + PlanHash(world)));
  EXPECT_EQ(world.oms_writes, 0);
  world.Annotate(crd::kApprove, "another");
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval");
  const std::string hash = PlanHash(world);
  world.Annotate(crd::kApprove, hash);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(Ready(world), "True/Succeeded");
  EXPECT_EQ(world.Resource().status.operation->plan_hash, hash);
  EXPECT_EQ(world.Resource().status.last_handled.approve, hash);
}

TEST(Approval, OfOneUpgradeIsNoneOfTheNextAlike) {
  World world;
  world.EditSpec([](json& spec) { spec["approval"] = "Manual"; });
  Process process(world);
  process.Settle();
  world.Annotate(crd::kApprove, PlanHash(world));
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.0";
    spec["approval"] = "Automatic";
  });
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }));
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.1";
    spec["approval"] = "Manual";
  });
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval");
}

TEST(Approval, IsAskedAnewWhenTheImageIsChangedBeforeTheStop) {
  World world;
  world.archives["/images/other.tar.gz"] = "oms:4.3.1-other";
  world.files["/images/other.tar.gz"] = "another archive of 4.3.1";
  world.load_held = true;
  world.EditSpec([](json& spec) { spec["approval"] = "Manual"; });
  Process process(world);
  process.Settle();
  world.Annotate(crd::kApprove, PlanHash(world));
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  world.EditSpec([](json& spec) {
    spec["image"] = {{"reference", "oms:4.3.1-other"}, {"archive", "/images/other.tar.gz"}};
  });
  world.Release();
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval") << Why(world);
  EXPECT_FALSE(world.Record()->Passed(PointKind::kStopping));
  world.Annotate(crd::kApprove, PlanHash(world));
  process.Settle();
  EXPECT_TRUE(world.Record()->Passed(PointKind::kStopping)) << Why(world);
}

TEST(Approval, OfALateRevertTellsWhatWouldBeLost) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.clock.Advance(std::chrono::hours(100));
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  process.Settle();
  EXPECT_EQ(Ready(world), "False/AwaitingApproval");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("Lost: oms_rm, oms_cm and oms_cm_hb"));
  EXPECT_THAT(world.Resource().status.message, HasSubstr("4d 4h ago"));
  EXPECT_EQ(world.drops, 0);
  world.Annotate(crd::kApprove, PlanHash(world));
  EXPECT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
}

TEST(Flapping, OfTwoSourcesEndsInAnApproval) {
  World world;
  world.EditSpec([](json& spec) { spec["backup"] = {{"image", false}}; });
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  int turns = 0;
  for (const char* version : {"4.3.0", "4.3.1", "4.3.0", "4.3.1"}) {
    world.EditSpec([&](json& spec) { spec["version"] = version; });
    process.Settle();
    if (Ready(world) == "False/AwaitingApproval") break;
    ++turns;
  }
  EXPECT_LT(turns, 4);
  EXPECT_EQ(Ready(world), "False/AwaitingApproval") << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("two sources"));
}

// ------------------------------------------------------------------------------- plan mode

TEST(PlanMode, WritesNothingAnywhereButTheStatus) {
  World world;
  world.EditSpec([](json& spec) { spec["mode"] = "Plan"; });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Planned") << Why(world);
  EXPECT_THAT(world.Resource().status.plan->steps, Contains(HasSubstr("StopContainers: stop")));
  EXPECT_THAT(world.log, testing::Each(StartsWith("kube patch")))
      << testing::PrintToString(world.log);
}

TEST(PlanMode, SetInTheMiddleHoldsLikeSuspend) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.EditSpec([](json& spec) { spec["mode"] = "Plan"; });
  world.Release();
  process.Settle();
  EXPECT_EQ(Ready(world), "False/Planned") << Why(world);
  EXPECT_EQ(world.script_runs, 0);
  world.EditSpec([](json& spec) { spec["mode"] = "Apply"; });
  EXPECT_TRUE(process.RunToReady()) << Why(world);
}

}  // namespace
}  // namespace oms

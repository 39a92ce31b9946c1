#include "reconcilers/steps/new_containers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;

TEST(CreateContainers, OneThatMountsAnotherConfigIsMadeAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  EXPECT_TRUE(upgrade.of(model::Step::kCreateContainers).complete());
  upgrade.record.config_rewrites["oms-1"].path = "/data/conf/config-other.yaml";
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).verdict, Verdict::kPending);
}

TEST(CreateContainers, AFlagThatTheEngineDroppedIsSeenBeforeTheStop) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().new_container->pids_limit = 4096;
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).verdict, Verdict::kFailed);
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).reason, "GuideFlags");
}

TEST(StartContainers, APointWithoutTheActIsTheFirstStart) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.Pass(model::PointKind::kNewStarting, "oms-1", std::nullopt, 1);
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).verdict, Verdict::kPending);
}

TEST(StartContainers, ANewContainerThatEndedIsNotStartedAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.node().new_container->running = false;
  upgrade.node().new_container->status = "exited";
  upgrade.node().new_container->exit_code = 137;
  const auto state = upgrade.of(model::Step::kStartContainers);
  EXPECT_EQ(state.reason, "NewContainerDied");
  EXPECT_FALSE(state.retryable);
  EXPECT_THAT(state.message, HasSubstr("137"));
}

TEST(StartContainers, ANewContainerThatIsGoneIsTold) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.node().new_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).reason, "NewContainerDied");
}

TEST(StartContainers, WhatRestartsAfterTheEndOfTheUpgradeIsNoDeath) {
  fixtures::Upgrade upgrade =
      fixtures::Upgrade().Accepted();  // Restart policy is back: the engine may restart it.
  upgrade.node().new_container->running = false;
  upgrade.node().new_container->status = "restarting";
  EXPECT_TRUE(upgrade.of(model::Step::kStartContainers).complete())
      << upgrade.of(model::Step::kStartContainers).message;
}

}  // namespace
}  // namespace oms::steps

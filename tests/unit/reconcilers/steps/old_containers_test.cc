#include "reconcilers/steps/old_containers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

TEST(StopContainers, APointWithoutTheActIsDoneAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.Pass(model::PointKind::kStopping);  // Died before the stop.
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kPending);
}

TEST(StopContainers, AStoppedContainerThatWouldStartByItselfIsNotDone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.node().old_container->restart_policy = "always";
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kPending);
}

TEST(StopContainers, AnOldContainerStartedByHandIsNotFought) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.node().old_container->started_at = "2026-01-02T03:30:00Z";
  upgrade.node().old_container->running = true;
  const auto state = upgrade.of(model::Step::kStopContainers);
  EXPECT_EQ(state.reason, "OldContainerStarted");
  EXPECT_FALSE(state.retryable);
}

TEST(StopContainers, AnOldContainerStartedBesideTheNewOneIsTold) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.node().old_container->running = true;
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, "OldContainerStarted");
}

TEST(StopContainers, AnOldContainerThatIsGoneHoldsTheUpgradeUpOnlyUntilTheNewOneStarts) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.node().old_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, "OldContainerGone");
  upgrade = fixtures::Upgrade().Started();
  upgrade.node().old_container.reset();
  EXPECT_TRUE(upgrade.of(model::Step::kStopContainers).complete());
}

TEST(StopContainers, AnOldContainerThatCouldNotBeAskedIsNotGone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.node().old_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, "OldContainerGone");
  upgrade.facts.troubles = {{"EngineUnreachable", "no answer", true}};
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kRunning);
}

}  // namespace
}  // namespace oms::steps

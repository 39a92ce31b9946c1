#include "reconcilers/steps/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;

TEST(AwaitHealth, WaitsAndSaysForWhat) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.node().health->heartbeat_fresh = false;
  const auto state = upgrade.of(model::Step::kAwaitHealth);
  EXPECT_EQ(state.verdict, Verdict::kRunning);
  EXPECT_THAT(state.message, HasSubstr("heartbeat"));
}

TEST(AwaitHealth, FailsAfterItsTimeAndRecoversByItself) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.node().health->host_online = false;
  upgrade.facts.now =
      fixtures::At(60) + upgrade.spec.strategy.timeouts.healthy + std::chrono::seconds(1);
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).reason, "ServicesNotHealthy");
  upgrade.node().health->host_online = true;
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kPending);
}

TEST(AwaitHealth, OneHealthyNodeDoesNotSpeakForAnother) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  model::FrozenNode second = upgrade.record.nodes.front();
  second.name = "oms-2";
  upgrade.record.nodes.push_back(second);
  model::NodeFacts node = upgrade.node();
  node.name = "oms-2";
  node.health->host_online = false;
  upgrade.facts.nodes.push_back(node);
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kRunning);
}

TEST(AwaitHealth, FailsAfterItsTimeForAComponentThatSomebodyHasRemoved) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.record.nodes.front().keeps_running = true;
  upgrade.node().old_container.reset();
  upgrade.node().health.reset();
  EXPECT_THAT(upgrade.of(model::Step::kAwaitHealth).message, HasSubstr("waiting for node"));
  upgrade.node().old_gone = true;
  EXPECT_THAT(upgrade.of(model::Step::kAwaitHealth).message, HasSubstr("was removed"));
  upgrade.facts.now =
      fixtures::At(60) + upgrade.spec.strategy.timeouts.healthy + std::chrono::seconds(1);
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).reason, "ServicesNotHealthy");
}

}  // namespace
}  // namespace oms::steps

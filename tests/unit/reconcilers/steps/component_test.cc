#include "reconcilers/steps/component.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/reasons.h"
#include "reconcilers/steps/image.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;
using Kind = AssistantState::Kind;

// HA is off, and the component on oms-2 is next.
fixtures::Upgrade AtComponent() {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().HaOff());
  model::FrozenNode& frozen = upgrade.record.nodes.back();
  frozen.role = crd::NodeRole::kComponent;
  frozen.keeps_running = true;
  model::NodeFacts& node = fixtures::Second(upgrade);
  node.role = frozen.role;
  node.keeps_running = true;
  node.new_container.reset();
  node.component.emplace();
  node.component->image = ports::ImageInfo{};
  upgrade.spec.deployment.assistant = crd::Image{.reference = "oms-tools:4.3.1"};
  return upgrade;
}

// The assistant was started at 50, and stands as is said.
fixtures::Upgrade Assisted(const std::string& status, int exit_code = 0) {
  fixtures::Upgrade upgrade = AtComponent();
  upgrade.Pass(model::PointKind::kComponentUpgrading, "oms-2", std::nullopt, 1);
  ports::ContainerInfo assistant;
  assistant.id = "assistant-id";
  assistant.name = model::kAssistantName;
  assistant.image = "oms-tools:4.3.1";
  assistant.status = status;
  assistant.running = status == "running";
  assistant.exit_code = exit_code;
  fixtures::Second(upgrade).component->assistant = assistant;
  return upgrade;
}

AssistantState AssistantStateIn(fixtures::Upgrade upgrade) {
  return AssistantStateOf(upgrade.spec, upgrade.record, upgrade.record.nodes.back(),
                          fixtures::Second(upgrade), upgrade.facts.now);
}

TEST(AssistantState, BeginsWithTheStartOfTheAssistant) {
  EXPECT_EQ(AssistantStateIn(AtComponent()).kind, Kind::kNotYet);
  EXPECT_EQ(AssistantStateIn(Assisted("created")).kind, Kind::kNotYet);
  EXPECT_EQ(AssistantStateIn(Assisted("running")).kind, Kind::kCopies);
}

TEST(AssistantState, OfAnAssistantThatStaysIsTheScriptOnceItHasHadItsTime) {
  fixtures::Upgrade upgrade = Assisted("running");
  fixtures::Second(upgrade).component->script_there = true;
  EXPECT_EQ(AssistantStateIn(upgrade).kind, Kind::kArrived);
  upgrade.facts.now = fixtures::At(51);
  EXPECT_EQ(AssistantStateIn(upgrade).kind, Kind::kCopies) << "it may still write";
}

TEST(AssistantState, OfAnAssistantThatEndedIsItsExitCodeAndTheScript) {
  fixtures::Upgrade upgrade = Assisted("exited");
  EXPECT_EQ(AssistantStateIn(upgrade).kind, Kind::kFailed) << "it left nothing";
  fixtures::Second(upgrade).component->script_there = true;
  EXPECT_EQ(AssistantStateIn(upgrade).kind, Kind::kArrived);
  EXPECT_THAT(AssistantStateIn(Assisted("exited", 3)).why, HasSubstr("exit code 3"));
}

TEST(AssistantState, IsNotWaitedForWithoutEnd) {
  fixtures::Upgrade upgrade = Assisted("running");
  upgrade.facts.now = fixtures::At(50) + kAssistantTakes + upgrade.spec.strategy.timeouts.start;
  EXPECT_EQ(AssistantStateIn(upgrade).kind, Kind::kCopies);
  upgrade.facts.now += std::chrono::seconds(1);
  EXPECT_EQ(AssistantStateIn(upgrade).kind, Kind::kFailed);
}

TEST(UpgradeComponents, IsSkippedWhereNoneKeepsRunning) {
  const fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  EXPECT_EQ(upgrade.of(model::Step::kUpgradeComponents).verdict, Verdict::kSkipped);
  EXPECT_STREQ(UpgradeComponents::LeftOut(upgrade.record), kNoneKept);
  EXPECT_EQ(UpgradeComponents::LeftOut(AtComponent().record), nullptr);
}

TEST(UpgradeComponents, AnAssistantThatFailedMayBeRunAgain) {
  const StepState failed = Assisted("exited", 3).of(model::Step::kUpgradeComponents);
  EXPECT_EQ(failed.verdict, Verdict::kFailed);
  EXPECT_EQ(failed.reason, "AssistantFailed");
  EXPECT_TRUE(failed.retryable);
}

TEST(UpgradeComponents, IsHistoryOnceOmsIsStopped) {
  fixtures::Upgrade upgrade = AtComponent();
  EXPECT_EQ(upgrade.of(model::Step::kUpgradeComponents).verdict, Verdict::kPending);
  upgrade.Pass(model::PointKind::kStopping);
  EXPECT_EQ(upgrade.of(model::Step::kUpgradeComponents).verdict, Verdict::kDone);
}

TEST(UpgradeComponents, ASpecWhoseAssistantIsGoneIsTold) {
  fixtures::Upgrade upgrade = AtComponent();
  upgrade.spec.deployment.assistant.reset();
  EXPECT_EQ(upgrade.of(model::Step::kUpgradeComponents).reason, crd::reason::kInvalidSpec);
  EXPECT_EQ(upgrade.of(model::Step::kLoadAssistant).reason, crd::reason::kInvalidSpec);
}

}  // namespace
}  // namespace oms::steps

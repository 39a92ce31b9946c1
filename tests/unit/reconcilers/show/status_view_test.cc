#include "reconcilers/show/status_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/conditions.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::show {
namespace {

using Kind = decide::Decision::Kind;
using testing::HasSubstr;
using testing::IsEmpty;

struct Shown {
  fixtures::Upgrade upgrade;
  crd::OmsUpgrade resource;
  observe::Site site;

  explicit Shown(fixtures::Upgrade of) : upgrade(std::move(of)) {
    resource.spec = upgrade.spec;
    resource.meta.generation = 3;
    observe::SiteNode node;
    node.name = "oms-1";
    node.info.id = "engine";
    node.named = fixtures::OldContainer();
    site.nodes = {node};
    site.running = *crd::Version::Parse("4.3.0");
  }
  crd::Status Build(crd::Status before = {}, int at = 200) {
    const steps::State state = upgrade.state();
    ViewInput in{resource, site};
    in.record = &upgrade.record;
    in.facts = &upgrade.facts;
    in.state = upgrade.record.open() ? &state : nullptr;
    in.decision = upgrade.record.open()
                      ? upgrade.Decide()
                      : decide::Decision{Kind::kIdle, model::Step::kPreflight, "Succeeded", "done"};
    in.now = fixtures::At(at);
    in.steady_now = upgrade.facts.steady_now;
    return BuildStatus(std::move(before), in);
  }
};

std::string Of(const crd::Status& status, std::string_view type) {
  const auto* condition = crd::FindCondition(status.conditions, type);
  if (condition == nullptr) return "absent";
  return std::string(condition->status == kube::ConditionStatus::kTrue    ? "True"
                     : condition->status == kube::ConditionStatus::kFalse ? "False"
                                                                          : "Unknown") +
         "/" + condition->reason;
}

fixtures::Upgrade Closed() {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  for (const auto& info : model::StepsOf(model::Direction::kUpgrade))
    upgrade.record.NoteSeen(info.step, fixtures::At(80));
  upgrade.record.outcome = model::OperationOutcome::kSucceeded;
  upgrade.record.outcome_reason = "Succeeded";
  upgrade.record.ended = fixtures::At(90);
  upgrade.record.t1 = fixtures::At(10);
  upgrade.record.t2 = fixtures::At(70);
  upgrade.record.backup->databases = {
      {"oms_rm", 1, "a"}, {"oms_cm", 2, "b"}, {"oms_cm_hb", 3, "c"}};
  return upgrade;
}

TEST(BuildStatus, StepsThatAreDoneAreTrueTheOneAtHandFalseTheRestUnknown) {
  const auto status = Shown(fixtures::Upgrade().Compact()).Build();
  EXPECT_EQ(Of(status, "PreflightPassed"), "True/Done");
  EXPECT_EQ(Of(status, "ContainersStopped"), "True/Done");
  EXPECT_EQ(Of(status, "DatabasesBackedUp"), "False/InProgress");
  EXPECT_EQ(Of(status, "UpgradeScriptRun"), "Unknown/NotStarted");
  EXPECT_EQ(Of(status, "SchemaCorrected"), "True/Skipped");
  EXPECT_EQ(Of(status, "Ready"), "False/Progressing");
  EXPECT_EQ(Of(status, "Reconciling"), "True/Progressing");
  EXPECT_THAT(Of(status, "Stalled"), testing::StartsWith("False"));
  EXPECT_EQ(status.observed_generation, 3);
}

TEST(BuildStatus, ContainersAreNotSaidToBeStartedWhenTheyAreOnlyCreated) {
  const auto status = Shown(fixtures::Upgrade().Prepared()).Build();
  EXPECT_NE(Of(status, "ContainersStarted").substr(0, 4), "True");
}

TEST(BuildStatus, AFailureIsStalledWithItsReason) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptEnded();
  upgrade.node().script->exit_code = 4;
  const auto status = Shown(upgrade).Build();
  EXPECT_EQ(Of(status, "UpgradeScriptRun"), "False/ScriptFailed");
  EXPECT_EQ(Of(status, "Stalled"), "True/ScriptFailed");
  EXPECT_THAT(Of(status, "Reconciling"), testing::StartsWith("False"));
  EXPECT_EQ(status.phase, "Stalled");
}

TEST(BuildStatus, AClosedOperationIsReadyWithItsDowntimeBackupsAndFollowUps) {
  const auto status = Shown(Closed()).Build();
  EXPECT_EQ(Of(status, "Ready"), "True/Succeeded");
  EXPECT_EQ(Of(status, "HAEnabled"), "True/Done");
  EXPECT_EQ(status.downtime, std::chrono::seconds(60));
  ASSERT_EQ(status.backups.size(), 3u);
  EXPECT_EQ(status.history.size(), 1u);
  EXPECT_EQ(status.follow_ups.size(), 2u);
  EXPECT_EQ(status.progress->percent, 100);
  EXPECT_EQ(status.direction, crd::Direction::kNone);
}

TEST(BuildStatus, HaThatStaysOffIsALoudFollowUp) {
  fixtures::Upgrade upgrade = Closed();
  upgrade.record.ha_was_on = false;
  const auto status = Shown(upgrade).Build();
  ASSERT_EQ(status.follow_ups.size(), 3u);
  EXPECT_THAT(status.follow_ups[0], HasSubstr("HA"));
}

TEST(BuildStatus, ADowntimeThatComesNearItsBudgetIsToldOnceForEachLevel) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.record.t1 = fixtures::At(0);
  upgrade.spec.strategy.downtime_budget = std::chrono::hours(4);
  const auto hours = [](double n) { return static_cast<int>(n * 3600); };
  Shown shown(upgrade);
  EXPECT_THAT(shown.Build({}, hours(3)).follow_ups, IsEmpty()) << "three quarters are well yet";
  const auto near = shown.Build({}, hours(3) + 1);
  ASSERT_EQ(near.follow_ups.size(), 1u);
  EXPECT_THAT(near.follow_ups[0], HasSubstr("three quarters of 4h"));
  EXPECT_THAT(near.follow_ups[0], HasSubstr("12h"));
  EXPECT_EQ(shown.Build({}, hours(3.9)).follow_ups, near.follow_ups);
  const auto over = shown.Build({}, hours(4) + 1);
  ASSERT_EQ(over.follow_ups.size(), 1u);
  EXPECT_THAT(over.follow_ups[0], HasSubstr("for more than 4h"));
  upgrade.record.t2 = fixtures::At(hours(3));
  EXPECT_THAT(Shown(upgrade).Build({}, hours(9)).follow_ups, IsEmpty()) << "OMS is back";
}

TEST(BuildStatus, TheSameLookMakesTheSameStatus) {
  for (auto make :
       {+[] { return fixtures::Upgrade(); }, +[] { return fixtures::Upgrade().HaOff(); },
        +[] { return fixtures::Upgrade().Dumped(); }, +[] { return fixtures::Upgrade().Healthy(); },
        +[] { return Closed(); }}) {
    Shown shown(make());
    const auto once = shown.Build();
    const auto twice = shown.Build(once, 300);
    EXPECT_TRUE(once == twice) << "a pass with nothing new must not write";
  }
}

TEST(BuildStatus, AnErasedStatusIsBuiltAgainFromTheRecord) {
  Shown shown(fixtures::Upgrade().Started());
  const auto before = shown.Build();
  const auto again = shown.Build(crd::Status());
  EXPECT_EQ(again.operation, before.operation);
  EXPECT_EQ(again.phases, before.phases);
}

TEST(SameButForProgress, TellsBytesFromTransitions) {
  Shown shown(fixtures::Upgrade().Compact());
  shown.upgrade.Task(model::Step::kBackUpDatabases, model::TaskView::State::kRunning);
  const auto before = shown.Build();
  shown.upgrade.facts.tasks["BackUpDatabases"].done = 50;
  shown.upgrade.facts.tasks["BackUpDatabases"].total = 100;
  const auto bytes = shown.Build(before);
  EXPECT_FALSE(before == bytes);
  EXPECT_TRUE(SameButForProgress(before, bytes));
  const auto next = Shown(fixtures::Upgrade().Dumped()).Build(bytes);
  EXPECT_FALSE(SameButForProgress(bytes, next));
}

}  // namespace
}  // namespace oms::show

#include "crd/conditions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "crd/reasons.h"

namespace oms::crd {
namespace {

using kube::ConditionStatus;

const base::WallTime kMorning = *base::ParseTime("2026-01-02T03:04:05Z");
const base::WallTime kNoon = *base::ParseTime("2026-01-02T12:00:00Z");

const kube::Condition& Get(const Conditions& conditions, std::string_view type) {
  const kube::Condition* const found = FindCondition(conditions, type);
  EXPECT_NE(found, nullptr) << type;
  static const kube::Condition none;
  return found ? *found : none;
}

Conditions Fresh() {
  Conditions conditions;
  InitConditions(conditions, {1, kMorning});
  return conditions;
}

TEST(Conditions, AreAllThereAsUnknownFromTheFirstVisit) {
  const Conditions conditions = Fresh();
  EXPECT_EQ(conditions.size(), 3u + 15u + 8u);  // Three steps serve both ways.
  for (const auto& condition : conditions) {
    EXPECT_EQ(condition.status, ConditionStatus::kUnknown) << condition.type;
    EXPECT_EQ(condition.reason, "NotStarted");
    EXPECT_EQ(condition.observed_generation, 1);
    EXPECT_EQ(condition.last_transition_time, kMorning);
  }
  EXPECT_EQ(conditions[0].type, "Ready");
  EXPECT_EQ(conditions[3].type, "PreflightPassed");
  EXPECT_EQ(conditions[17].type, "HAEnabled");
  EXPECT_EQ(conditions.back().type, "RollbackCompleted");
}

TEST(Conditions, KeepWhatTheySayWhenOnesThatAreMissingAreAdded) {
  Conditions conditions = Fresh();
  MarkTrue(conditions, kImageLoaded, reason::kDone, "loaded", {1, kMorning});
  conditions.erase(conditions.begin() + 3);
  std::swap(conditions[0], conditions[5]);
  conditions.push_back({.type = "Foreign", .reason = "X"});
  InitConditions(conditions, {2, kNoon});
  EXPECT_EQ(conditions.size(), 26u);
  EXPECT_EQ(conditions[0].type, "Ready");
  EXPECT_EQ(Get(conditions, "ImageLoaded").message, "loaded");
  EXPECT_EQ(Get(conditions, "ImageLoaded").last_transition_time, kMorning);
  EXPECT_EQ(Get(conditions, "PreflightPassed").last_transition_time, kNoon);
}

TEST(Conditions, ATransitionTimeChangesOnlyWithTheStatus) {
  Conditions conditions = Fresh();
  MarkFalse(conditions, kImageLoaded, reason::kInProgress, "10%", {1, kMorning});
  MarkFalse(conditions, kImageLoaded, "EngineUnreachable", "no answer", {2, kNoon});
  EXPECT_EQ(Get(conditions, "ImageLoaded").last_transition_time, kMorning);
  EXPECT_EQ(Get(conditions, "ImageLoaded").reason, "EngineUnreachable");
  EXPECT_EQ(Get(conditions, "ImageLoaded").observed_generation, 2);
  MarkTrue(conditions, kImageLoaded, reason::kDone, "", {2, kNoon});
  EXPECT_EQ(Get(conditions, "ImageLoaded").last_transition_time, kNoon);
  MarkUnknown(conditions, kImageLoaded, reason::kInProgress, "", {2, kMorning});
  EXPECT_EQ(Get(conditions, "ImageLoaded").last_transition_time, kMorning);
}

TEST(Conditions, SayingTheSameAgainChangesNothing) {
  Conditions conditions = Fresh();
  MarkTrue(conditions, kImageLoaded, reason::kDone, "loaded", {1, kMorning});
  Summarize(conditions, {Standing::kInProgress, "Progressing", "at work"}, {1, kMorning});
  const Conditions before = conditions;
  InitConditions(conditions, {1, kNoon});
  MarkTrue(conditions, kImageLoaded, reason::kDone, "loaded", {1, kNoon});
  Summarize(conditions, {Standing::kInProgress, "Progressing", "at work"}, {1, kNoon});
  EXPECT_EQ(conditions, before);
}

TEST(Conditions, ANewOperationBeginsWithAllStepsUnknown) {
  Conditions conditions = Fresh();
  for (const auto& step : UpgradeSteps()) {
    MarkTrue(conditions, step, reason::kDone, "done", {1, kMorning});
  }
  Summarize(conditions, {Standing::kCurrent, "Succeeded", ""}, {1, kMorning});
  ResetSteps(conditions, {2, kNoon});
  for (const auto& step : UpgradeSteps()) {
    EXPECT_EQ(Get(conditions, step.type).status, ConditionStatus::kUnknown) << step.type;
    EXPECT_EQ(Get(conditions, step.type).message, "");
  }
  EXPECT_TRUE(IsTrue(conditions, kReady)) << "not a step";
}

TEST(Conditions, ALongMessageIsCutBetweenTwoCharacters) {
  Conditions conditions;
  std::string message;
  for (int i = 0; i < 1000; ++i) message += "次";
  MarkFalse(conditions, kImageLoaded, reason::kFailed, message, {1, kMorning});
  const std::string& cut = Get(conditions, "ImageLoaded").message;
  EXPECT_LE(cut.size(), kMaxMessageBytes);
  EXPECT_TRUE(cut.ends_with("次..."));
  EXPECT_EQ((cut.size() - 3) % 3, 0u);
}

// What kstatus reads from them: kubernetes-sigs/cli-utils pkg/kstatus/status/generic.go, in its
// order.
std::string Kstatus(const Conditions& conditions) {
  for (const auto& condition : conditions) {
    if (condition.type == "Reconciling" && condition.status == ConditionStatus::kTrue) {
      return "InProgress";
    }
    if (condition.type == "Stalled" && condition.status == ConditionStatus::kTrue) return "Failed";
  }
  return IsTrue(conditions, kReady) ? "Current" : "InProgress";
}

TEST(Summarize, KstatusReadsEveryStandingRightly) {
  const std::pair<Standing, const char*> table[] = {
      {Standing::kCurrent, "Current"},    {Standing::kInProgress, "InProgress"},
      {Standing::kHeld, "InProgress"},    {Standing::kFailed, "Failed"},
      {Standing::kUnknown, "InProgress"},
  };
  for (const auto& [standing, expected] : table) {
    Conditions conditions = Fresh();
    Summarize(conditions, {standing, "Why", "text"}, {1, kMorning});
    EXPECT_EQ(Kstatus(conditions), expected) << static_cast<int>(standing);
    EXPECT_FALSE(IsTrue(conditions, kReconciling) && IsTrue(conditions, kStalled));
    for (const auto type : {kReconciling, kStalled}) {
      EXPECT_NE(Get(conditions, type).status, ConditionStatus::kUnknown) << type;
      EXPECT_FALSE(Get(conditions, type).reason.empty());
    }
  }
}

TEST(Summarize, TheOneThatHoldsSaysWhyAndTheOtherIsAsExpected) {
  Conditions conditions = Fresh();
  Summarize(conditions, {Standing::kFailed, "BackupCorrupt", "do this"}, {3, kMorning});
  EXPECT_EQ(Get(conditions, kReady).status, ConditionStatus::kFalse);
  EXPECT_EQ(Get(conditions, kReady).reason, "BackupCorrupt");
  EXPECT_EQ(Get(conditions, kStalled).reason, "BackupCorrupt");
  EXPECT_EQ(Get(conditions, kStalled).message, "do this");
  EXPECT_EQ(Get(conditions, kReconciling).reason, "AsExpected");
  EXPECT_EQ(Get(conditions, kReconciling).message, "");
}

// Longer than a string keeps in itself: a view of a copy would show freed memory.
TEST(Summarize, ALongReasonArrivesWhole) {
  const std::string reason(200, 'R');
  Conditions conditions = Fresh();
  Summarize(conditions, {Standing::kFailed, reason, "text"}, {1, kNoon});
  EXPECT_EQ(Get(conditions, kReady).reason, reason);
  EXPECT_EQ(Get(conditions, kStalled).reason, reason);
}

TEST(Summarize, EveryConditionSpeaksOfTheGenerationThatWasLookedAt) {
  Conditions conditions = Fresh();
  Summarize(conditions, {Standing::kCurrent, "Succeeded", ""}, {7, kNoon});
  for (const auto& condition : conditions) {
    EXPECT_EQ(condition.observed_generation, 7) << condition.type;
  }
}

TEST(Steps, AreThoseOfTheDesignInItsOrder) {
  std::vector<std::string> upgrade, rollback;
  for (const auto& step : UpgradeSteps()) upgrade.emplace_back(step.type);
  for (const auto& step : RollbackSteps()) rollback.emplace_back(step.type);
  EXPECT_THAT(upgrade,
              testing::ElementsAre("PreflightPassed", "ImageLoaded", "HADisabled",
                                   "ComponentUpgraded", "ContainersStopped", "HeartbeatCompacted",
                                   "DatabasesBackedUp", "ConfigBackedUp", "ConfigRewritten",
                                   "ContainersStarted", "SchemaCorrected", "MetadataInitialized",
                                   "UpgradeScriptRun", "ServicesHealthy", "HAEnabled"));
  EXPECT_THAT(rollback,
              testing::ElementsAre("RollbackNeeded", "BackupsVerified", "HADisabled",
                                   "NewContainersStopped", "UpgradedStateSaved",
                                   "DatabasesRestored", "ConfigRestored", "OldContainersRestarted",
                                   "ServicesHealthy", "HAEnabled", "RollbackCompleted"));
}

}  // namespace
}  // namespace oms::crd

#include "reconcilers/decide/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/reasons.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::decide {
namespace {

using Kind = Decision::Kind;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

crd::Version V(const char* text) { return *crd::Version::Parse(text); }

const steps::StepState kPassed{steps::Verdict::kDone, "Done", ""};

Decision Without(const crd::Spec& spec, const steps::StepState* preflight) {
  const crd::Version running = V("4.3.0");
  IdleInput idle{running};
  idle.preflight = preflight;
  idle.now = fixtures::At(1000);
  UserRequests requests;
  requests.version = crd::Version::Parse(spec.version);
  return DecideWithoutOperation(spec, idle, requests);
}

// ---------------------------------------------------------------------------- without an operation

struct WithoutCase {
  const char* name;
  const char* wanted;
  Kind kind;
  const char* reason;
};
class WithoutOperation : public testing::TestWithParam<WithoutCase> {};

TEST_P(WithoutOperation, IsDecidedByTheVersionThatRuns) {
  const auto decision = Without(fixtures::SpecOf(GetParam().wanted), &kPassed);
  EXPECT_EQ(decision.kind, GetParam().kind);
  EXPECT_EQ(decision.reason, GetParam().reason);
}
INSTANTIATE_TEST_SUITE_P(
    Versions, WithoutOperation,
    testing::Values(WithoutCase{"Equal", "4.3.0", Kind::kIdle, "UpToDate"},
                    WithoutCase{"EqualOtherwiseWritten", "V4.3.0", Kind::kIdle, "UpToDate"},
                    WithoutCase{"Higher", "4.3.1", Kind::kOpen, "Progressing"},
                    WithoutCase{"HigherAsANumber", "4.10.0", Kind::kOpen, "Progressing"},
                    WithoutCase{"Lower", "4.2.5", Kind::kStall, "DowngradeRefused"},
                    WithoutCase{"Malformed", "latest", Kind::kStall, "InvalidVersion"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(DecideWithoutOperation, AFailedPreflightStallsWithItsReasonAndIsLookedAtAgain) {
  const steps::StepState failed{steps::Verdict::kFailed, "DiskLow", "make room"};
  const auto decision = Without(fixtures::SpecOf(), &failed);
  EXPECT_EQ(decision.kind, Kind::kStall);
  EXPECT_EQ(decision.reason, "DiskLow");
  EXPECT_TRUE(decision.wait.has_value());
}

TEST(DecideWithoutOperation, AFailedPreflightIsToldAlsoWhileSuspended) {
  const steps::StepState failed{steps::Verdict::kFailed, "DiskLow", "make room"};
  auto spec = fixtures::SpecOf();
  spec.suspend = true;
  EXPECT_EQ(Without(spec, &failed).kind, Kind::kStall);
}

TEST(DecideWithoutOperation, SuspendAndPlanHoldBeforeTheStart) {
  auto spec = fixtures::SpecOf();
  spec.suspend = true;
  EXPECT_EQ(Without(spec, &kPassed).reason, "Suspended");
  spec.suspend = false;
  spec.mode = crd::Mode::kPlan;
  const auto decision = Without(spec, &kPassed);
  EXPECT_EQ(decision.kind, Kind::kHold);
  EXPECT_EQ(decision.reason, "Planned");
}

TEST(DecideWithoutOperation, ALookThatIsNotCompleteIsWaitedFor) {
  const steps::StepState looking{steps::Verdict::kRunning, "InProgress", "watching"};
  const auto decision = Without(fixtures::SpecOf(), &looking);
  EXPECT_EQ(decision.kind, Kind::kWait);
  EXPECT_TRUE(decision.wait.has_value());
}

// ------------------------------------------------------------------------------ with an operation

TEST(Decide, TakesTheFirstStepThatIsNotDone) {
  EXPECT_EQ(fixtures::Upgrade().Decide().step, model::Step::kLoadImage);
  EXPECT_EQ(fixtures::Upgrade().Prepared().Decide().step, model::Step::kDisableHa);
  EXPECT_EQ(fixtures::Upgrade().HaOff().Decide().step, model::Step::kStopContainers);
  EXPECT_EQ(fixtures::Upgrade().Compact().Decide().step, model::Step::kBackUpDatabases);
  EXPECT_EQ(fixtures::Upgrade().Accepted().Decide().step, model::Step::kEnableHa);
  EXPECT_EQ(fixtures::Upgrade().Accepted().Decide().kind, Kind::kRun);
}

TEST(Decide, ClosesWhenAllIsDone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.Seen(model::Step::kEnableHa);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kClose);
}

TEST(Decide, SuspendStopsTheNextStepAndWatchesWhatRuns) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.spec.suspend = true;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
  EXPECT_EQ(upgrade.Decide().reason, "Suspended");
  upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.spec.suspend = true;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kWait);
}

TEST(Decide, BeforeTheStopAnotherVersionTurnsBackWhateverTheStepsAre) {
  for (const char* wanted : {"V4.3.0", "4.3.2", "4.2.5"}) {
    for (auto make :
         {+[] { return fixtures::Upgrade(); }, +[] { return fixtures::Upgrade().Prepared(); },
          +[] { return fixtures::Upgrade().HaOff(); }}) {
      fixtures::Upgrade upgrade = make();
      upgrade.spec.version = wanted;
      upgrade.spec.suspend = true;
      upgrade.facts.troubles = {{"DiskLow", "no room"}};
      const auto decision = upgrade.Decide();
      EXPECT_EQ(decision.kind, Kind::kTurn) << wanted;
      EXPECT_EQ(decision.reason,
                std::string(wanted) == "V4.3.0" ? "VersionReverted" : "Superseded");
    }
  }
}

TEST(Decide, ARevertedVersionTurnsBackFromEveryStateAndIsAskedBeforeSuspend) {
  for (auto make :
       {+[] { return fixtures::Upgrade().Stopped(); }, +[] { return fixtures::Upgrade().Dumped(); },
        +[] { return fixtures::Upgrade().ScriptBegun(); },
        +[] { return fixtures::Upgrade().Healthy(); },
        +[] { return fixtures::Upgrade().Accepted(); }}) {
    fixtures::Upgrade upgrade = make();
    upgrade.spec.version = "V4.3.0";
    upgrade.spec.suspend = true;
    const auto decision = upgrade.Decide();
    EXPECT_EQ(decision.kind, Kind::kTurn);
    EXPECT_EQ(decision.reason, "VersionReverted");
  }
}

TEST(Decide, ARevertThatIsToBeIgnoredIsIgnored) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.spec.version = "4.3.0";
  upgrade.spec.strategy.on_version_revert = crd::OnVersionRevert::kIgnore;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
}

TEST(Decide, ADeletionTurnsBackBeforeSuspendAndRevertAreAsked) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.requests.deleting = true;
  upgrade.spec.suspend = true;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kTurn);
  EXPECT_EQ(upgrade.Decide().reason, "Deleted");
}

TEST(Decide, AThirdVersionAfterTheStopLetsAHealthyUpgradeEndFirst) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.spec.version = "4.3.2";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStartContainers);
}

TEST(Decide, AThirdVersionTurnsAFailedUpgradeBack) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.node().script = model::ScriptState{model::ScriptState::Kind::kEnded, 1, ""};
  upgrade.spec.version = "4.3.2";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kTurn);
  EXPECT_EQ(upgrade.Decide().reason, "Superseded");
}

TEST(Decide, AClosedMaintenanceWindowHoldsBeforeHaIsSwitchedOffAndNotLater) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.requests.window_open = false;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
  EXPECT_EQ(upgrade.Decide().reason, "OutsideWindow");
  upgrade = fixtures::Upgrade();
  upgrade.requests.window_open = false;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun) << "the image may be loaded at any time";
  upgrade = fixtures::Upgrade().Dumped();
  upgrade.requests.window_open = false;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun) << "a window that ends in the middle holds nothing";
}

TEST(Decide, AClosedMaintenanceWindowHoldsTheStopWhereHaIsNothingOfOurs) {
  for (const bool manual : {false, true}) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
    upgrade.meta().ha_raw = fixtures::kHaOff;
    if (manual) {
      upgrade.spec.ha.control = crd::HaControl::kManual;
      upgrade.Pass(model::PointKind::kHaDisabling);
    } else {
      upgrade.record.ha_was_on = false;
    }
    EXPECT_EQ(upgrade.Decide().step, model::Step::kStopContainers);
    EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
    upgrade.requests.window_open = false;
    EXPECT_EQ(upgrade.Decide().kind, Kind::kHold) << manual;
    EXPECT_EQ(upgrade.Decide().reason, "OutsideWindow");
  }
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.record.ha_was_on = false;
  upgrade.requests.window_open = false;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun) << "it has begun";
}

TEST(Decide, PlanModeHoldsAnOpenOperationLikeSuspend) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.spec.mode = crd::Mode::kPlan;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
  EXPECT_EQ(upgrade.Decide().reason, "Planned");
  upgrade.spec.version = "4.3.0";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kTurn) << "a revert outranks it";
}

TEST(Decide, AMalformedVersionStopsEveryFurtherStep) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.spec.version = "latest";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
}

TEST(Decide, TheSameVersionWrittenOtherwiseIsTheSame) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.spec.version = "V4.3.1";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
}

TEST(Decide, PreflightThatFailsBeforeTheStopIsToldAndLookedAtAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.node().health->host_online = false;
  const auto decision = upgrade.Decide();
  EXPECT_EQ(decision.kind, Kind::kStall);
  EXPECT_EQ(decision.step, model::Step::kPreflight);
  EXPECT_EQ(decision.reason, "OMSUnhealthy");
  EXPECT_TRUE(decision.wait.has_value());
}

TEST(Decide, PreflightIsHistoryAfterTheStop) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.facts.troubles = {{"DiskLow", "no room"}};
  EXPECT_EQ(upgrade.Decide().step, model::Step::kCompactHeartbeat);
}

// --- HA off, and held before the stop

TEST(Decide, AHoldOfMoreThanFiveMinutesBetweenHaOffAndTheStopPutsHaBack) {
  for (const char* why : {"suspend", "preflight"}) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
    upgrade.spec.suspend = std::string(why) == "suspend";
    if (std::string(why) == "preflight") upgrade.node().health->host_online = false;
    upgrade.facts.now = fixtures::At(100) + minutes(5);
    EXPECT_NE(upgrade.Decide().kind, Kind::kRestoreHa) << why;
    upgrade.facts.now = fixtures::At(100) + minutes(5) + seconds(1);
    EXPECT_EQ(upgrade.Decide().kind, Kind::kRestoreHa) << why;
  }
}

TEST(Decide, AHoldDoesNotPutHaBackBesideAComponentThatIsBeingUpgraded) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.Pass(model::PointKind::kComponentUpgrading);
  upgrade.spec.suspend = true;
  upgrade.facts.now = fixtures::At(100) + minutes(60);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
}

TEST(Decide, UnderManualControlAHoldSwitchesNothing) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.spec.ha.control = crd::HaControl::kManual;
  upgrade.spec.suspend = true;
  upgrade.facts.now = fixtures::At(100) + minutes(60);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
}

TEST(Decide, UnderManualControlASwitchThatIsNotMadeYetIsHeldForThePerson) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.Pass(model::PointKind::kHaDisabling);
  upgrade.spec.ha.control = crd::HaControl::kManual;
  const Decision decision = upgrade.Decide();
  EXPECT_EQ(decision.kind, Kind::kHold);
  EXPECT_EQ(decision.step, model::Step::kDisableHa);
  EXPECT_EQ(decision.reason, crd::reason::kAwaitingHaSwitch);
  EXPECT_TRUE(decision.wait.has_value()) << "the switch wakes nobody, so it is looked for";
}

TEST(Decide, HaIsPutBackOnce) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.spec.suspend = true;
  upgrade.facts.now = fixtures::At(100) + minutes(6);
  upgrade.meta().ha_raw = fixtures::kHaOn;  // As RestoreHa left it.
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
}

TEST(Decide, AStepThatGoesOnDoesNotPutHaBack) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.facts.now = fixtures::At(100) + minutes(6);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStopContainers);
}

TEST(Decide, AfterTheStopHaStaysOffHoweverLongItTakes) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.spec.suspend = true;
  upgrade.facts.now = fixtures::At(100) + minutes(600);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
}

TEST(Decide, AHoldIsCountedFromTheLastTimeHaWasSwitchedOff) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.spec.suspend = true;
  upgrade.Pass(model::PointKind::kHaDisabling, "", std::nullopt, 2,
               fixtures::At(100) + minutes(10));
  upgrade.facts.now = fixtures::At(100) + minutes(12);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
}

TEST(Decide, HaThatWasOffIsNotSwitchedOnByAHold) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.record.ha_was_on = false;
  upgrade.spec.suspend = true;
  upgrade.facts.now = fixtures::At(100) + minutes(60);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
}

// --- failures

TEST(Decide, ARetryableFailureIsTriedAgainWithinItsLimitAndAfterAPause) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
  upgrade.Task(model::Step::kBackUpDatabases, model::TaskView::State::kFailed,
               base::MakeError(base::Code::kTransient, "DumpFailed", "exit code 1"));
  FailureCount failures{1, upgrade.facts.steady_now};
  const auto waits = upgrade.Decide(failures);
  EXPECT_EQ(waits.kind, Kind::kWait);
  ASSERT_TRUE(waits.wait.has_value());
  EXPECT_GT(*waits.wait, base::Duration(0));
  EXPECT_LE(*waits.wait, seconds(3));
  upgrade.facts.steady_now += *waits.wait;
  EXPECT_EQ(upgrade.Decide(failures).kind, Kind::kRun);
  failures.failures = upgrade.spec.strategy.max_retries;
  failures.last = {};
  EXPECT_EQ(upgrade.Decide(failures).kind, Kind::kRun);
  failures.failures = upgrade.spec.strategy.max_retries + 1;
  const Decision stalled = upgrade.Decide(failures);
  EXPECT_EQ(stalled.kind, Kind::kStall);
  ASSERT_TRUE(stalled.wait.has_value())
      << "what a person mends is seen without a touch of the resource";
  EXPECT_LE(*stalled.wait, seconds(10));
  EXPECT_EQ(upgrade.Decide(failures).reason, "DumpFailed");
}

TEST(Decide, NoRetriesMeansNone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
  upgrade.spec.strategy.max_retries = 0;
  upgrade.Task(model::Step::kBackUpDatabases, model::TaskView::State::kFailed,
               base::MakeError(base::Code::kTransient, "DumpFailed", "exit code 1"));
  EXPECT_EQ(upgrade.Decide({1, {}}).kind, Kind::kStall);
}

TEST(Decide, RetryTakesAWholeTryThatFailedForGoodAgainAndPauseDoesNot) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
  upgrade.Task(model::Step::kBackUpDatabases, model::TaskView::State::kFailed,
               base::MakeError(base::Code::kTerminal, "DumpFailed", "exit code 1"));
  EXPECT_EQ(upgrade.Decide({1, {}}).kind, Kind::kStall);
  upgrade.spec.strategy.on_failure = crd::OnFailure::kRetry;
  EXPECT_EQ(upgrade.Decide({1, {}}).kind, Kind::kRun);
  EXPECT_EQ(upgrade.Decide({upgrade.spec.strategy.max_retries + 1, {}}).kind, Kind::kStall);
}

// What could not be tried again safely: a script, a container that died.
TEST(Decide, WhatMustNotRunTwicePausesUnderRetryAndTurnsBackUnderRollback) {
  const auto failed = +[] {
    fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
    upgrade.node().script = model::ScriptState{model::ScriptState::Kind::kEnded, 1, ""};
    return upgrade;
  };
  const auto unknown = +[] {
    fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
    upgrade.node().script = model::ScriptState{model::ScriptState::Kind::kUnknown, 0, ""};
    return upgrade;
  };
  const auto died = +[] {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
    upgrade.node().new_container->running = false;
    upgrade.node().new_container->status = "exited";
    return upgrade;
  };
  for (const auto make : {failed, unknown, died}) {
    for (const auto policy : {crd::OnFailure::kPause, crd::OnFailure::kRetry}) {
      fixtures::Upgrade upgrade = make();
      upgrade.spec.strategy.on_failure = policy;
      EXPECT_EQ(upgrade.Decide({0, {}}).kind, Kind::kStall);
    }
    fixtures::Upgrade upgrade = make();
    upgrade.spec.strategy.on_failure = crd::OnFailure::kRollback;
    EXPECT_EQ(upgrade.Decide({0, {}}).kind, Kind::kTurn);
    EXPECT_EQ(upgrade.Decide({0, {}}).reason, "FailurePolicy");
  }
}

TEST(Decide, APreflightThatFailsNeverTurnsBackByPolicy) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.spec.strategy.on_failure = crd::OnFailure::kRollback;
  upgrade.node().health->host_online = false;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
}

TEST(Decide, PastItsDeadlineTheDowntimePausesOrTurnsBackByPolicy) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.spec.strategy.timeouts.script = std::chrono::hours(24);
  upgrade.facts.now = fixtures::At(50) + upgrade.spec.strategy.progress_deadline;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kWait);
  upgrade.facts.now += seconds(1);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
  EXPECT_EQ(upgrade.Decide().reason, "DeadlineExceeded");
  upgrade.spec.strategy.on_failure = crd::OnFailure::kRollback;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kTurn);
  upgrade.record.progress_since = fixtures::At(60);  // An edit, or a token.
  EXPECT_EQ(upgrade.Decide().kind, Kind::kWait);
}

TEST(Decide, PastItsDeadlineAThirdVersionTurnsBackAndASuspendedOneIsNotLate) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.facts.now = fixtures::At(60) + upgrade.spec.strategy.progress_deadline;
  upgrade.spec.version = "4.3.2";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kTurn);
  EXPECT_EQ(upgrade.Decide().reason, "Superseded");
  upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.facts.now = fixtures::At(60) + upgrade.spec.strategy.progress_deadline;
  upgrade.spec.strategy.timeouts.script = std::chrono::hours(24);
  upgrade.spec.strategy.on_failure = crd::OnFailure::kRollback;
  upgrade.spec.suspend = true;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kWait);
}

TEST(Decide, WhoIsWaitedForToSwitchHaOnIsNeverLate) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.spec.ha.control = crd::HaControl::kManual;
  upgrade.facts.now = fixtures::At(60) + 2 * upgrade.spec.strategy.progress_deadline;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold);
  EXPECT_EQ(upgrade.Decide().reason, "AwaitingHASwitch");
  upgrade.meta().ha_raw = fixtures::kHaOn;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun) << "it is seen to happen";
}

TEST(Decide, AHealthyUpgradeTellsThatAThirdVersionWaitsForItsEnd) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  EXPECT_THAT(upgrade.Decide().message, testing::Not(testing::HasSubstr("then")));
  upgrade.spec.version = "4.3.2";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kWait);
  EXPECT_THAT(upgrade.Decide().message, testing::HasSubstr("then 4.3.2 starts"));
}

TEST(Decide, ANewRequestedAtEndsThePauseBeforeARetry) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
  upgrade.Task(model::Step::kBackUpDatabases, model::TaskView::State::kFailed,
               base::MakeError(base::Code::kTransient, "DumpFailed", "exit code 1"));
  const FailureCount failures{1, upgrade.facts.steady_now};
  EXPECT_EQ(upgrade.Decide(failures).kind, Kind::kWait);
  upgrade.requests.look_now = true;
  EXPECT_EQ(upgrade.Decide(failures).kind, Kind::kRun);
}

// --- a reset token

TEST(TurnOnToken, TurnsBackWhatMayNotRunTwice) {
  fixtures::Upgrade script = fixtures::Upgrade().ScriptBegun();
  script.node().script = model::ScriptState{model::ScriptState::Kind::kEnded, 1, ""};
  fixtures::Upgrade unknown = fixtures::Upgrade().ScriptBegun();
  unknown.node().script = model::ScriptState{model::ScriptState::Kind::kUnknown, 0, ""};
  fixtures::Upgrade died = fixtures::Upgrade().Started();
  died.node().new_container->running = false;
  died.node().new_container->status = "exited";
  for (const fixtures::Upgrade& upgrade : {script, unknown, died}) {
    const auto turn = TurnOnToken(upgrade.record, upgrade.state());
    ASSERT_TRUE(turn.has_value());
    EXPECT_EQ(turn->kind, Kind::kTurn);
    EXPECT_EQ(turn->reason, "RetryRequested");
  }
}

TEST(TurnOnToken, MeansToGoOnWhereTheStepMayBeTriedAgain) {
  fixtures::Upgrade dump = fixtures::Upgrade().Compact();
  dump.Task(model::Step::kBackUpDatabases, model::TaskView::State::kFailed,
            base::MakeError(base::Code::kTerminal, "DumpFailed", "exit code 1"));
  EXPECT_FALSE(TurnOnToken(dump.record, dump.state()).has_value());
  const fixtures::Upgrade well = fixtures::Upgrade().ScriptBegun();
  EXPECT_FALSE(TurnOnToken(well.record, well.state()).has_value());
}

TEST(Decide, PastTheScriptADeadlineOnlyPausesAndBeforeTheStopThereIsNone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.spec.strategy.on_failure = crd::OnFailure::kRollback;
  upgrade.facts.now = fixtures::At(60) + upgrade.spec.strategy.progress_deadline;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
  upgrade = fixtures::Upgrade().Prepared();
  upgrade.facts.now = fixtures::At(60) + upgrade.spec.strategy.progress_deadline;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
}

}  // namespace
}  // namespace oms::decide

#include "reconcilers/decide/standing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/reasons.h"
#include "reconcilers/steps/accept.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::decide {
namespace {

using Kind = Decision::Kind;
using testing::HasSubstr;
using testing::Not;

const crd::Version kRunning = *crd::Version::Parse("4.3.1");

// The upgrade to what runs, at its end.
model::OperationRecord Succeeded() {
  model::OperationRecord record = fixtures::Upgrade().Accepted().record;
  record.outcome = model::OperationOutcome::kSucceeded;
  return record;
}

// The same, given up in its middle.
model::OperationRecord Abandoned() {
  model::OperationRecord record = fixtures::Upgrade().Started().record;
  record.outcome = model::OperationOutcome::kAbandoned;
  return record;
}

TEST(Standing, WithoutAnOperationIsUpToDate) {
  const Decision decision = DecideStanding({kRunning});
  EXPECT_EQ(decision.kind, Kind::kIdle);
  EXPECT_EQ(decision.reason, crd::reason::kUpToDate);
  EXPECT_EQ(decision.wait, std::nullopt);
}

TEST(Standing, TellsWhatTheLastOperationCameToWhereThatIsWhatRuns) {
  model::OperationRecord last = Succeeded();
  EXPECT_EQ(DecideStanding({kRunning, &last}).reason, crd::reason::kSucceeded);
  const crd::Version other = *crd::Version::Parse("4.3.2");
  EXPECT_EQ(DecideStanding({other, &last}).reason, crd::reason::kUpToDate);
  last.outcome = model::OperationOutcome::kRolledBack;
  const crd::Version old = *crd::Version::Parse("4.3.0");
  EXPECT_THAT(DecideStanding({old, &last}).message, HasSubstr("was rolled back"));
  last.undoes = model::OperationRef{"before", "/backups/before"};
  EXPECT_THAT(DecideStanding({old, &last}).message, HasSubstr("rolled back from 4.3.1 to 4.3.0"));
}

TEST(Standing, WhatDoesNotRunIsHeldWithAWarningBeforeAllElse) {
  const model::OperationRecord last = Abandoned();
  StandingView view{kRunning, &last};
  view.not_running = model::Trouble{"OMSNotRunning", "OMS does not run"};
  view.data_unknown = true;
  view.unwell = "nginx is FATAL";
  view.ha_off = true;
  const Decision decision = DecideStanding(view);
  EXPECT_EQ(decision.kind, Kind::kHold);
  EXPECT_TRUE(decision.warning);
  EXPECT_EQ(decision.reason, "OMSNotRunning");
  EXPECT_THAT(decision.message, HasSubstr("HA is off"));
  EXPECT_THAT(decision.message, HasSubstr("; but OMS does not run"));
  EXPECT_THAT(decision.message, Not(HasSubstr("nginx")));
}

TEST(Standing, DatabasesThatNobodyHasSeenWholeWaitForAPersonsWord) {
  const model::OperationRecord last = Abandoned();
  StandingView view{kRunning, &last};
  view.data_unknown = true;
  view.unwell = "nginx is FATAL";
  const Decision decision = DecideStanding(view);
  EXPECT_EQ(decision.kind, Kind::kHold);
  EXPECT_FALSE(decision.warning) << "the person has given it up, and was told";
  EXPECT_EQ(decision.reason, crd::reason::kAbandoned);
  EXPECT_THAT(decision.message, HasSubstr(steps::AcceptToken(last, crd::reason::kAbandoned)));
}

TEST(Standing, AnOmsThatIsNotWellIsNotReadyAndIsLookedAtSoon) {
  StandingView view{kRunning};
  view.unwell_begun = true;
  EXPECT_EQ(DecideStanding(view).kind, Kind::kIdle) << "one look is not enough";
  EXPECT_NE(DecideStanding(view).wait, std::nullopt);
  view.unwell = "nginx is FATAL";
  const Decision decision = DecideStanding(view);
  EXPECT_EQ(decision.kind, Kind::kHold);
  EXPECT_TRUE(decision.warning);
  EXPECT_EQ(decision.reason, "OMSUnhealthy");
  EXPECT_THAT(decision.message, HasSubstr("nginx is FATAL"));
}

TEST(LeftDataUnknown, IsWhatWasGivenUpBetweenTheChangeAndTheHealthOfADatabase) {
  EXPECT_TRUE(LeftDataUnknown(Abandoned()));
  EXPECT_FALSE(LeftDataUnknown(Succeeded()));
  model::OperationRecord said = Abandoned();
  said.said_whole = fixtures::At(1);
  EXPECT_FALSE(LeftDataUnknown(said));
  model::OperationRecord untouched = fixtures::Upgrade().Dumped().record;
  untouched.outcome = model::OperationOutcome::kAbandoned;
  EXPECT_FALSE(LeftDataUnknown(untouched));
  model::OperationRecord healthy = fixtures::Upgrade().Accepted().record;
  healthy.outcome = model::OperationOutcome::kAbandoned;
  EXPECT_FALSE(LeftDataUnknown(healthy));
}

TEST(Decide, AWaitSaysWhatCouldNotBeLookedAt) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  EXPECT_EQ(upgrade.Decide().kind, Kind::kWait);
  upgrade.facts.troubles = {{"MetaDBUnreachable", "it does not answer", true}};
  EXPECT_EQ(upgrade.Decide().reason, "MetaDBUnreachable");
  EXPECT_EQ(upgrade.Decide().message, "it does not answer");
}

}  // namespace
}  // namespace oms::decide

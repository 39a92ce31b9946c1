// The way back, as tables: what is done of it by the points passed, and what is decided.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/decide/planner.h"
#include "reconcilers/steps/accept.h"
#include "reconcilers/steps/restore.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::decide {
namespace {

using Kind = decide::Decision::Kind;
using std::chrono::hours;
using testing::HasSubstr;

// An upgrade that was turned back at a place.
fixtures::Upgrade Turned(fixtures::Upgrade upgrade) {
  upgrade.spec.version = "4.3.0";
  upgrade.record.direction = model::Direction::kRollback;
  upgrade.record.turns = {{model::Direction::kRollback, "VersionReverted", fixtures::At(200)}};
  return upgrade;
}

fixtures::Upgrade Verified() {
  fixtures::Upgrade upgrade = Turned(fixtures::Upgrade().Healthy());
  upgrade.Seen(model::Step::kVerifyBackups);
  return upgrade;
}
fixtures::Upgrade NewGone() {
  fixtures::Upgrade upgrade = Verified();
  upgrade.Pass(model::PointKind::kRollbackStopping);
  upgrade.node().new_container.reset();
  upgrade.node().health.reset();
  return upgrade;
}
fixtures::Upgrade Differs(std::vector<std::string> databases) {
  fixtures::Upgrade upgrade = NewGone();
  upgrade.record.differing = std::move(databases);
  return upgrade;
}
fixtures::Upgrade Saved() {
  fixtures::Upgrade upgrade = Differs({"oms_rm", "oms_cm"});
  upgrade.record.upgraded_state = model::SavedState{"upgraded/1", true, {}};
  return upgrade;
}
fixtures::Upgrade Restored() {
  fixtures::Upgrade upgrade = Saved();
  upgrade.Pass(model::PointKind::kFirstDrop);
  for (const char* name : {"oms_rm", "oms_cm"})
    upgrade.record.restores[name].restored = fixtures::At(300);
  return upgrade;
}
fixtures::Upgrade OldRuns() {
  fixtures::Upgrade upgrade = Restored();
  upgrade.Pass(model::PointKind::kOldStarting, "oms-1", std::nullopt, 1, fixtures::At(310));
  upgrade.node().old_container->running = true;
  upgrade.node().old_container->status = "running";
  upgrade.node().old_container->started_at = "2026-01-02T05:00:00.000000Z";
  return upgrade;
}
fixtures::Upgrade OldIsWell() {
  fixtures::Upgrade upgrade = OldRuns();
  upgrade.Seen(model::Step::kAwaitOldHealth);
  return upgrade;
}

void SetTask(fixtures::Upgrade& upgrade, const std::string& name, model::TaskView::State state,
             base::Error error = {}, std::string output = {}) {
  model::TaskView view;
  view.state = state;
  view.error = std::move(error);
  view.output = std::move(output);
  view.ended = upgrade.facts.steady_now;
  upgrade.facts.tasks[name] = view;
}

// ------------------------------------------------------------------------------ the cheapest way

TEST(Rollback, BeforeTheStopNothingButHaAndTheNewContainerIsTakenBack) {
  fixtures::Upgrade upgrade = Turned(fixtures::Upgrade().HaOff());
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStopNewContainers) << "the one that was created";
  upgrade.node().new_container.reset();
  EXPECT_EQ(upgrade.Decide().step, model::Step::kRestoreHa);
  for (const model::Step skipped :
       {model::Step::kVerifyBackups, model::Step::kSwitchHaOff, model::Step::kCompareDatabases,
        model::Step::kSaveUpgradedState, model::Step::kRestoreDatabases,
        model::Step::kSettleDatabases, model::Step::kStartOldContainers,
        model::Step::kAwaitOldHealth}) {
    EXPECT_EQ(upgrade.of(skipped).verdict, steps::Verdict::kSkipped) << model::NameOf(skipped);
  }
  upgrade.Seen(model::Step::kRestoreHa);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kClose);
}

TEST(Rollback, BeforeHaWasTouchedItIsNotTouched) {
  fixtures::Upgrade upgrade = Turned(fixtures::Upgrade());
  EXPECT_EQ(upgrade.of(model::Step::kRestoreHa).verdict, steps::Verdict::kSkipped);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kClose);
}

TEST(Rollback, AfterTheStopNoDatabaseIsDroppedAndTheOldContainerIsStarted) {
  fixtures::Upgrade upgrade = Turned(fixtures::Upgrade().Dumped());
  upgrade.node().new_container.reset();
  for (const model::Step skipped :
       {model::Step::kVerifyBackups, model::Step::kCompareDatabases,
        model::Step::kSaveUpgradedState, model::Step::kRestoreDatabases}) {
    EXPECT_EQ(upgrade.of(skipped).verdict, steps::Verdict::kSkipped) << model::NameOf(skipped);
  }
  EXPECT_EQ(upgrade.Decide().step, model::Step::kSettleDatabases);
  upgrade.Seen(model::Step::kSettleDatabases);
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStartOldContainers);
}

// Our own `docker stop` may be on its way in the engine: a container that looks alive is not.
TEST(Rollback, AStopThatWasTurnedBackInTheMiddleIsCarriedToItsEndFirst) {
  fixtures::Upgrade upgrade = Turned(fixtures::Upgrade().Stopped());
  upgrade.node().new_container.reset();
  upgrade.node().old_container->running = true;
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStopNewContainers);
  upgrade.node().old_container->started_at = "2026-01-02T09:00:00.000000Z";
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStartOldContainers)
      << "a person has started it anew";
}

TEST(Rollback, GoesThroughItsStepsInOrder) {
  EXPECT_EQ(Turned(fixtures::Upgrade().Started()).Decide().step, model::Step::kVerifyBackups);
  EXPECT_EQ(Verified().Decide().step, model::Step::kStopNewContainers);
  EXPECT_EQ(NewGone().Decide().step, model::Step::kCompareDatabases);
  EXPECT_EQ(Differs({"oms_rm"}).Decide().step, model::Step::kSaveUpgradedState);
  EXPECT_EQ(Saved().Decide().step, model::Step::kRestoreDatabases);
  EXPECT_EQ(Restored().Decide().step, model::Step::kStartOldContainers);
  EXPECT_EQ(OldRuns().Decide().step, model::Step::kAwaitOldHealth);
  EXPECT_EQ(OldIsWell().Decide().step, model::Step::kRestoreHa);
}

TEST(Rollback, WhereEveryDatabaseStillEqualsItsBackupNoneIsSavedOrDropped) {
  fixtures::Upgrade upgrade = Differs({});
  EXPECT_EQ(upgrade.of(model::Step::kSaveUpgradedState).verdict, steps::Verdict::kSkipped);
  EXPECT_EQ(upgrade.of(model::Step::kRestoreDatabases).verdict, steps::Verdict::kSkipped);
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStartOldContainers);
}

// ------------------------------------------------------------------------------------- HA

TEST(Rollback, HaThatIsOnAgainIsSwitchedOffBeforeTheNewContainerIsStopped) {
  fixtures::Upgrade upgrade = Verified();
  upgrade.meta().ha_raw = fixtures::kHaOn;
  EXPECT_EQ(upgrade.Decide().step, model::Step::kSwitchHaOff);
  upgrade.meta().ha_raw.reset();
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStopNewContainers) << "best effort";
}

// After success HA is a person's again: as it is when the way back begins, so it will be.
TEST(Undo, HaThatAPersonHasSwitchedSinceIsWrittenDownFirst) {
  fixtures::Upgrade undo = Verified();
  undo.record.undoes = model::OperationRef{"another", "/backups/another"};
  std::erase_if(undo.record.points,
                [](const model::Point& p) { return p.kind == model::PointKind::kHaDisabling; });
  undo.record.ha_was_on = false;
  undo.meta().ha_raw = fixtures::kHaOn;
  EXPECT_EQ(undo.Decide().step, model::Step::kSwitchHaOff) << "on since";
  undo.record.ha_was_on = true;
  EXPECT_EQ(undo.Decide().step, model::Step::kSwitchHaOff) << "to be switched off";
  undo.meta().ha_raw = fixtures::kHaOff;
  EXPECT_EQ(undo.Decide().step, model::Step::kSwitchHaOff) << "off since";
  undo.record.ha_was_on = false;
  EXPECT_EQ(undo.of(model::Step::kSwitchHaOff).verdict, steps::Verdict::kSkipped);
  undo.facts.meta.reset();
  EXPECT_EQ(undo.of(model::Step::kSwitchHaOff).verdict, steps::Verdict::kRunning)
      << "never guessed";
}

TEST(Rollback, HaThatWasOffStaysOff) {
  fixtures::Upgrade upgrade = OldIsWell();
  upgrade.record.ha_was_on = false;
  EXPECT_EQ(upgrade.of(model::Step::kRestoreHa).verdict, steps::Verdict::kSkipped);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kClose);
}

TEST(Rollback, AnUnreadableHaRowIsNotTakenForOneThatIsGone) {
  fixtures::Upgrade upgrade = OldIsWell();
  upgrade.meta().ha_raw.reset();
  upgrade.facts.troubles = {{"MetaDBUnreachable", "no answer", true}};
  EXPECT_EQ(upgrade.of(model::Step::kRestoreHa).verdict, steps::Verdict::kRunning);
  upgrade.facts.troubles.clear();
  EXPECT_EQ(upgrade.of(model::Step::kRestoreHa).reason, "HAConfigMissing");
  upgrade.meta().ha_unreadable = "unknown column 'cfg_value'";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall) << "the server has said so: no wait mends it";
  EXPECT_EQ(upgrade.of(model::Step::kRestoreHa).reason, "HAConfigUnreadable");
}

// --------------------------------------------------------------------------- never both, never
// lost

TEST(Rollback, AnOldContainerThatWasStartedByHandIsStoppedBeforeItsDatabasesAreTouched) {
  fixtures::Upgrade upgrade = Saved();
  upgrade.node().old_container->running = true;
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStopNewContainers);
}

TEST(Rollback, ABackupThatFailsItsChecksumStopsItBeforeAnythingIsStopped) {
  fixtures::Upgrade upgrade = Turned(fixtures::Upgrade().Healthy());
  SetTask(upgrade, "VerifyBackups", model::TaskView::State::kFailed,
          base::MakeError(base::Code::kTerminal, "BackupCorrupt", "a file"));
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
  EXPECT_EQ(upgrade.Decide().reason, "BackupCorrupt");
  upgrade.record.backup.reset();
  upgrade.facts.tasks.clear();
  EXPECT_EQ(upgrade.Decide().reason, "BackupCorrupt") << "no backup at all";
}

TEST(Rollback, ABackupThatFailsItsLastChecksumIsNotRestored) {
  fixtures::Upgrade upgrade = Saved();
  SetTask(upgrade, steps::RestoreTask(""), model::TaskView::State::kFailed,
          base::MakeError(base::Code::kTerminal, "BackupCorrupt", "a file"));
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
  EXPECT_EQ(upgrade.Decide().reason, "BackupCorrupt");
}

TEST(Rollback, AStateThatNobodyUsedIsGivenUpAfterTwoTries) {
  fixtures::Upgrade upgrade = Differs({"oms_rm"});
  SetTask(upgrade, "SaveUpgradedState", model::TaskView::State::kFailed,
          base::MakeError(base::Code::kTerminal, "DumpFailed", "exit code 1"));
  upgrade.record.steps[model::Step::kSaveUpgradedState].begun = 1;
  EXPECT_EQ(upgrade.of(model::Step::kSaveUpgradedState).verdict, steps::Verdict::kFailed);
  EXPECT_TRUE(upgrade.of(model::Step::kSaveUpgradedState).retryable);
  upgrade.record.steps[model::Step::kSaveUpgradedState].begun = 2;
  EXPECT_EQ(upgrade.of(model::Step::kSaveUpgradedState).verdict, steps::Verdict::kPending);
}

TEST(Rollback, AStateThatWasInUseIsNotDroppedUnsavedWithoutAPersonsWord) {
  fixtures::Upgrade upgrade = Differs({"oms_rm"});
  upgrade.Seen(model::Step::kAwaitHealth);
  SetTask(upgrade, "SaveUpgradedState", model::TaskView::State::kFailed,
          base::MakeError(base::Code::kTerminal, "DumpFailed", "exit code 1"));
  upgrade.record.steps[model::Step::kSaveUpgradedState].begun = 2;
  const auto decision = upgrade.Decide();
  EXPECT_EQ(decision.kind, Kind::kStall);
  EXPECT_EQ(decision.reason, "UpgradedStateUnsaved");
  EXPECT_THAT(decision.message, HasSubstr("UpgradedStateUnsaved-01234567"));
  upgrade.facts.accept = "UpgradedStateUnsaved-99999999";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall) << "another operation's";
  upgrade.facts.accept = "UpgradedStateUnsaved-01234567";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
  upgrade.facts.accept.clear();
  upgrade.record.steps[model::Step::kSaveUpgradedState].forgiven = 2;  // A reset token.
  EXPECT_TRUE(upgrade.of(model::Step::kSaveUpgradedState).retryable);
}

TEST(Rollback, ADatabaseThatStillDiffersAfterTwoLoadsIsAPersonsCase) {
  fixtures::Upgrade upgrade = Saved();
  upgrade.Pass(model::PointKind::kFirstDrop);
  upgrade.record.restores["oms_rm"].difference = "table t has 2 rows in place of 1";
  upgrade.record.restores["oms_rm"].differed = 1;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun) << "once more";
  upgrade.record.restores["oms_rm"].differed = 2;
  const auto decision = upgrade.Decide();
  EXPECT_EQ(decision.reason, "RestoreDiffers");
  EXPECT_THAT(decision.message, HasSubstr("2 rows"));
  const std::string token = steps::AcceptDifference(upgrade.record, "oms_rm");
  EXPECT_THAT(decision.message, HasSubstr("accept=" + token));
  EXPECT_THAT(token, HasSubstr("RestoreDiffers-01234567-oms_rm-"));
  upgrade.facts.accept = "RestoreDiffers-01234567";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall) << "which database, and which difference?";
  upgrade.facts.accept = token;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
  upgrade.record.restores["oms_rm"].difference = "table t has 3 rows in place of 1";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall) << "another difference was not accepted";
}

TEST(Rollback, ThatTheVersionAsksForIsNotHeldBySuspend) {
  fixtures::Upgrade upgrade = Saved();
  upgrade.spec.suspend = true;
  upgrade.spec.version = "4.3.0";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
}

TEST(Rollback, ThatNobodyAskedForIsHeldBySuspendUntilTheFirstDrop) {
  fixtures::Upgrade upgrade = Saved();
  upgrade.spec.suspend = true;
  upgrade.spec.version = "4.3.1";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kHold) << "nothing was dropped yet";
  upgrade.Pass(model::PointKind::kFirstDrop);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
}

TEST(Rollback, AnEditForwardAgainWaitsForItsEnd) {
  fixtures::Upgrade upgrade = Saved();
  upgrade.spec.version = "4.3.1";
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
  EXPECT_EQ(upgrade.Decide().step, model::Step::kRestoreDatabases);
}

TEST(Rollback, ALoadThatFailedIsTriedAgainWithinItsLimit) {
  fixtures::Upgrade upgrade = Saved();
  upgrade.Pass(model::PointKind::kFirstDrop);
  SetTask(upgrade, steps::RestoreTask("oms_rm"), model::TaskView::State::kFailed,
          base::MakeError(base::Code::kTransient, "LoadFailed", "exit code 1"));
  EXPECT_EQ(upgrade.Decide({1, {}}).kind, Kind::kRun);
  EXPECT_EQ(upgrade.Decide({upgrade.spec.strategy.max_retries + 1, {}}).reason, "LoadFailed");
}

TEST(Rollback, AnOldContainerWhoseImageIsGoneTooIsBroughtBackFromTheSavedOne) {
  fixtures::Upgrade upgrade = Restored();
  upgrade.node().old_container.reset();
  upgrade.node().old_image_gone = true;
  EXPECT_EQ(upgrade.Decide().step, model::Step::kStartOldContainers);
  upgrade.record.image_backups.clear();
  EXPECT_EQ(upgrade.Decide().reason, "OldImageGone");
}

TEST(Rollback, AnotherContainerInTheOldOnesPlaceIsAPersonsCase) {
  fixtures::Upgrade upgrade = Restored();
  upgrade.node().old_container.reset();
  upgrade.node().old_name_taken = true;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
  EXPECT_EQ(upgrade.Decide().reason, "NameTaken");
}

TEST(Rollback, AnOldContainerThatStaysIllIsToldAndStillLookedAt) {
  fixtures::Upgrade upgrade = OldRuns();
  upgrade.node().health = model::HealthFacts{};
  upgrade.facts.now = fixtures::At(310) + upgrade.spec.strategy.timeouts.healthy;
  EXPECT_EQ(upgrade.of(model::Step::kAwaitOldHealth).verdict, steps::Verdict::kRunning);
  upgrade.facts.now += std::chrono::seconds(1);
  EXPECT_EQ(upgrade.Decide().reason, "ServicesNotHealthy");
  upgrade.node().health = fixtures::Well();
  EXPECT_EQ(upgrade.Decide().step, model::Step::kAwaitOldHealth);
  EXPECT_EQ(upgrade.Decide().kind, Kind::kRun);
}

TEST(Rollback, AnOldContainerThatEndsAgainIsTriedWithinTheLimitAndThenTold) {
  fixtures::Upgrade upgrade = OldRuns();
  auto& old = *upgrade.node().old_container;
  old.running = false;
  old.status = "exited";
  old.started_at = upgrade.record.nodes.front().old_started_at;
  EXPECT_EQ(upgrade.of(model::Step::kStartOldContainers).verdict, steps::Verdict::kPending)
      << "the point is passed, and it was not started yet";
  old.started_at = "2026-01-03T00:00:00.000000Z";
  EXPECT_EQ(upgrade.of(model::Step::kStartOldContainers).reason, "OldContainerDied");
  EXPECT_EQ(upgrade.Decide({1, {}}).kind, Kind::kRun);
  EXPECT_EQ(upgrade.Decide({upgrade.spec.strategy.max_retries + 1, {}}).kind, Kind::kStall);
}

TEST(Rollback, NothingIsDroppedBesideAContainerOfTheNewOnesNameThatRuns) {
  fixtures::Upgrade upgrade = NewGone();
  upgrade.node().planned_name_taken = upgrade.node().planned_name_runs = true;
  EXPECT_EQ(upgrade.Decide().kind, Kind::kStall);
  EXPECT_EQ(upgrade.Decide().reason, "NameTaken");
}

TEST(Rollback, AStateThatNobodyUsedIsGivenUpAfterTwoTriesAlsoWithoutRetries) {
  fixtures::Upgrade upgrade = Differs({"oms_rm"});
  upgrade.spec.strategy.max_retries = 0;
  SetTask(upgrade, "SaveUpgradedState", model::TaskView::State::kFailed,
          base::MakeError(base::Code::kTerminal, "DumpFailed", "exit code 1"));
  upgrade.record.steps[model::Step::kSaveUpgradedState].begun = 1;
  EXPECT_EQ(upgrade.Decide({1, {}}).kind, Kind::kRun);
}

TEST(Rollback, TheCompactionOfAnOmsThatRunsAgainIsItsOwn) {
  fixtures::Upgrade upgrade = Turned(fixtures::Upgrade().Stopped());
  EXPECT_EQ(upgrade.of(model::Step::kSettleDatabases).verdict, steps::Verdict::kPending);
  upgrade.node().old_container->running = true;
  EXPECT_EQ(upgrade.of(model::Step::kSettleDatabases).verdict, steps::Verdict::kSkipped);
  upgrade.meta().sequence.base = {};
  EXPECT_EQ(upgrade.of(model::Step::kSettleDatabases).verdict, steps::Verdict::kPending)
      << "it cannot run without";
}

TEST(Undo, IsCalledOffUntilTheNewContainerIsStopped) {
  fixtures::Upgrade undo = Verified();
  undo.spec.version = "4.3.1";
  EXPECT_EQ(undo.Decide().kind, Kind::kRun) << "an upgrade that was turned goes to its end";
  undo.record.undoes = model::OperationRef{"another", "/backups/another"};
  EXPECT_EQ(undo.Decide().kind, Kind::kCallOff);
  undo.requests.deleting = true;
  EXPECT_EQ(undo.Decide().kind, Kind::kRun);
  undo.requests.deleting = false;
  SetTask(undo, "VerifyBackups", model::TaskView::State::kFailed,
          base::MakeError(base::Code::kTerminal, "BackupCorrupt", "a file"));
  EXPECT_EQ(undo.Decide().kind, Kind::kCallOff) << "a broken backup is no trap";
  undo.Pass(model::PointKind::kRollbackStopping);
  EXPECT_NE(undo.Decide().kind, Kind::kCallOff);
}

TEST(Undo, UnderManualControlWaitsForHaToBeSwitchedOff) {
  fixtures::Upgrade undo = Verified();
  undo.record.undoes = model::OperationRef{"another", "/backups/another"};
  std::erase_if(undo.record.points,
                [](const model::Point& p) { return p.kind == model::PointKind::kHaDisabling; });
  undo.spec.ha.control = crd::HaControl::kManual;
  undo.meta().ha_raw = fixtures::kHaOn;
  EXPECT_EQ(undo.Decide().kind, Kind::kHold);
  EXPECT_EQ(undo.Decide().reason, "AwaitingHASwitch");
  undo.record.ha_was_on = false;
  undo.meta().ha_raw = fixtures::kHaOff;
  EXPECT_EQ(undo.Decide().step, model::Step::kStopNewContainers);
}

// ------------------------------------------------------------------------------- after success

struct ClosedWorld {
  fixtures::Upgrade last = fixtures::Upgrade().Accepted();
  crd::Spec spec = fixtures::SpecOf("4.3.0");
  crd::Version running = *crd::Version::Parse("4.3.1");
  bool runs_last_new = true;
  decide::UserRequests requests;
  base::WallTime now = fixtures::At(1000);

  ClosedWorld() {
    last.record.outcome = model::OperationOutcome::kSucceeded;
    last.record.ended = fixtures::At(500);
    last.record.latched = requests.resource = {"uid", 2, ""};
  }
  decide::Decision Decide() const {
    decide::IdleInput idle{running};
    idle.last = &last.record;
    idle.way_back = runs_last_new ? &last.record : nullptr;
    idle.plan_hash = "abc";
    idle.plan_text = "all that was written since";
    idle.now = now;
    const steps::StepState passed{steps::Verdict::kDone, "Done", ""};
    idle.preflight = &passed;
    decide::UserRequests asked = requests;
    asked.version = crd::Version::Parse(spec.version);
    return decide::DecideWithoutOperation(spec, idle, asked);
  }
};

TEST(AfterSuccess, ARevertOpensAnUndo) { EXPECT_EQ(ClosedWorld().Decide().kind, Kind::kOpenUndo); }

TEST(AfterSuccess, ARevertThatIsToBeIgnoredOpensNothing) {
  ClosedWorld world;
  world.spec.strategy.on_version_revert = crd::OnVersionRevert::kIgnore;
  EXPECT_EQ(world.Decide().reason, "DowngradeRefused");
}

TEST(AfterSuccess, ARevertOfWhatAPersonHasReplacedIsRefused) {
  ClosedWorld world;
  world.runs_last_new = false;
  EXPECT_EQ(world.Decide().reason, "DowngradeRefused");
}

TEST(AfterSuccess, TwoStepsBackAreRefusedWithWhatIsPossible) {
  ClosedWorld world;
  world.spec.version = "4.2.9";
  EXPECT_EQ(world.Decide().reason, "DowngradeRefused");
  EXPECT_THAT(world.Decide().message, HasSubstr("or to 4.3.0"));
}

TEST(AfterSuccess, OutsideOfTheRollbackWindowARevertWaitsForAnApprovalThatNamesThePlan) {
  ClosedWorld world;
  world.now = fixtures::At(500) + hours(72);
  EXPECT_EQ(world.Decide().kind, Kind::kOpenUndo);
  world.now += std::chrono::seconds(1);
  EXPECT_EQ(world.Decide().kind, Kind::kHold);
  EXPECT_EQ(world.Decide().reason, "AwaitingApproval");
  EXPECT_THAT(world.Decide().message, HasSubstr("all that was written since"));
  EXPECT_THAT(world.Decide().message, HasSubstr("oms.oceanbase.com/approve=abc"));
  world.requests.approve = "another";
  EXPECT_EQ(world.Decide().kind, Kind::kHold);
  world.requests.approve = "abc";
  EXPECT_EQ(world.Decide().kind, Kind::kOpenUndo);
}

TEST(AfterSuccess, MoreThanThreeOperationsWithinAnHourWaitForAnApproval) {
  ClosedWorld world;
  world.last.record.recent = {fixtures::At(100), fixtures::At(200), fixtures::At(300)};
  EXPECT_EQ(world.Decide().kind, Kind::kOpenUndo);
  world.last.record.recent.push_back(fixtures::At(400));
  EXPECT_EQ(world.Decide().reason, "AwaitingApproval");
  world.now = fixtures::At(100) + hours(2);
  EXPECT_EQ(world.Decide().kind, Kind::kOpenUndo) << "that was long ago";
}

TEST(AfterSuccess, AnUndoIsHeldBySuspendAndByPlanMode) {
  ClosedWorld world;
  world.spec.suspend = true;
  EXPECT_EQ(world.Decide().reason, "Suspended");
  world.spec.suspend = false;
  world.spec.mode = crd::Mode::kPlan;
  EXPECT_EQ(world.Decide().reason, "Planned");
}

TEST(AfterSuccess, ManualApprovalNamesThePlan) {
  ClosedWorld world;
  world.spec = fixtures::SpecOf("4.3.2");
  world.spec.approval = crd::Approval::kManual;
  EXPECT_EQ(world.Decide().reason, "AwaitingApproval");
  world.requests.approve = "abc";
  EXPECT_EQ(world.Decide().kind, Kind::kOpen);
}

TEST(AfterSuccess, WhatAPersonTookBackByHandIsNotUpgradedAgainUntilTheResourceIsEdited) {
  ClosedWorld world;
  world.spec.version = "4.3.1";
  world.running = *crd::Version::Parse("4.3.0");
  world.runs_last_new = false;
  EXPECT_EQ(world.Decide().kind, Kind::kStall);
  EXPECT_EQ(world.Decide().reason, "VersionDiffers");
  world.requests.resource.generation = 3;
  EXPECT_EQ(world.Decide().kind, Kind::kOpen);
  world.requests.resource.generation = 2;
  world.requests.resource.reset_token = "now";
  EXPECT_EQ(world.Decide().kind, Kind::kOpen);
  world.requests.resource.reset_token.clear();
  world.requests.resource.uid = "made again";
  EXPECT_EQ(world.Decide().kind, Kind::kOpen);
}

TEST(AfterAbandoning, NothingBeginsAndNothingIsCalledReadyBeforeAnEdit) {
  for (const char* wanted : {"4.3.0", "4.3.1", "4.3.2"}) {
    ClosedWorld world;
    world.spec.version = wanted;
    world.last.record.outcome = model::OperationOutcome::kAbandoned;
    EXPECT_EQ(world.Decide().kind, Kind::kStall) << wanted;
    EXPECT_EQ(world.Decide().reason, "Abandoned");
    world.requests.resource.reset_token = "now";
    EXPECT_NE(world.Decide().reason, "Abandoned");
  }
}

TEST(AfterFailure, TheSameGenerationIsNotTriedAgainByItself) {
  ClosedWorld world;
  world.spec.version = "4.3.1";
  world.running = *crd::Version::Parse("4.3.0");
  world.last.record.outcome = model::OperationOutcome::kRolledBack;
  world.last.record.outcome_reason = "FailurePolicy";
  EXPECT_EQ(world.Decide().kind, Kind::kStall);
  EXPECT_EQ(world.Decide().reason, "RolledBackAfterFailure");
  world.requests.resource.reset_token = "now";
  EXPECT_EQ(world.Decide().kind, Kind::kOpen);
}

}  // namespace
}  // namespace oms::decide

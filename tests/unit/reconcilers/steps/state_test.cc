#include "reconcilers/steps/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/model/target_image.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;
using TaskState = model::TaskView::State;
using ScriptKind = model::ScriptState::Kind;

// ------------------------------------------------------------------------------- the whole table

struct Place {
  const char* name;
  fixtures::Upgrade (*make)();
  model::Step next;  // The first step that is not complete there.
  Verdict verdict;
};

class EachPlace : public testing::TestWithParam<Place> {};

TEST_P(EachPlace, TheFirstStepThatIsNotDoneIsTheOneThatComesNext) {
  const fixtures::Upgrade upgrade = GetParam().make();
  const State state = upgrade.state();
  for (const auto& info : model::StepsOf(model::Direction::kUpgrade)) {
    if (info.step == GetParam().next) break;
    EXPECT_TRUE(At(state, info.step).complete())
        << info.name << ": " << At(state, info.step).message;
  }
  EXPECT_EQ(At(state, GetParam().next).verdict, GetParam().verdict)
      << At(state, GetParam().next).message;
}

// What was true up to a place stays true from there on: nothing before it is asked for again.
INSTANTIATE_TEST_SUITE_P(
    Upgrade, EachPlace,
    testing::Values(Place{"Opened", [] { return fixtures::Upgrade(); }, model::Step::kLoadImage,
                          Verdict::kPending},
                    Place{"ImageThere", [] { return fixtures::Upgrade().ImageThere(); },
                          model::Step::kSaveOldImage, Verdict::kPending},
                    Place{"Prepared", [] { return fixtures::Upgrade().Prepared(); },
                          model::Step::kDisableHa, Verdict::kPending},
                    Place{"HaOff", [] { return fixtures::Upgrade().HaOff(); },
                          model::Step::kStopContainers, Verdict::kPending},
                    Place{"Stopped", [] { return fixtures::Upgrade().Stopped(); },
                          model::Step::kCompactHeartbeat, Verdict::kPending},
                    Place{"Compact", [] { return fixtures::Upgrade().Compact(); },
                          model::Step::kBackUpDatabases, Verdict::kPending},
                    Place{"Dumped", [] { return fixtures::Upgrade().Dumped(); },
                          model::Step::kStartContainers, Verdict::kPending},
                    Place{"Started", [] { return fixtures::Upgrade().Started(); },
                          model::Step::kRunUpgradeScript, Verdict::kRunning},
                    Place{"ScriptBegun", [] { return fixtures::Upgrade().ScriptBegun(); },
                          model::Step::kRunUpgradeScript, Verdict::kRunning},
                    Place{"ScriptEnded", [] { return fixtures::Upgrade().ScriptEnded(); },
                          model::Step::kAwaitHealth, Verdict::kRunning},
                    Place{"Healthy", [] { return fixtures::Upgrade().Healthy(); },
                          model::Step::kAwaitHealth, Verdict::kPending},
                    Place{"Accepted", [] { return fixtures::Upgrade().Accepted(); },
                          model::Step::kEnableHa, Verdict::kPending}),
    [](const auto& row) { return std::string(row.param.name); });

// ----------------------------------------------------------------------- each row's own conditions

TEST(LoadImageState, AnotherImageIdThanAskedForIsRefused) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  const auto loaded = std::exchange(upgrade.record.loaded_images, {});
  upgrade.spec.image.id = "sha256:asked";
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).verdict, Verdict::kPending)
      << "the archive may hold the right one";
  upgrade.spec.image.archive.clear();
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "ImageIDDiffers");
  upgrade.spec.image.archive = "/images/oms_4.3.1.tar.gz";
  upgrade.record.loaded_images = loaded;
  const auto state = upgrade.of(model::Step::kLoadImage);
  EXPECT_EQ(state.verdict, Verdict::kFailed);
  EXPECT_EQ(state.reason, "ImageIDDiffers");
  EXPECT_FALSE(state.retryable);
  EXPECT_THAT(state.message, HasSubstr("sha256:new"));
}

TEST(LoadImageState, AnIdMayBeThatOfTheManifest) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.spec.image.id = "sha256:asked";
  upgrade.node().target_image->digests = {"oms@sha256:asked"};
  EXPECT_TRUE(upgrade.of(model::Step::kLoadImage).complete());
}

TEST(LoadImageState, AnImageWithoutTheScriptIsRefused) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.node().script_in_image = false;
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "UpgradeScriptMissing");
}

TEST(LoadImageState, ATaskThatRunsIsWatchedWithItsBytes) {
  fixtures::Upgrade upgrade;
  upgrade.Task(model::Step::kLoadImage, TaskState::kRunning);
  upgrade.facts.tasks["LoadImage/oms-1"].done = 5;
  upgrade.facts.tasks["LoadImage/oms-1"].total = 10;
  const auto state = upgrade.of(model::Step::kLoadImage);
  EXPECT_EQ(state.verdict, Verdict::kRunning);
  EXPECT_EQ(state.done, 5u);
  EXPECT_EQ(state.total, 10u);
}

TEST(LoadImageState, AnImageThatIsThereNeedsNoTask) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.Task(model::Step::kLoadImage, TaskState::kFailed,
               base::MakeError(base::Code::kInvalid, "x"));
  EXPECT_TRUE(upgrade.of(model::Step::kLoadImage).complete());
}

TEST(SaveOldImageState, IsSkippedWhereNobodyWantsIt) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.spec.backup.image = false;
  EXPECT_EQ(upgrade.of(model::Step::kSaveOldImage).verdict, Verdict::kSkipped);
}

TEST(BackUpConfigState, AConfigThatWasEditedSinceIsCopiedAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().config_sha256 = "edited";
  EXPECT_EQ(upgrade.of(model::Step::kBackUpConfig).verdict, Verdict::kPending);
  upgrade = fixtures::Upgrade().Stopped();
  upgrade.node().config_sha256 = "edited";
  EXPECT_TRUE(upgrade.of(model::Step::kBackUpConfig).complete()) << "past its need";
}

TEST(RewriteConfigState, IsSkippedWhereNoKeyHasToChange) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.node().rehearsed_config.reset();
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kSkipped);
}

TEST(RewriteConfigState, WhatTheNewContainerSeesMustBeWhatWasWritten) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().new_config_sha256 = "somebody else's";
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).reason, "ConfigFileExists");
  upgrade.record.config_meant["oms-1"] = {"of a write before", "somebody else's"};
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending) << "it is ours";
  upgrade.node().new_config_sha256.clear();
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending) << "it is gone";
}

TEST(RewriteConfigState, TheNewFileLiesBesideTheOldOne) {
  EXPECT_EQ(NewConfigPath("/data/conf/config.yaml", "4.3.1"), "/data/conf/config-4.3.1.yaml");
  EXPECT_EQ(NewConfigPath("/data.d/config", "4.3.1"), "/data.d/config-4.3.1");
  EXPECT_EQ(NewConfigPath("/data/.config", "4.3.1"), "/data/.config-4.3.1");
  EXPECT_EQ(NewConfigPath("/oms.a.yml", "4.3.1"), "/oms.a-4.3.1.yml");
}

TEST(RewriteConfigState, AConfigThatWasEditedSinceIsRewrittenAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().rehearsed_config = "new text with another password";
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending);
  upgrade.node().rehearsed_config.reset();  // A person has made the change by hand.
  upgrade.node().config->content = "new text";
  EXPECT_TRUE(upgrade.of(model::Step::kRewriteConfig).complete()) << "the file says the same";
  upgrade.node().config->content = "new text by hand";
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending);
}

TEST(CreateContainersState, OneThatMountsAnotherConfigIsMadeAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  EXPECT_TRUE(upgrade.of(model::Step::kCreateContainers).complete());
  upgrade.record.config_rewrites["oms-1"].path = "/data/conf/config-other.yaml";
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).verdict, Verdict::kPending);
}

TEST(CreateContainersState, AFlagThatTheEngineDroppedIsSeenBeforeTheStop) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().new_container->pids_limit = 4096;
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).verdict, Verdict::kFailed);
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).reason, "GuideFlags");
}

TEST(DisableHaState, OffStaysOff) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.record.ha_was_on = false;
  upgrade.meta().ha_raw = fixtures::kHaOff;
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kSkipped);
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).verdict, Verdict::kSkipped);
  upgrade.meta().ha_raw.reset();
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kSkipped) << "no such row";
}

// The operation may be held for days after it was opened.
TEST(DisableHaState, WhatAPersonHasSwitchedSinceTheOpeningIsWhatCounts) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.record.ha_was_on = false;
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kPending) << "on since";
  upgrade.record.ha_was_on = true;
  upgrade.meta().ha_raw = fixtures::kHaOff;
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kPending)
      << "off since, not known yet";
  upgrade.facts.meta.reset();
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kRunning) << "never guessed";
}

TEST(DisableHaState, APointWithoutTheActIsDoneAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.Pass(model::PointKind::kHaDisabling);  // Died before the swap: ha.config is still on.
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kPending);
}

TEST(DisableHaState, IsHistoryOnceHaIsWantedOnAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.meta().ha_raw = fixtures::kHaOn;
  EXPECT_TRUE(upgrade.of(model::Step::kDisableHa).complete());
}

TEST(StopContainersState, APointWithoutTheActIsDoneAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().HaOff();
  upgrade.Pass(model::PointKind::kStopping);  // Died before the stop.
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kPending);
}

TEST(StopContainersState, AStoppedContainerThatWouldStartByItselfIsNotDone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.node().old_container->restart_policy = "always";
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kPending);
}

TEST(StopContainersState, AnOldContainerStartedByHandIsNotFought) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.node().old_container->started_at = "2026-01-02T03:30:00Z";
  upgrade.node().old_container->running = true;
  const auto state = upgrade.of(model::Step::kStopContainers);
  EXPECT_EQ(state.reason, "OldContainerStarted");
  EXPECT_FALSE(state.retryable);
}

TEST(StopContainersState, AnOldContainerStartedBesideTheNewOneIsTold) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.node().old_container->running = true;
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, "OldContainerStarted");
}

TEST(StopContainersState, AnOldContainerThatIsGoneHoldsTheUpgradeUpOnlyUntilTheNewOneStarts) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.node().old_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, "OldContainerGone");
  upgrade = fixtures::Upgrade().Started();
  upgrade.node().old_container.reset();
  EXPECT_TRUE(upgrade.of(model::Step::kStopContainers).complete());
}

TEST(CompactHeartbeatState, TablesThatAreAllGoneAreToldAndNotWaitedFor) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.meta().sequence = {};
  const auto state = upgrade.of(model::Step::kCompactHeartbeat);
  EXPECT_EQ(state.verdict, Verdict::kFailed)
      << "nothing can be done, so nothing may be tried for ever";
  EXPECT_FALSE(state.retryable);
}

TEST(CompactHeartbeatState, EachLeftoverOfACrashIsPending) {
  for (const bool bak2 : {false, true}) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
    (bak2 ? upgrade.meta().sequence.bak2 : upgrade.meta().sequence.bak) = {true, 1, 5, 6};
    EXPECT_EQ(upgrade.of(model::Step::kCompactHeartbeat).verdict, Verdict::kPending);
  }
}

TEST(BackUpDatabasesState, ABackupIsOfOneRunOfOneContainerAndOneHeartbeat) {
  const auto pending = [](void (*change)(fixtures::Upgrade&)) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
    EXPECT_TRUE(upgrade.of(model::Step::kBackUpDatabases).complete());
    change(upgrade);
    return !upgrade.of(model::Step::kBackUpDatabases).complete();
  };
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.record.backup->container_id = "another"; }));
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.record.backup->started_at = "another"; }));
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.meta().sequence.base.max_id = 100'001; }));
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.facts.meta.reset(); }));
  // Somebody started the new one, before a heartbeat of it or after.
  for (const char* status : {"exited", "paused", "restarting"}) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
    upgrade.node().new_container->status = status;
    EXPECT_FALSE(upgrade.of(model::Step::kBackUpDatabases).complete()) << status;
  }
}

TEST(BackUpDatabasesState, FromNewStartingOnItIsNeverTakenAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.meta().sequence.base = {true, 500, 200'000, 200'001};  // The new OMS writes.
  upgrade.node().old_container.reset();
  EXPECT_TRUE(upgrade.of(model::Step::kBackUpDatabases).complete());
  EXPECT_TRUE(upgrade.of(model::Step::kCompactHeartbeat).complete());
}

TEST(BackUpDatabasesState, ADisturbedDumpMayBeTriedAgainADeniedOneNot) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
  upgrade.Task(model::Step::kBackUpDatabases, TaskState::kFailed,
               base::MakeError(base::Code::kTransient, "BackupDisturbed", "x"));
  EXPECT_TRUE(upgrade.of(model::Step::kBackUpDatabases).retryable);
  upgrade.Task(model::Step::kBackUpDatabases, TaskState::kFailed,
               base::MakeError(base::Code::kDenied, "MetaDBDenied", "x"));
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kFailed);
  EXPECT_FALSE(upgrade.of(model::Step::kBackUpDatabases).retryable);
}

TEST(StartContainersState, APointWithoutTheActIsTheFirstStart) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
  upgrade.Pass(model::PointKind::kNewStarting, "oms-1", "", 1);
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).verdict, Verdict::kPending);
}

TEST(StartContainersState, ANewContainerThatEndedIsNotStartedAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.node().new_container->running = false;
  upgrade.node().new_container->status = "exited";
  upgrade.node().new_container->exit_code = 137;
  const auto state = upgrade.of(model::Step::kStartContainers);
  EXPECT_EQ(state.reason, "NewContainerDied");
  EXPECT_FALSE(state.retryable);
  EXPECT_THAT(state.message, HasSubstr("137"));
}

TEST(StartContainersState, ANewContainerThatIsGoneIsTold) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.node().new_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).reason, "NewContainerDied");
}

TEST(StartContainersState, WhatRestartsAfterTheEndOfTheUpgradeIsNoDeath) {
  fixtures::Upgrade upgrade =
      fixtures::Upgrade().Accepted();  // Restart policy is back: the engine may restart it.
  upgrade.node().new_container->running = false;
  upgrade.node().new_container->status = "restarting";
  EXPECT_TRUE(upgrade.of(model::Step::kStartContainers).complete())
      << upgrade.of(model::Step::kStartContainers).message;
}

// ----------------------------------------------------------------------------------- the script

struct ScriptCase {
  const char* name;
  model::ScriptState script;
  Verdict verdict;
  std::string reason;
};
class ScriptRow : public testing::TestWithParam<ScriptCase> {};

TEST_P(ScriptRow, IsJudgedByItsMarkerAlone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.node().script = GetParam().script;
  const auto state = upgrade.of(model::Step::kRunUpgradeScript);
  EXPECT_EQ(state.verdict, GetParam().verdict) << state.message;
  if (!GetParam().reason.empty()) {
    EXPECT_EQ(state.reason, GetParam().reason);
  }
  EXPECT_FALSE(state.retryable) << "a script is never retried by itself";
}

INSTANTIATE_TEST_SUITE_P(
    Script, ScriptRow,
    testing::Values(
        ScriptCase{"NoFolder", {ScriptKind::kNoFolder, 0, ""}, Verdict::kPending, ""},
        ScriptCase{"NeverRan", {ScriptKind::kNeverRan, 0, ""}, Verdict::kPending, ""},
        ScriptCase{"Running", {ScriptKind::kRunning, 0, ""}, Verdict::kRunning, ""},
        ScriptCase{"Ended", {ScriptKind::kEnded, 0, "ok"}, Verdict::kDone, ""},
        ScriptCase{
            "Failed", {ScriptKind::kEnded, 3, "ok\nboom\n"}, Verdict::kFailed, "ScriptFailed"},
        ScriptCase{
            "Unknown", {ScriptKind::kUnknown, 0, ""}, Verdict::kFailed, "ScriptOutcomeUnknown"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ScriptStateRow, OurOwnStartThatIsOnItsWayIsNotClaimed) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.node().script = model::ScriptState{};
  upgrade.Task(model::Step::kRunUpgradeScript, TaskState::kRunning);
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.Task(model::Step::kRunUpgradeScript, TaskState::kFailed,
               base::MakeError(base::Code::kTransient, "EngineUnreachable", "x"));
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kPending)
      << "the exec never got there: to be claimed";
}

TEST(ScriptStateRow, ExitCodeZeroWithoutTheCompletionLineIsAFailure) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptEnded();
  upgrade.path.completion_lines = {"all done"};
  upgrade.node().script->output = "half way\n";
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).reason, "ScriptFailed");
  upgrade.node().script->output = "[Completed] all done\n";
  EXPECT_TRUE(upgrade.of(model::Step::kRunUpgradeScript).complete());
}

TEST(ScriptStateRow, IsNotBegunBeforeSupervisordAnswersOrBeforeAnybodyHasAsked) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.node().health.reset();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.node().health = fixtures::Well();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kPending);
}

TEST(ScriptStateRow, WhatWasSeenToEndIsHistory) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.node().script =
      model::ScriptState{ScriptKind::kUnknown, 0, ""};  // The log folder was cleaned.
  EXPECT_TRUE(upgrade.of(model::Step::kRunUpgradeScript).complete());
}

// ------------------------------------------------------------------- from below 4.0.1: two before
// it

fixtures::Upgrade Legacy(fixtures::Upgrade upgrade) {
  upgrade.record.from = "3.4.0";
  upgrade.path = *product::CheckPath(*crd::Version::Parse("3.4.0"), *crd::Version::Parse("4.3.1"));
  return upgrade;
}

TEST(LegacyState, OtherStartsSkipTheJarAndTheMetadata) {
  const fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  for (const model::Step step : {model::Step::kCorrectSchema, model::Step::kInitializeMetadata}) {
    EXPECT_EQ(upgrade.of(step).verdict, Verdict::kSkipped);
    EXPECT_EQ(upgrade.of(step).message, "only for a start below 4.0.1");
  }
}

TEST(LegacyState, TheJarWaitsForSupervisordAndForClusterManagerAndSupervisor) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().Started());
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kRunning);
  upgrade.node().health = fixtures::Well();
  upgrade.node().health->programs.push_back({"oms_drc_supervisor", "STARTING"});
  upgrade.facts.now = fixtures::At(51);
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kRunning);
  EXPECT_THAT(upgrade.of(model::Step::kCorrectSchema).message,
              HasSubstr("oms_drc_supervisor is STARTING"));
  upgrade.node().health->programs.back().state = "RUNNING";
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kPending);
}

TEST(LegacyState, TheJarDoesNotWaitForThemWithoutEnd) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().Started());
  upgrade.node().health = fixtures::Well();
  upgrade.node().health->programs.push_back({"oms_drc_cm", "FATAL"});
  upgrade.facts.now =
      fixtures::At(50) + upgrade.spec.strategy.timeouts.start + std::chrono::seconds(1);
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kPending);
}

TEST(LegacyState, EachScriptIsJudgedByItsOwnMarker) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().Started());
  upgrade.Pass(model::PointKind::kScriptStarting, "oms-1", "CorrectSchema", 1);
  upgrade.node().script = model::ScriptState{ScriptKind::kEnded, 0, "ok"};
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kRunning)
      << "what was looked at is the upgrade script's";
  upgrade.node().script_of = model::Step::kCorrectSchema;
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kDone);
  upgrade.node().script->exit_code = 2;
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).reason, "ScriptFailed");
  EXPECT_FALSE(upgrade.of(model::Step::kCorrectSchema).retryable);
  upgrade.node().script->kind = ScriptKind::kUnknown;
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).reason, "ScriptOutcomeUnknown");
  upgrade.Seen(model::Step::kCorrectSchema);
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kDone);
}

TEST(LegacyState, AnImageWithoutTheJarIsRefused) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().ImageThere());
  upgrade.node().script_in_image = false;
  upgrade.node().missing_in_image = upgrade.path.correction_jar;
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "CorrectionJarMissing");
  EXPECT_THAT(upgrade.of(model::Step::kLoadImage).message, HasSubstr("spec.legacy.jarPath"));
  upgrade.node().missing_in_image = upgrade.path.upgrade_script;
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "UpgradeScriptMissing");
}

TEST(LegacyState, AConsoleThatWasHeldForTheJarIsStartedOnceTheScriptHasRun) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().Healthy());
  upgrade.Seen(model::Step::kCorrectSchema);
  upgrade.Seen(model::Step::kInitializeMetadata);
  upgrade.node().health->programs = {{"nginx", "RUNNING"}, {"oms_console", "STOPPED"}};
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kPending);
  EXPECT_TRUE(ConsoleStillHeld(upgrade.path, upgrade.record, upgrade.node()));
  upgrade.node().health->programs.back().state = "FATAL";
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kRunning)
      << "it ended by itself";
  upgrade = fixtures::Upgrade().Healthy();
  upgrade.node().health->programs = {{"oms_console", "STOPPED"}};
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kRunning) << "nobody held it";
}

TEST(LegacyState, AConsoleThatMayRunInAMomentIsStoppedBeforeTheJar) {
  model::HealthFacts health;
  for (const char* state : {"RUNNING", "STARTING", "BACKOFF", "STOPPING"}) {
    health.programs = {{"oms_console", state}};
    EXPECT_TRUE(ConsoleMoves(health)) << state;
  }
  for (const char* state : {"STOPPED", "EXITED", "FATAL"}) {
    health.programs = {{"oms_console", state}};
    EXPECT_FALSE(ConsoleMoves(health)) << state;
  }
  health.programs = {{"nginx", "RUNNING"}};
  EXPECT_FALSE(ConsoleMoves(health));
}

// ----------------------------------------------------------------------------- health and the end

TEST(AwaitHealthState, WaitsAndSaysForWhat) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.node().health->heartbeat_fresh = false;
  const auto state = upgrade.of(model::Step::kAwaitHealth);
  EXPECT_EQ(state.verdict, Verdict::kRunning);
  EXPECT_THAT(state.message, HasSubstr("heartbeat"));
}

TEST(AwaitHealthState, FailsAfterItsTimeAndRecoversByItself) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.node().health->host_online = false;
  upgrade.facts.now =
      fixtures::At(60) + upgrade.spec.strategy.timeouts.healthy + std::chrono::seconds(1);
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).reason, "ServicesNotHealthy");
  upgrade.node().health->host_online = true;
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kPending);
}

TEST(AwaitHealthState, OneHealthyNodeDoesNotSpeakForAnother) {
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

TEST(EnableHaState, ARowThatIsGoneIsTold) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.meta().ha_raw.reset();
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).reason, "HAConfigMissing");
}

TEST(EnableHaState, ManualControlWaitsForThePerson) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.spec.ha.control = crd::HaControl::kManual;
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).verdict, Verdict::kRunning);
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).reason, crd::reason::kAwaitingHaSwitch);
}

TEST(DisableHaState, ManualControlWaitsForThePersonOnceTheIntentIsWritten) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.spec.ha.control = crd::HaControl::kManual;
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kPending)
      << "the point comes first";
  upgrade.Pass(model::PointKind::kHaDisabling);
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kRunning);
  upgrade.meta().ha_raw = fixtures::kHaOff;
  EXPECT_TRUE(upgrade.of(model::Step::kDisableHa).complete());
}

TEST(DetermineState, NothingThatNeedsTheMetaDbIsGuessedWithoutIt) {
  for (auto make :
       {+[] { return fixtures::Upgrade().HaOff(); }, +[] { return fixtures::Upgrade().Stopped(); },
        +[] { return fixtures::Upgrade().Compact(); },
        +[] { return fixtures::Upgrade().Accepted(); }}) {
    fixtures::Upgrade upgrade = make();
    upgrade.facts.meta.reset();
    const State state = upgrade.state();
    for (const auto& info : model::StepsOf(model::Direction::kUpgrade)) {
      if (At(state, info.step).complete()) continue;
      EXPECT_NE(At(state, info.step).verdict, Verdict::kFailed) << info.name;
      break;
    }
  }
}

TEST(DetermineState, AnEngineThatWasNotReachedIsWaitedFor) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.facts.nodes.clear();
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kRunning);
  upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.facts.nodes.clear();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
}

TEST(StopState, AnOldContainerThatCouldNotBeAskedIsNotGone) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.node().old_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, "OldContainerGone");
  upgrade.facts.troubles = {{"EngineUnreachable", "no answer", true}};
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kRunning);
}

TEST(ScriptTimeout, AScriptThatRunsTooLongIsToldAndStillTakenWhenItEnds) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.facts.now = fixtures::At(50) + upgrade.spec.strategy.timeouts.script;
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.facts.now += std::chrono::seconds(1);
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kFailed);
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).reason, "DeadlineExceeded");
  upgrade.node().script = model::ScriptState{model::ScriptState::Kind::kEnded, 0, "done\n"};
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kDone);
}

// ------------------------------------------------------------------------------- several nodes

// The second node is where the first one is.
fixtures::Upgrade WithSecond(fixtures::Upgrade upgrade) {
  model::FrozenNode frozen = upgrade.record.nodes.front();
  frozen.name = "oms-2";
  frozen.engine_id = "engine-2";
  model::NodeFacts second = upgrade.node();
  second.name = "oms-2";
  if (second.old_container) second.old_container->id = frozen.old_id = "old-id-2";
  if (second.new_container) second.new_container->id = "new-id-2";
  upgrade.record.nodes.push_back(frozen);
  for (auto* files : {&upgrade.record.image_backups, &upgrade.record.config_backups,
                      &upgrade.record.config_rewrites}) {
    if (files->contains("oms-1")) (*files)["oms-2"] = (*files)["oms-1"];
  }
  if (upgrade.record.backup) upgrade.record.backup->other_runs["oms-2"] = RunOf(second);
  if (upgrade.record.Passed(model::PointKind::kNewStarting))
    upgrade.Pass(model::PointKind::kNewStarting, "oms-2", "", 1);
  upgrade.facts.nodes.push_back(second);
  return upgrade;
}
model::NodeFacts& Second(fixtures::Upgrade& upgrade) { return upgrade.facts.nodes.at(1); }

TEST(StateOfTwoNodes, TheStopIsDoneWhenAllStand) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Stopped());
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kDone);
  Second(upgrade).old_container->running = true;
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kPending);
}

TEST(StateOfTwoNodes, ABackupHoldsForTheRunsOfAllOldContainers) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Dumped());
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kDone);
  Second(upgrade).old_container->started_at = "2026-01-02T03:05:00.000000Z";
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kPending)
      << "the second one ran since, and may have written";
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, crd::reason::kOldContainerStarted);
}

TEST(StateOfTwoNodes, ABackupOfFewerNodesIsNone) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Dumped());
  upgrade.record.backup->other_runs.clear();
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kPending);
}

TEST(StateOfTwoNodes, EachIsStartedOnce) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Started());
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).verdict, Verdict::kDone);
  std::erase_if(upgrade.record.points,
                [](const model::Point& point) { return point.node == "oms-2"; });
  Second(upgrade).new_container->running = false;
  Second(upgrade).new_container->status = "created";
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).verdict, Verdict::kPending);
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kDone)
      << "from the first start on it is the way back";
  Second(upgrade).new_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).verdict, Verdict::kPending)
      << "it has never run: another one is as good";
}

TEST(StateOfTwoNodes, TheScriptRunsOnTheFirstThatIsNoComponent) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Started());
  upgrade.record.nodes[0].role = crd::NodeRole::kComponent;
  EXPECT_EQ(upgrade.record.ScriptNode().name, "oms-2");
  upgrade.node().health->supervisor_answers = true;
  Second(upgrade).health->supervisor_answers = false;
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  Second(upgrade).health->supervisor_answers = true;
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kPending);
}

TEST(StateOfTwoNodes, AConsoleThatIsHeldBackOnTheOtherNodeIsStarted) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Healthy());
  Second(upgrade).health->programs = {{"nginx", "RUNNING"}, {"oms_console", "STOPPED"}};
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kPending);
  EXPECT_TRUE(ConsoleStillHeld(upgrade.path, upgrade.record, Second(upgrade)));
  upgrade.node().health->programs = Second(upgrade).health->programs;
  EXPECT_FALSE(ConsoleStillHeld(upgrade.path, upgrade.record, upgrade.node()))
      << "there it is the script's to start";
}

TEST(StateOfTwoNodes, OneEngineLoadsTheImageOnce) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade());
  upgrade.record.nodes[1].engine_id = upgrade.record.nodes[0].engine_id;
  EXPECT_EQ(model::LoaderOf(upgrade.record, upgrade.record.nodes[1]), "oms-1");
  upgrade.record.nodes[1].engine_id = "another";
  EXPECT_EQ(model::LoaderOf(upgrade.record, upgrade.record.nodes[1]), "oms-2");
}

TEST(StateOfTwoNodes, TheFilesAreRewrittenEachByItself) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Prepared());
  upgrade.record.config_rewrites.erase("oms-2");
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending);
  Second(upgrade).rehearsed_config.reset();
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kDone);
}

TEST(OperationRecord, KeepsRolesAndTheRunsOfAllNodes) {
  fixtures::Upgrade upgrade = WithSecond(fixtures::Upgrade().Dumped());
  upgrade.record.nodes[0].role = crd::NodeRole::kManagement;
  const auto read = model::OperationRecord::FromJson(upgrade.record.ToJson());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->nodes[0].role, crd::NodeRole::kManagement);
  EXPECT_EQ(read->backup->other_runs, upgrade.record.backup->other_runs);
}

}  // namespace
}  // namespace oms::steps

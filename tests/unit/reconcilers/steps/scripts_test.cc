#include "reconcilers/steps/scripts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/steps/console.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;
using TaskState = model::TaskView::State;
using ScriptKind = model::ScriptState::Kind;

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

TEST(RunUpgradeScript, OurOwnStartThatIsOnItsWayIsNotClaimed) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.node().script = model::ScriptState{};
  upgrade.Task(model::Step::kRunUpgradeScript, TaskState::kRunning);
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.Task(model::Step::kRunUpgradeScript, TaskState::kFailed,
               base::MakeError(base::Code::kTransient, "EngineUnreachable", "x"));
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kPending)
      << "the exec never got there: to be claimed";
}

TEST(RunUpgradeScript, ExitCodeZeroWithoutTheCompletionLineIsAFailure) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptEnded();
  upgrade.path.completion_lines = {"all done"};
  upgrade.node().script->output = "half way\n";
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).reason, "ScriptFailed");
  upgrade.node().script->output = "[Completed] all done\n";
  EXPECT_TRUE(upgrade.of(model::Step::kRunUpgradeScript).complete());
}

TEST(RunUpgradeScript, IsNotBegunBeforeSupervisordAnswersOrBeforeAnybodyHasAsked) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.node().health.reset();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.node().health = fixtures::Well();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kPending);
}

TEST(RunUpgradeScript, WhatWasSeenToEndIsHistory) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.node().script =
      model::ScriptState{ScriptKind::kUnknown, 0, ""};  // The log folder was cleaned.
  EXPECT_TRUE(upgrade.of(model::Step::kRunUpgradeScript).complete());
}

fixtures::Upgrade Legacy(fixtures::Upgrade upgrade) {
  upgrade.record.from = fixtures::VersionOf("3.4.0");
  upgrade.path = *product::CheckPath(*crd::Version::Parse("3.4.0"), *crd::Version::Parse("4.3.1"));
  return upgrade;
}

TEST(LegacyScripts, OtherStartsSkipTheJarAndTheMetadata) {
  const fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  for (const model::Step step : {model::Step::kCorrectSchema, model::Step::kInitializeMetadata}) {
    EXPECT_EQ(upgrade.of(step).verdict, Verdict::kSkipped);
    EXPECT_EQ(upgrade.of(step).message, "only for a start below 4.0.1");
  }
}

TEST(LegacyScripts, TheJarWaitsForSupervisordAndForClusterManagerAndSupervisor) {
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

TEST(LegacyScripts, TheJarDoesNotWaitForThemWithoutEnd) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().Started());
  upgrade.node().health = fixtures::Well();
  upgrade.node().health->programs.push_back({"oms_drc_cm", "FATAL"});
  upgrade.facts.now =
      fixtures::At(50) + upgrade.spec.strategy.timeouts.start + std::chrono::seconds(1);
  EXPECT_EQ(upgrade.of(model::Step::kCorrectSchema).verdict, Verdict::kPending);
}

TEST(LegacyScripts, EachScriptIsJudgedByItsOwnMarker) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().Started());
  upgrade.Pass(model::PointKind::kScriptStarting, "oms-1", model::Step::kCorrectSchema, 1);
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

TEST(LegacyScripts, AnImageWithoutTheJarIsRefused) {
  fixtures::Upgrade upgrade = Legacy(fixtures::Upgrade().ImageThere());
  upgrade.node().script_in_image = false;
  upgrade.node().missing_in_image = upgrade.path.correction_jar;
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "CorrectionJarMissing");
  EXPECT_THAT(upgrade.of(model::Step::kLoadImage).message, HasSubstr("spec.legacy.jarPath"));
  upgrade.node().missing_in_image = upgrade.path.upgrade_script;
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "UpgradeScriptMissing");
}

TEST(LegacyScripts, AConsoleThatWasHeldForTheJarIsStartedOnceTheScriptHasRun) {
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

TEST(LegacyScripts, AConsoleThatMayRunInAMomentIsStoppedBeforeTheJar) {
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

TEST(RunUpgradeScript, AScriptThatRunsTooLongIsToldAndStillTakenWhenItEnds) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.facts.now = fixtures::At(50) + upgrade.spec.strategy.timeouts.script;
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  upgrade.facts.now += std::chrono::seconds(1);
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kFailed);
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).reason, "DeadlineExceeded");
  upgrade.node().script = model::ScriptState{model::ScriptState::Kind::kEnded, 0, "done\n"};
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kDone);
}

}  // namespace
}  // namespace oms::steps

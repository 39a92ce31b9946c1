#include "reconcilers/steps/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/reasons.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/steps/console.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

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

TEST(JudgeSteps, NothingThatNeedsTheMetaDbIsGuessedWithoutIt) {
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

TEST(JudgeSteps, AnEngineThatWasNotReachedIsWaitedFor) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.facts.nodes.clear();
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kRunning);
  upgrade = fixtures::Upgrade().ScriptBegun();
  upgrade.facts.nodes.clear();
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
}

TEST(StateOfTwoNodes, TheStopIsDoneWhenAllStand) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Stopped());
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kDone);
  fixtures::Second(upgrade).old_container->running = true;
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).verdict, Verdict::kPending);
}

TEST(StateOfTwoNodes, ABackupHoldsForTheRunsOfAllOldContainers) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Dumped());
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kDone);
  fixtures::Second(upgrade).old_container->started_at = "2026-01-02T03:05:00.000000Z";
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kPending)
      << "the second one ran since, and may have written";
  EXPECT_EQ(upgrade.of(model::Step::kStopContainers).reason, crd::reason::kOldContainerStarted);
}

TEST(StateOfTwoNodes, ABackupOfFewerNodesIsNone) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Dumped());
  upgrade.record.backup->other_runs.clear();
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kPending);
}

TEST(StateOfTwoNodes, EachIsStartedOnce) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Started());
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).verdict, Verdict::kDone);
  std::erase_if(upgrade.record.points,
                [](const model::Point& point) { return point.node == "oms-2"; });
  fixtures::Second(upgrade).new_container->running = false;
  fixtures::Second(upgrade).new_container->status = "created";
  EXPECT_EQ(upgrade.of(model::Step::kStartContainers).verdict, Verdict::kPending);
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kDone)
      << "from the first start on it is the way back";
  fixtures::Second(upgrade).new_container.reset();
  EXPECT_EQ(upgrade.of(model::Step::kCreateContainers).verdict, Verdict::kPending)
      << "it has never run: another one is as good";
}

TEST(StateOfTwoNodes, TheScriptRunsOnTheFirstThatIsNoComponent) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Started());
  upgrade.record.nodes[0].role = crd::NodeRole::kComponent;
  EXPECT_EQ(upgrade.record.ScriptNode().name, "oms-2");
  upgrade.node().health->supervisor_answers = true;
  fixtures::Second(upgrade).health->supervisor_answers = false;
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kRunning);
  fixtures::Second(upgrade).health->supervisor_answers = true;
  EXPECT_EQ(upgrade.of(model::Step::kRunUpgradeScript).verdict, Verdict::kPending);
}

TEST(StateOfTwoNodes, AConsoleThatIsHeldBackOnTheOtherNodeIsStarted) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Healthy());
  fixtures::Second(upgrade).health->programs = {{"nginx", "RUNNING"}, {"oms_console", "STOPPED"}};
  EXPECT_EQ(upgrade.of(model::Step::kAwaitHealth).verdict, Verdict::kPending);
  EXPECT_TRUE(ConsoleStillHeld(upgrade.path, upgrade.record, fixtures::Second(upgrade)));
  upgrade.node().health->programs = fixtures::Second(upgrade).health->programs;
  EXPECT_FALSE(ConsoleStillHeld(upgrade.path, upgrade.record, upgrade.node()))
      << "there it is the script's to start";
}

TEST(StateOfTwoNodes, OneEngineLoadsTheImageOnce) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade());
  upgrade.record.nodes[1].engine_id = upgrade.record.nodes[0].engine_id;
  EXPECT_EQ(model::LoaderOf(upgrade.record, upgrade.record.nodes[1]), "oms-1");
  upgrade.record.nodes[1].engine_id = "another";
  EXPECT_EQ(model::LoaderOf(upgrade.record, upgrade.record.nodes[1]), "oms-2");
}

TEST(StateOfTwoNodes, TheFilesAreRewrittenEachByItself) {
  fixtures::Upgrade upgrade = fixtures::WithSecond(fixtures::Upgrade().Prepared());
  upgrade.record.config_rewrites.erase("oms-2");
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending);
  fixtures::Second(upgrade).rehearsed_config.reset();
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kDone);
}

}  // namespace
}  // namespace oms::steps

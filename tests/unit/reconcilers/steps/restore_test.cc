#include "reconcilers/steps/restore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/reasons.h"
#include "reconcilers/steps/accept.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;

// The new container is gone, and of the databases these differ from their backup.
fixtures::Upgrade Differs(std::vector<std::string> databases) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Healthy();
  upgrade.record.direction = model::Direction::kRollback;
  upgrade.record.differing = std::move(databases);
  return upgrade;
}

TEST(SaveUpgradedState, IsSkippedWhereNothingDiffers) {
  EXPECT_EQ(Differs({}).of(model::Step::kSaveUpgradedState).verdict, Verdict::kSkipped);
  EXPECT_EQ(Differs({"oms_rm"}).of(model::Step::kSaveUpgradedState).verdict, Verdict::kPending);
}

TEST(SaveUpgradedState, ATokenForgivesItsTriesAndItsFoldersGoOnCounting) {
  model::OperationRecord record = Differs({"oms_rm"}).record;
  int& begun = record.steps[model::Step::kSaveUpgradedState].begun;
  begun = kMaxSaves - 1;
  SaveUpgradedState::Forgive(record, true);
  EXPECT_EQ(SavesTried(record), kMaxSaves - 1) << "it may still be given up after its second try";
  begun = kMaxSaves;
  SaveUpgradedState::Forgive(record, true);
  EXPECT_EQ(SavesTried(record), 0);
  EXPECT_EQ(begun, kMaxSaves);
}

TEST(RestoreDatabases, IsDoneOnceEachDatabaseThatDiffersIsRestored) {
  fixtures::Upgrade upgrade = Differs({"oms_rm", "oms_cm"});
  const auto verdict = [&] { return upgrade.of(model::Step::kRestoreDatabases).verdict; };
  EXPECT_EQ(verdict(), Verdict::kPending);
  upgrade.record.restores["oms_rm"].restored = fixtures::At(70);
  EXPECT_EQ(verdict(), Verdict::kPending);
  upgrade.record.restores["oms_cm"].restored = fixtures::At(71);
  EXPECT_EQ(verdict(), Verdict::kDone);
}

TEST(RestoreDatabases, ALoadThatDiffersIsDoneOnceMoreAndIsThenAPersonsCase) {
  fixtures::Upgrade upgrade = Differs({"oms_rm"});
  model::DatabaseRestore& restore = upgrade.record.restores["oms_rm"];
  restore.difference = "table t: 1 row instead of 2";
  restore.differed = 1;
  EXPECT_EQ(upgrade.of(model::Step::kRestoreDatabases).verdict, Verdict::kPending);
  restore.differed = kMaxLoads;
  const StepState state = upgrade.of(model::Step::kRestoreDatabases);
  EXPECT_EQ(state.reason, "RestoreDiffers");
  EXPECT_THAT(state.message, HasSubstr("1 row instead of 2"));
  upgrade.facts.accept = AcceptDifference(upgrade.record, "oms_rm");
  EXPECT_EQ(upgrade.of(model::Step::kRestoreDatabases).verdict, Verdict::kPending);
}

TEST(RestoreDatabases, ATokenForgivesTheLoadsAfterWhichADatabaseDiffered) {
  model::OperationRecord record = Differs({"oms_rm"}).record;
  model::DatabaseRestore& restore = record.restores["oms_rm"];
  restore.begun = restore.differed = kMaxLoads;
  restore.difference = "table t: 1 row instead of 2";
  RestoreDatabases::Forgive(record, false);
  EXPECT_EQ(restore.differed, 0);
  EXPECT_EQ(restore.begun, kMaxLoads) << "tries go on counting";
  EXPECT_NE(restore.difference, "") << "another step had failed";
  RestoreDatabases::Forgive(record, true);
  EXPECT_EQ(restore.difference, "");
}

TEST(RestoreDatabases, WhatAPersonAcceptsIsThisDifferenceOfThisDatabase) {
  model::OperationRecord record = Differs({"oms_rm"}).record;
  record.restores["oms_rm"].difference = "table t: 1 row instead of 2";
  record.restores["oms_cm"].difference = "table t: 1 row instead of 2";
  const std::string token = AcceptDifference(record, "oms_rm");
  EXPECT_THAT(token, HasSubstr(AcceptToken(record, crd::reason::kRestoreDiffers)));
  EXPECT_NE(token, AcceptDifference(record, "oms_cm"));
  record.restores["oms_rm"].difference = "table t: 0 rows instead of 2";
  EXPECT_NE(token, AcceptDifference(record, "oms_rm"));
}

TEST(RestoreDatabases, TellsWhatEqualsItsBackupAndWhatWasAccepted) {
  model::OperationRecord record = Differs({"oms_rm", "oms_cm"}).record;
  EXPECT_EQ(RestoreDatabases::Summary(record), "");
  record.restores["oms_cm"].restored = fixtures::At(1);
  record.restores["oms_rm"].restored = fixtures::At(2);
  EXPECT_EQ(RestoreDatabases::Summary(record), "oms_cm, oms_rm match their backups");
  record.restores["oms_rm"].difference = "a row more";
  EXPECT_EQ(RestoreDatabases::Summary(record),
            "oms_cm matches its backup; oms_rm was accepted as it is: a row more");
}

}  // namespace
}  // namespace oms::steps

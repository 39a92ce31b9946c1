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
  const std::string name(model::NameOf(model::Step::kSaveUpgradedState));
  record.attempts[name] = kMaxSaves - 1;
  SaveUpgradedState::Forgive(record, true);
  EXPECT_EQ(SavesTried(record), kMaxSaves - 1) << "it may still be given up after its second try";
  record.attempts[name] = kMaxSaves;
  SaveUpgradedState::Forgive(record, true);
  EXPECT_EQ(SavesTried(record), 0);
  EXPECT_EQ(record.attempts[name], kMaxSaves);
}

TEST(RestoreDatabases, ATokenForgivesTheLoadsAfterWhichADatabaseDiffered) {
  model::OperationRecord record = Differs({"oms_rm"}).record;
  record.attempts[DifferingLoads("oms_rm")] = kMaxLoads;
  record.attempts[RestoreTask("oms_rm")] = kMaxLoads;
  record.restore_differs["oms_rm"] = "table t: 1 row instead of 2";
  RestoreDatabases::Forgive(record, false);
  EXPECT_FALSE(record.attempts.contains(DifferingLoads("oms_rm")));
  EXPECT_EQ(record.attempts[RestoreTask("oms_rm")], kMaxLoads) << "tries go on counting";
  EXPECT_TRUE(record.restore_differs.contains("oms_rm")) << "another step had failed";
  RestoreDatabases::Forgive(record, true);
  EXPECT_TRUE(record.restore_differs.empty());
}

TEST(RestoreDatabases, WhatAPersonAcceptsIsThisDifferenceOfThisDatabase) {
  model::OperationRecord record = Differs({"oms_rm"}).record;
  record.restore_differs["oms_rm"] = "table t: 1 row instead of 2";
  record.restore_differs["oms_cm"] = "table t: 1 row instead of 2";
  const std::string token = AcceptDifference(record, "oms_rm");
  EXPECT_THAT(token, HasSubstr(AcceptToken(record, crd::reason::kRestoreDiffers)));
  EXPECT_NE(token, AcceptDifference(record, "oms_cm"));
  record.restore_differs["oms_rm"] = "table t: 0 rows instead of 2";
  EXPECT_NE(token, AcceptDifference(record, "oms_rm"));
}

TEST(RestoreDatabases, TellsWhatEqualsItsBackupAndWhatWasAccepted) {
  model::OperationRecord record = Differs({"oms_rm", "oms_cm"}).record;
  EXPECT_EQ(RestoreDatabases::Summary(record), "");
  record.restored = {{"oms_cm", fixtures::At(1)}, {"oms_rm", fixtures::At(2)}};
  EXPECT_EQ(RestoreDatabases::Summary(record), "oms_cm, oms_rm equal their backups");
  record.restore_differs["oms_rm"] = "a row more";
  EXPECT_EQ(RestoreDatabases::Summary(record),
            "oms_cm matches its backup; oms_rm was accepted as it is: a row more");
}

}  // namespace
}  // namespace oms::steps

#include "reconcilers/steps/verify.h"

#include <gtest/gtest.h>

#include "crd/reasons.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

fixtures::Upgrade Back(fixtures::Upgrade upgrade) {
  upgrade.record.direction = model::Direction::kRollback;
  return upgrade;
}

TEST(VerifyBackups, IsSkippedWhereNoDatabaseHasToBeRestored) {
  EXPECT_EQ(Back(fixtures::Upgrade().Dumped()).of(model::Step::kVerifyBackups).verdict,
            Verdict::kSkipped);
  EXPECT_EQ(Back(fixtures::Upgrade().Dumped()).of(model::Step::kCompareDatabases).verdict,
            Verdict::kSkipped);
}

TEST(VerifyBackups, ARecordWithoutABackupDropsNothing) {
  fixtures::Upgrade upgrade = Back(fixtures::Upgrade().Healthy());
  EXPECT_EQ(upgrade.of(model::Step::kVerifyBackups).verdict, Verdict::kPending);
  upgrade.record.backup.reset();
  EXPECT_EQ(upgrade.of(model::Step::kVerifyBackups).reason, crd::reason::kBackupCorrupt);
}

TEST(VerifyBackups, AFailedOneOfAnUndoNamesTheWayOutThatCostsNothing) {
  fixtures::Upgrade upgrade = Back(fixtures::Upgrade().Healthy());
  upgrade.record.undoes = model::OperationRef{"before", "/backups/before"};
  upgrade.facts.tasks["VerifyBackups"].state = model::TaskView::State::kFailed;
  const StepState failed = upgrade.of(model::Step::kVerifyBackups);
  EXPECT_EQ(failed.verdict, Verdict::kFailed);
  EXPECT_NE(failed.message.find("set spec.version to 4.3.1 again"), std::string::npos)
      << failed.message;
}

TEST(CompareDatabases, IsDoneOnceTheRecordNamesWhatDiffers) {
  fixtures::Upgrade upgrade = Back(fixtures::Upgrade().Healthy());
  EXPECT_EQ(upgrade.of(model::Step::kCompareDatabases).verdict, Verdict::kPending);
  upgrade.record.differing.emplace();
  EXPECT_EQ(upgrade.of(model::Step::kCompareDatabases).verdict, Verdict::kDone);
}

}  // namespace
}  // namespace oms::steps

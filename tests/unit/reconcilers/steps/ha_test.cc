#include "reconcilers/steps/ha.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/reasons.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

TEST(DisableHa, OffStaysOff) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.record.ha_was_on = false;
  upgrade.meta().ha_raw = fixtures::kHaOff;
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kSkipped);
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).verdict, Verdict::kSkipped);
  upgrade.meta().ha_raw.reset();
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kSkipped) << "no such row";
}

// The operation may be held for days after it was opened.
TEST(DisableHa, WhatAPersonHasSwitchedSinceTheOpeningIsWhatCounts) {
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

TEST(DisableHa, APointWithoutTheActIsDoneAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.Pass(model::PointKind::kHaDisabling);  // Died before the swap: ha.config is still on.
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kPending);
}

TEST(DisableHa, IsHistoryOnceHaIsWantedOnAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.meta().ha_raw = fixtures::kHaOn;
  EXPECT_TRUE(upgrade.of(model::Step::kDisableHa).complete());
}

TEST(EnableHa, ARowThatIsGoneIsTold) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.meta().ha_raw.reset();
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).reason, "HAConfigMissing");
}

TEST(EnableHa, ManualControlWaitsForThePerson) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Accepted();
  upgrade.spec.ha.control = crd::HaControl::kManual;
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).verdict, Verdict::kRunning);
  EXPECT_EQ(upgrade.of(model::Step::kEnableHa).reason, crd::reason::kAwaitingHaSwitch);
}

TEST(DisableHa, ManualControlWaitsForThePersonOnceTheIntentIsWritten) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.spec.ha.control = crd::HaControl::kManual;
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kPending)
      << "the point comes first";
  upgrade.Pass(model::PointKind::kHaDisabling);
  EXPECT_EQ(upgrade.of(model::Step::kDisableHa).verdict, Verdict::kRunning);
  upgrade.meta().ha_raw = fixtures::kHaOff;
  EXPECT_TRUE(upgrade.of(model::Step::kDisableHa).complete());
}

}  // namespace
}  // namespace oms::steps

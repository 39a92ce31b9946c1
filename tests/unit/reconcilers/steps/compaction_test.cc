#include "reconcilers/steps/compaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

TEST(CompactHeartbeat, TablesThatAreAllGoneAreToldAndNotWaitedFor) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Stopped();
  upgrade.meta().sequence = {};
  const auto state = upgrade.of(model::Step::kCompactHeartbeat);
  EXPECT_EQ(state.verdict, Verdict::kFailed)
      << "nothing can be done, so nothing may be tried for ever";
  EXPECT_FALSE(state.retryable);
}

TEST(CompactHeartbeat, EachLeftoverOfACrashIsPending) {
  for (const bool bak2 : {false, true}) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
    (bak2 ? upgrade.meta().sequence.bak2 : upgrade.meta().sequence.bak) = {true, 1, 5, 6};
    EXPECT_EQ(upgrade.of(model::Step::kCompactHeartbeat).verdict, Verdict::kPending);
  }
}

}  // namespace
}  // namespace oms::steps

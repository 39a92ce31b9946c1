#include "reconcilers/failures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::upgrade {
namespace {

using testing::HasSubstr;

StepState PendingWith(const char* message) {
  StepState at;
  at.message = message;
  return at;
}

// How many acts of `step` are let through in a row, of at most so many.
int ActsLetThrough(Step step, bool trace, int most, size_t nodes = 1) {
  OperationRecord record;
  record.nodes.resize(nodes);
  FailureMemory memory;
  const StepState at = PendingWith("to be done");
  for (int n = 0; n < most; ++n) {
    if (WithoutEffect(record, step, at, memory)) return n;
    NoteAct(step, at, trace, memory);
  }
  return most;
}

TEST(WithoutEffect, IsWhatTwoActsWithoutATraceComeTo) {
  EXPECT_EQ(ActsLetThrough(Step::kRewriteConfig, false, 100), 2);
  EXPECT_EQ(ActsLetThrough(Step::kCompactHeartbeat, false, 100), 2);
}

TEST(WithoutEffect, BoundsActsThatLeaveATraceToo) {
  EXPECT_EQ(ActsLetThrough(Step::kDisableHa, true, 100), 5);
  EXPECT_EQ(ActsLetThrough(Step::kLoadImage, true, 100), 30);
  EXPECT_EQ(ActsLetThrough(Step::kLoadImage, true, 100, 3), 50) << "nodes have acts of their own";
}

TEST(WithoutEffect, IsNotWhereAnotherThingIsStillToBeDoneAfterEachAct) {
  const OperationRecord record;
  FailureMemory memory;
  for (const char* message : {"on node a", "on node b", "on node c", "on node d"}) {
    EXPECT_FALSE(WithoutEffect(record, Step::kAwaitHealth, PendingWith(message), memory));
    NoteAct(Step::kAwaitHealth, PendingWith(message), false, memory);
  }
}

TEST(WithoutEffect, IsForgottenByAnotherStepAndByAFailure) {
  const OperationRecord record;
  FailureMemory memory;
  const StepState at = PendingWith("to be done");
  for (int i = 0; i < 2; ++i) NoteAct(Step::kRewriteConfig, at, false, memory);
  EXPECT_TRUE(WithoutEffect(record, Step::kRewriteConfig, at, memory));
  EXPECT_FALSE(WithoutEffect(record, Step::kCreateContainers, at, memory));
  const auto error = WithoutEffect(record, Step::kRewriteConfig, at, memory);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, "NoEffect");
  EXPECT_THAT(error->message, HasSubstr("RewriteConfig was done 2 times"));
  EXPECT_THAT(error->message, HasSubstr("to be done"));
  const StepFailure failure = FailureOf(Step::kRewriteConfig, *error, base::SteadyTime(), memory);
  EXPECT_TRUE(failure.retryable);
  EXPECT_FALSE(WithoutEffect(record, Step::kRewriteConfig, at, memory)) << "the next try may act";
}

}  // namespace
}  // namespace oms::upgrade

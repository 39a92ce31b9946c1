#include "reconcilers/decide/failures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::decide {
namespace {

using testing::HasSubstr;

steps::StepState PendingWith(const char* message) {
  steps::StepState at;
  at.message = message;
  return at;
}

// How many acts of `step` are let through in a row, of at most so many.
int ActsLetThrough(model::Step step, bool trace, int most, size_t nodes = 1) {
  model::OperationRecord record;
  record.nodes.resize(nodes);
  FailureMemory memory;
  const steps::StepState at = PendingWith("to be done");
  for (int n = 0; n < most; ++n) {
    if (WithoutEffect(record, step, at, memory)) return n;
    NoteAct(step, at, trace, memory);
  }
  return most;
}

TEST(WithoutEffect, IsWhatTwoActsWithoutATraceComeTo) {
  EXPECT_EQ(ActsLetThrough(model::Step::kRewriteConfig, false, 100), 2);
  EXPECT_EQ(ActsLetThrough(model::Step::kCompactHeartbeat, false, 100), 2);
}

TEST(WithoutEffect, BoundsActsThatLeaveATraceToo) {
  EXPECT_EQ(ActsLetThrough(model::Step::kDisableHa, true, 100), 5);
  EXPECT_EQ(ActsLetThrough(model::Step::kLoadImage, true, 100), 30);
  EXPECT_EQ(ActsLetThrough(model::Step::kLoadImage, true, 100, 3), 50)
      << "nodes have acts of their own";
}

TEST(WithoutEffect, IsNotWhereAnotherThingIsStillToBeDoneAfterEachAct) {
  const model::OperationRecord record;
  FailureMemory memory;
  for (const char* message : {"on node a", "on node b", "on node c", "on node d"}) {
    EXPECT_FALSE(WithoutEffect(record, model::Step::kAwaitHealth, PendingWith(message), memory));
    NoteAct(model::Step::kAwaitHealth, PendingWith(message), false, memory);
  }
}

TEST(WithoutEffect, IsForgottenByAnotherStepAndByAFailure) {
  const model::OperationRecord record;
  FailureMemory memory;
  const steps::StepState at = PendingWith("to be done");
  for (int i = 0; i < 2; ++i) NoteAct(model::Step::kRewriteConfig, at, false, memory);
  EXPECT_TRUE(WithoutEffect(record, model::Step::kRewriteConfig, at, memory));
  EXPECT_FALSE(WithoutEffect(record, model::Step::kCreateContainers, at, memory));
  const auto error = WithoutEffect(record, model::Step::kRewriteConfig, at, memory);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, "NoEffect");
  EXPECT_THAT(error->message, HasSubstr("RewriteConfig was done 2 times"));
  EXPECT_THAT(error->message, HasSubstr("to be done"));
  const model::StepFailure failure =
      FailureOf(model::Step::kRewriteConfig, *error, base::SteadyTime(), memory);
  EXPECT_TRUE(failure.retryable);
  EXPECT_FALSE(WithoutEffect(record, model::Step::kRewriteConfig, at, memory))
      << "the next try may act";
}

}  // namespace
}  // namespace oms::decide

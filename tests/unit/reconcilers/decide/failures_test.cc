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

// Stands at the dump of the databases, which has ended so.
struct Dump {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
  FailureMemory memory;

  void Fails(const char* message, int64_t ended) {
    upgrade.Task(model::Step::kBackUpDatabases, model::TaskView::State::kFailed,
                 base::MakeError(base::Code::kTransient, "DumpFailed", message));
    upgrade.facts.tasks.at("BackUpDatabases").ended = base::SteadyTime(std::chrono::seconds(ended));
  }
  std::optional<NewFailure> Count() {
    return CountFailure(upgrade.record, upgrade.state(), upgrade.facts, memory);
  }
};

TEST(CountFailure, CountsEachTryOnceWhateverItsWords) {
  Dump dump;
  dump.Fails("lost connection 17", 10);
  auto found = dump.Count();
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->kept);
  EXPECT_EQ(found->failure.count, 1);
  EXPECT_FALSE(dump.Count()) << "it is the same try";

  dump.Fails("lost connection 18", 20);
  ASSERT_TRUE(found = dump.Count());
  EXPECT_EQ(found->failure.count, 2);
  dump.Fails("lost connection 18", 30);
  ASSERT_TRUE(found = dump.Count()) << "another try that says the same";
  EXPECT_EQ(found->failure.count, 3);
  EXPECT_FALSE(dump.Count());
}

TEST(CountFailure, ThatIsNoTryIsCountedOnceForAsLongAsItLasts) {
  Dump dump;
  dump.upgrade = fixtures::Upgrade().Stopped();
  dump.upgrade.node().old_container->started_at = "2026-01-02T00:00:00.000000Z";
  const auto found = dump.Count();
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->kept) << "the world may become as it should be";
  dump.upgrade.node().old_container->started_at = "2026-01-03T00:00:00.000000Z";
  EXPECT_FALSE(dump.Count()) << "in other words the same";
}

TEST(RecallFailure, ATryThatIsInTheRecordIsNotCountedAgain) {
  Dump dump;
  dump.upgrade.record.failure =
      model::StepFailure{model::Step::kBackUpDatabases, 2, "DumpFailed", "as it was", true};
  steps::State state = dump.upgrade.state();
  RecallFailure(dump.upgrade.record, dump.upgrade.facts.steady_now, dump.memory, state);
  EXPECT_EQ(steps::At(state, model::Step::kBackUpDatabases).message, "as it was");
  EXPECT_EQ(dump.memory.count.failures, 2);
  EXPECT_FALSE(CountFailure(dump.upgrade.record, state, dump.upgrade.facts, dump.memory));

  dump.memory.begun = model::Step::kBackUpDatabases;
  dump.Fails("as it was", 10);
  const auto found = dump.Count();
  ASSERT_TRUE(found) << "the next try has failed, in the same words";
  EXPECT_EQ(found->failure.count, 3);
}

TEST(FailureOf, AnActThatFailsAgainIsAnotherTryInTheSameWords) {
  Dump dump;
  const base::Error error = base::MakeError(base::Code::kTransient, "EngineUnreachable", "words");
  for (int n = 1; n <= 3; ++n) {
    const auto failure =
        FailureOf(model::Step::kBackUpDatabases, error, base::SteadyTime(), dump.memory);
    EXPECT_EQ(failure.count, n);
    dump.upgrade.record.failure = failure;
    steps::State state = dump.upgrade.state();
    RecallFailure(dump.upgrade.record, dump.upgrade.facts.steady_now, dump.memory, state);
    EXPECT_FALSE(CountFailure(dump.upgrade.record, state, dump.upgrade.facts, dump.memory));
  }
}

}  // namespace
}  // namespace oms::decide

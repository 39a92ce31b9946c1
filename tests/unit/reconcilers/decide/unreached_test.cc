#include "reconcilers/decide/unreached.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crd/reasons.h"

namespace oms::decide {
namespace {

using Kind = Decision::Kind;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const model::Trouble kDown{crd::reason::kEngineUnreachable, "no answer", true};
const model::Trouble kWrong{crd::reason::kWrongEngine, "another engine", false};

TEST(Unreached, StallsAnOperationOnlyWhereAPersonMustAct) {
  EXPECT_EQ(DecideUnreached({kDown, true}).kind, Kind::kUnknown);
  EXPECT_EQ(DecideUnreached({kWrong, true}).kind, Kind::kStall);
  EXPECT_EQ(DecideUnreached({kWrong, true}).reason, crd::reason::kWrongEngine);
}

TEST(Unreached, IsNoFailureWhereNothingIsWanted) {
  EXPECT_EQ(DecideUnreached({kDown, false, true}).kind, Kind::kUnknown);
  EXPECT_EQ(DecideUnreached({kWrong, false, true}).kind, Kind::kUnknown);
}

TEST(Unreached, HoldsUpWhatIsWanted) {
  for (const auto& trouble : {kDown, kWrong}) {
    const Decision decision = DecideUnreached({trouble});
    EXPECT_EQ(decision.kind, Kind::kStall);
    EXPECT_EQ(decision.message, trouble.message);
    EXPECT_EQ(decision.wait, kLookAgainAtTrouble);
  }
}

TEST(Unreached, TellsAPersonWhoDeletesWhatTheDeletionWaitsFor) {
  UnreachedView view{kDown, true};
  view.operation = "4711";
  EXPECT_EQ(DecideUnreached(view).message, "no answer");
  view.deleting = true;
  EXPECT_THAT(DecideUnreached(view).message,
              AllOf(HasSubstr("is being deleted"), HasSubstr("=4711")));
  view.open = false;
  view.idle = true;
  EXPECT_EQ(DecideUnreached(view).message, "no answer");
}

TEST(AfterError, WaitsForWhatMayPassAndStallsAtWhatAPersonMustCorrect) {
  EXPECT_EQ(DecideAfterError(base::MakeError(base::Code::kTransient, "Down", "no answer"),
                             model::Step::kStopContainers)
                .kind,
            Kind::kWait);
  EXPECT_EQ(DecideAfterError(base::MakeError(base::Code::kInternal, "a bug"), {}).kind,
            Kind::kWait);
  const Decision denied = DecideAfterError(
      base::MakeError(base::Code::kDenied, "MetaDBDenied", "no right"), model::Step::kDisableHa);
  EXPECT_EQ(denied.kind, Kind::kStall);
  EXPECT_EQ(denied.step, model::Step::kDisableHa);
  EXPECT_EQ(denied.reason, "MetaDBDenied");
  EXPECT_EQ(denied.wait, kLookAgainAtTrouble);
}

TEST(AfterError, WithoutAReasonIsATryThatIsMadeAgain) {
  EXPECT_EQ(DecideAfterError(base::MakeError(base::Code::kInternal, "a bug"), {}).reason,
            crd::reason::kProgressingWithRetry);
}

TEST(Deletion, WaitsWhereItCannotBeToldWhetherAnOperationIsOpen) {
  DeletionView view;
  EXPECT_EQ(HoldsDeletion(view), std::nullopt);
  view.trouble = &kDown;
  const auto held = HoldsDeletion(view);
  ASSERT_TRUE(held);
  EXPECT_EQ(held->kind, Kind::kStall);
  EXPECT_THAT(held->message, AllOf(HasSubstr("Orphan"), Not(HasSubstr("abandon"))));
  view.operation = "4711";
  EXPECT_THAT(HoldsDeletion(view)->message, HasSubstr("=4711"));
  view.orphans = true;
  EXPECT_EQ(HoldsDeletion(view), std::nullopt);
  view.orphans = false;
  view.others = true;
  EXPECT_EQ(HoldsDeletion(view), std::nullopt);
}

}  // namespace
}  // namespace oms::decide

#include "reconcilers/model/record_cache.h"

#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::model {
namespace {

TEST(FoldRecords, TheHighestHoldsAndPointsAreTheUnionOverAll) {
  OperationRecord first = fixtures::Upgrade().HaOff().record;
  OperationRecord second = fixtures::Upgrade().record;  // A writer that had not seen the point.
  second.Passed(PointKind::kHaDisabling);
  second.points.push_back({PointKind::kStopping, "", std::nullopt, 0, fixtures::At(70)});
  second.t1 = fixtures::At(71);
  const auto folded = FoldRecords({first.ToJson(), second.ToJson()});
  ASSERT_TRUE(folded.ok());
  EXPECT_TRUE(folded->Passed(PointKind::kHaDisabling));
  EXPECT_TRUE(folded->Passed(PointKind::kStopping));
  EXPECT_EQ(folded->points.size(), 2u);
  EXPECT_EQ(folded->t1, fixtures::At(71));
}

TEST(FoldRecords, APointIsCountedOnceAndAnAttemptIsAPointOfItsOwn) {
  OperationRecord record = fixtures::Upgrade().ScriptBegun().record;
  OperationRecord more = record;
  more.points.push_back(
      {PointKind::kScriptStarting, "oms-1", Step::kRunUpgradeScript, 2, fixtures::At(80)});
  const auto folded = FoldRecords({record.ToJson(), more.ToJson()});
  ASSERT_TRUE(folded.ok());
  EXPECT_EQ(folded->points.size(), more.points.size());
  EXPECT_EQ(folded->LastAttempt(PointKind::kScriptStarting, "oms-1", Step::kRunUpgradeScript), 2);
  EXPECT_EQ(folded->LastAttempt(PointKind::kScriptStarting, "oms-2", Step::kRunUpgradeScript), 0);
}

TEST(FoldRecords, OneBrokenTextRefusesTheWholeFolder) {
  EXPECT_FALSE(FoldRecords({fixtures::Upgrade().record.ToJson(), "torn"}).ok());
  EXPECT_TRUE(FoldRecords({}).Is(base::Code::kNotFound));
}

std::vector<std::string> Three() {
  fixtures::Upgrade upgrade = fixtures::Upgrade();
  const std::string first = upgrade.record.ToJson();
  upgrade.HaOff();
  const std::string second = upgrade.record.ToJson();
  upgrade.record.t1 = fixtures::At(71);
  return {first, second, upgrade.record.ToJson()};
}

TEST(RecordCache, ParsesATextOnceWhileItIsTheSameAndSaysWhatAllOfThemSay) {
  const auto texts = Three();
  RecordCache cache;
  ASSERT_TRUE(cache.Fold("a", {texts[0]}).ok());
  const auto two = cache.Fold("a", {texts[0], texts[1]});
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(cache.parsed(), 2);
  EXPECT_EQ(two->ToJson(), FoldRecords({texts[0], texts[1]})->ToJson());
  EXPECT_EQ(cache.Fold("a", texts)->ToJson(), FoldRecords(texts)->ToJson());
  EXPECT_EQ(cache.Fold("a", texts)->t1, fixtures::At(71));
  EXPECT_EQ(cache.parsed(), 3);
}

// Another volume was mounted there, or somebody has put other files into it.
TEST(RecordCache, BelievesNothingOfAFolderThatSaysSomethingElseNow) {
  const auto texts = Three();
  RecordCache cache;
  ASSERT_TRUE(cache.Fold("a", texts).ok());
  const auto other = cache.Fold("a", {texts[2], texts[0]});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->t1, std::nullopt);
  const auto fewer = cache.Fold("a", {texts[0]});
  ASSERT_TRUE(fewer.ok());
  EXPECT_FALSE(fewer->Passed(PointKind::kHaDisabling));
  EXPECT_TRUE(cache.Fold("a", {}).Is(base::Code::kNotFound));
}

TEST(RecordCache, KeepsFoldersApartAndForgetsThemWhereThereAreMany) {
  const auto texts = Three();
  RecordCache cache;
  EXPECT_FALSE(cache.Fold("a", {texts[0]})->Passed(PointKind::kHaDisabling));
  EXPECT_TRUE(cache.Fold("b", {texts[1]})->Passed(PointKind::kHaDisabling));
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(cache.Fold(std::to_string(i), {texts[0]}).ok());
  EXPECT_TRUE(cache.Fold("b", {texts[1]})->Passed(PointKind::kHaDisabling));
}

TEST(RecordCache, ATornTextIsRefusedEachTimeAndIsReadOnceItIsWhole) {
  const auto texts = Three();
  RecordCache cache;
  EXPECT_FALSE(cache.Fold("a", {texts[0], "torn"}).ok());
  EXPECT_FALSE(cache.Fold("a", {texts[0], "torn"}).ok());
  EXPECT_TRUE(cache.Fold("a", {texts[0], texts[1]})->Passed(PointKind::kHaDisabling));
}

}  // namespace
}  // namespace oms::model

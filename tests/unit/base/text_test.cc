#include "controller/base/text.h"

#include <gtest/gtest.h>

namespace oms::base {
namespace {

TEST(CutText, LeavesWhatFits) {
  EXPECT_EQ(CutText("", 3), "");
  EXPECT_EQ(CutText("abcdef", 6), "abcdef");
}

TEST(CutText, SaysThatThereWasMore) {
  EXPECT_EQ(CutText("abcdefg", 6), "abc...");
  EXPECT_EQ(CutText("abcdefg", 3), "...");
}

TEST(CutText, CutsBetweenCharacters) {
  // Three bytes each.
  EXPECT_EQ(CutText("数据库迁移", 9), "数据...");
  EXPECT_EQ(CutText("数据库迁移", 10), "数据...");
  EXPECT_EQ(CutText("数据库迁移", 11), "数据...");
  EXPECT_EQ(CutText("数据库迁移", 12), "数据库...");
}

}  // namespace
}  // namespace oms::base

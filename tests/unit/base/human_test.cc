#include "controller/base/human.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace oms::base {
namespace {

TEST(Human, ShowsASizeInTheLargestUnitThatFits) {
  EXPECT_EQ(Human(0), "0.0 KiB");
  EXPECT_EQ(Human(1536), "1.5 KiB");
  EXPECT_EQ(Human(12ULL << 20), "12.0 MiB");
  EXPECT_EQ(Human(3ULL << 29), "1.5 GiB");
  EXPECT_EQ(Human(2ULL << 40), "2.0 TiB");
}

TEST(Human, NeverShowsAThousandAndTwentyFour) {
  EXPECT_EQ(Human((1ULL << 20) - 1), "1.0 MiB");
  EXPECT_EQ(Human((1ULL << 30) - 1), "1.0 GiB");
  EXPECT_EQ(Human((1ULL << 20) - 1024), "1023.0 KiB");
}

TEST(Human, HasNoEndAboveTheLargestUnit) { EXPECT_EQ(Human(UINT64_MAX), "16777216.0 TiB"); }

}  // namespace
}  // namespace oms::base

#include "controller/base/result.h"

#include <gtest/gtest.h>

namespace oms::base {
namespace {

Result<int> Half(int number) {
  if (number % 2 != 0) return MakeError(Code::kInvalid, "Odd", "odd");
  return number / 2;
}

Result<int> Quarter(int number) {
  OMS_ASSIGN(const int half, Half(number));
  OMS_ASSIGN(const int quarter, Half(half));
  return quarter;
}

TEST(ResultOfAFunction, IsItsValueOrTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_TRUE(Quarter(6).Is(Code::kInvalid));
  EXPECT_EQ(Quarter(6).error().reason, "Odd");
}

TEST(ErrorWrap, PutsTheContextBeforeTheMessageAndKeepsTheRest) {
  const Error error = MakeError(Code::kTransient, "Busy", "try later").Wrap("node oms-1");
  EXPECT_EQ(error.message, "node oms-1: try later");
  EXPECT_EQ(error.reason, "Busy");
  EXPECT_TRUE(error.Retryable());
}

}  // namespace
}  // namespace oms::base

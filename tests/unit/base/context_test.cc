#include "controller/base/context.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_clock.h"

namespace oms::base {
namespace {

TEST(ContextCheck, PassesUntilSomethingForbidsIt) {
  fakes::FakeClock clock;
  EXPECT_TRUE(Context(clock, {}).Check().ok());
}

TEST(ContextCheck, EndsAtTheEarlierDeadline) {
  fakes::FakeClock clock;
  const auto context = Context(clock, {}).WithTimeout(Duration(1000)).WithTimeout(Duration(5000));
  clock.Advance(Duration(999));
  EXPECT_TRUE(context.Check().ok());
  EXPECT_EQ(context.Remaining(), Duration(1));
  clock.Advance(Duration(1));
  EXPECT_TRUE(context.Check().Is(Code::kTimeout));
}

TEST(ContextCheck, EndsWhenAskedToStop) {
  fakes::FakeClock clock;
  std::stop_source stop;
  const Context context(clock, {}, stop.get_token());
  stop.request_stop();
  EXPECT_TRUE(context.Check().Is(Code::kCancelled));
}

TEST(ContextCheck, EndsWhenThePermissionIsGone) {
  fakes::FakeClock clock;
  bool mine = true;
  const auto context = Context(clock, {}).WithPermission([&] { return mine; });
  EXPECT_TRUE(context.Check().ok());
  mine = false;
  EXPECT_TRUE(context.Check().Is(Code::kFenced));
}

}  // namespace
}  // namespace oms::base

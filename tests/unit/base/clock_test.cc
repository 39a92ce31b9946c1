#include "controller/base/clock.h"

#include <gtest/gtest.h>

#include <limits>

namespace oms::base {
namespace {

using std::chrono::seconds;

TEST(Time, IsWrittenAsKubernetesWritesIt) {
  const auto time = WallTime(seconds(1'767'323'045));
  EXPECT_EQ(FormatTime(time), "2026-01-02T03:04:05Z");
  EXPECT_EQ(FormatMicroTime(time + std::chrono::microseconds(42)), "2026-01-02T03:04:05.000042Z");
}

TEST(Time, ReadsWhatItWrites) {
  const auto time = WallTime(seconds(1'767'323'045)) + std::chrono::microseconds(120'003);
  ASSERT_TRUE(ParseTime(FormatMicroTime(time)).ok());
  EXPECT_EQ(*ParseTime(FormatMicroTime(time)), time);
}

TEST(Time, ReadsTheNanosecondsOfTheContainerEngine) {
  EXPECT_EQ(FormatMicroTime(*ParseTime("2026-01-02T03:04:05.123456789Z")),
            "2026-01-02T03:04:05.123456Z");
}

TEST(Time, RefusesWhatIsNotATime) {
  for (const auto* bad :
       {"", "yesterday", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05z",
        "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z", "2026-00-02T03:04:05Z",
        "2026-01-32T03:04:05Z", "2026-01-02T24:04:05Z", "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05ZZ", "2026-01-02T03:04:05+0200",
        "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+02:60", "2026-01-02T03:04:05Z+02:00",
        "+026-01-02T03:04:05Z", "2026-1-02T03:04:05Z"}) {
    EXPECT_TRUE(ParseTime(bad).Is(Code::kInvalid)) << bad;
  }
}

TEST(Time, TakesTheOffsetIntoAccount) {
  for (const auto* same : {"2026-01-02T11:04:05+08:00", "2026-01-01T23:34:05-03:30",
                           "2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05-00:00"}) {
    ASSERT_TRUE(ParseTime(same).ok()) << same;
    EXPECT_EQ(FormatTime(*ParseTime(same)), "2026-01-02T03:04:05Z") << same;
  }
  EXPECT_EQ(FormatMicroTime(*ParseTime("2026-01-02T11:04:05.5+08:00")),
            "2026-01-02T03:04:05.500000Z");
}

TEST(Time, FarFromNowIsItsFirstOrLastInstant) {
  for (const auto* early :
       {"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000001Z",
        "0001-01-01T00:00:00.5+23:59", "1677-09-21T00:12:43.9Z", "1700-01-01T00:00:00Z"}) {
    ASSERT_TRUE(ParseTime(early).ok()) << early;
    EXPECT_EQ(*ParseTime(early), kFirstTime) << early;
  }
  for (const auto* late :
       {"9999-12-31T23:59:59Z", "9999-12-31T23:59:60.999999999Z", "9999-12-31T23:59:59.9-23:59",
        "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:17Z", "2200-01-01T00:00:00Z"}) {
    ASSERT_TRUE(ParseTime(late).ok()) << late;
    EXPECT_EQ(*ParseTime(late), kLastTime) << late;
  }
  EXPECT_EQ(FormatTime(*ParseTime("1969-12-31T23:59:59.25Z")), "1969-12-31T23:59:59Z");
  EXPECT_EQ(FormatMicroTime(*ParseTime("1969-12-31T23:59:59.25Z")), "1969-12-31T23:59:59.250000Z");
}

// What is no time of this world is written as one that is read back.
TEST(Time, IsWrittenWithinItsFirstAndLastInstant) {
  for (const auto time : {WallTime::min(), WallTime::min() + seconds(1), kFirstTime}) {
    EXPECT_EQ(FormatTime(time), "1900-01-01T00:00:00Z");
    EXPECT_EQ(FormatMicroTime(time), "1900-01-01T00:00:00.000000Z");
  }
  for (const auto time : {WallTime::max(), WallTime::max() - seconds(1), kLastTime}) {
    EXPECT_EQ(FormatTime(time), "2150-01-01T00:00:00Z");
    EXPECT_EQ(FormatMicroTime(time), "2150-01-01T00:00:00.000000Z");
  }
  EXPECT_EQ(*ParseTime(FormatMicroTime(WallTime::min())), kFirstTime);
  EXPECT_EQ(*ParseTime(FormatMicroTime(WallTime::max())), kLastTime);
}

// The sanitizer sees what does not hold.
TEST(Time, OfAnyTwoThatAreReadTheDifferenceHolds) {
  const WallTime first = *ParseTime("0001-01-01T00:00:00Z");
  const WallTime last = *ParseTime("9999-12-31T23:59:59Z");
  EXPECT_GT(last - first, std::chrono::hours(24 * 365 * 249));
  EXPECT_LT(first - last, std::chrono::hours(0));
  EXPECT_GT(last + kLongestDuration, last);
  EXPECT_LT(first - kLongestDuration, first);
}

TEST(Time, OfACertificateOrAServerIsWithinTheSame) {
  EXPECT_EQ(WallTimeOf(253'402'300'799), kLastTime);  // 9999-12-31T23:59:59Z
  EXPECT_EQ(WallTimeOf(std::numeric_limits<int64_t>::max()), kLastTime);
  EXPECT_EQ(WallTimeOf(std::numeric_limits<int64_t>::min()), kFirstTime);
  EXPECT_EQ(WallTimeOf(1'767'323'045), WallTime(seconds(1'767'323'045)));
}

TEST(DurationText, IsGosSyntax) {
  EXPECT_EQ(*ParseDuration("1h30m"), Duration(5'400'000));
  EXPECT_EQ(*ParseDuration("72h"), Duration(72LL * 3'600'000));
  EXPECT_EQ(*ParseDuration("500ms"), Duration(500));
  EXPECT_EQ(FormatDuration(Duration(3'723'000)), "1h2m3s");
  EXPECT_EQ(FormatDuration(Duration(450)), "450ms");
}

TEST(DurationText, IsAlwaysReadBack) {
  const struct {
    Duration written, read;
  } table[] = {
      {Duration(0), Duration(0)},
      {Duration(1), Duration(1)},
      {Duration(1'500), Duration(1'000)},
      {std::chrono::hours(72), std::chrono::hours(72)},
      {Duration(-1), Duration(0)},
      {Duration(-5'000), Duration(0)},
      {std::chrono::hours(-72), Duration(0)},
      {kLongestDuration, kLongestDuration},
      {kLongestDuration + Duration(1), kLongestDuration},
      {Duration::max(), kLongestDuration},
      {Duration::min(), Duration(0)},
  };
  for (const auto& row : table) {
    const auto read = ParseDuration(FormatDuration(row.written));
    ASSERT_TRUE(read.ok()) << FormatDuration(row.written);
    EXPECT_EQ(*read, row.read) << FormatDuration(row.written);
  }
}

TEST(DurationText, SaysWhatToWriteInstead) {
  for (const auto* bad : {"", "5", "-5s", "1d", "h"}) {
    const auto result = ParseDuration(bad);
    ASSERT_FALSE(result.ok()) << bad;
    EXPECT_NE(result.error().message.find("90s"), std::string::npos);
  }
}

TEST(DurationText, IsTenYearsAtMost) {
  for (const auto* most : {"87600h", "5256000m", "315360000s", "87599h60m", "87599h59m60s"}) {
    ASSERT_TRUE(ParseDuration(most).ok()) << most;
    EXPECT_EQ(*ParseDuration(most), kLongestDuration) << most;
  }
  for (const auto* longer : {"87601h", "87600h1ms", "2562047h", "3000000h", "9999999h",
                             "999999999h999999999h999999999h", "5256001m"}) {
    const auto result = ParseDuration(longer);
    ASSERT_TRUE(result.Is(Code::kInvalid)) << longer;
    EXPECT_NE(result.error().message.find("write at most 87600h (10 years)"), std::string::npos)
        << result.error().message;
    ASSERT_TRUE(ParseDurationAtMost(longer, kLongestDuration).ok()) << longer;
    EXPECT_EQ(*ParseDurationAtMost(longer, kLongestDuration), kLongestDuration) << longer;
  }
  EXPECT_TRUE(ParseDurationAtMost("3 days", kLongestDuration).Is(Code::kInvalid));
  EXPECT_TRUE(ParseDurationAtMost("99999999999h", kLongestDuration).Is(Code::kInvalid));
}

TEST(BackoffTime, DoublesUpToItsMaximumWithJitter) {
  EXPECT_EQ(Backoff(Duration(1000), Duration(60'000), 0, 0.5), Duration(1000));
  EXPECT_EQ(Backoff(Duration(1000), Duration(60'000), 3, 0.5), Duration(8000));
  EXPECT_EQ(Backoff(Duration(1000), Duration(60'000), 60, 0.5), Duration(60'000));
  EXPECT_EQ(Backoff(Duration(1000), Duration(60'000), 0, 0.0), Duration(800));
}

TEST(Ids, AreThirtyTwoHexDigitsAndDiffer) {
  const auto a = RandomId(), b = RandomId();
  EXPECT_EQ(a.size(), 32u);
  EXPECT_EQ(a.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace oms::base

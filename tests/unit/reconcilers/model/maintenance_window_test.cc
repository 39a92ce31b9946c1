#include "reconcilers/model/maintenance_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace oms::model {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

crd::MaintenanceWindow Window(std::vector<std::string> days, std::string start, std::string end,
                              std::string zone) {
  return {std::move(days), std::move(start), std::move(end), std::move(zone)};
}

base::WallTime Utc(const std::string& text) { return base::ParseTime(text).value(); }

struct Row {
  std::string now;
  bool open;
  std::string next;
};

void Expect(const crd::MaintenanceWindow& window, const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    const auto state = LookAtWindow(window, Utc(row.now));
    ASSERT_TRUE(state.ok()) << row.now << ": " << state.error().message;
    EXPECT_EQ(state->open, row.open) << row.now;
    EXPECT_EQ(base::FormatTime(state->next_change), row.next) << row.now;
    EXPECT_GT(state->next_change, Utc(row.now));
    EXPECT_THAT(state->text, StartsWith(row.open ? "closes " : "opens "));
  }
}

void ExpectRefused(const crd::MaintenanceWindow& window, const std::string& field,
                   const std::string& says) {
  const auto state = LookAtWindow(window, Utc("2026-11-22T12:00:00Z"));
  ASSERT_FALSE(state.ok()) << window.start << " " << window.end << " " << window.time_zone;
  EXPECT_EQ(state.error().code, base::Code::kInvalid);
  EXPECT_EQ(state.error().reason, "InvalidWindow");
  EXPECT_THAT(state.error().message, StartsWith("spec.maintenanceWindow." + field + ": "));
  EXPECT_THAT(state.error().message, HasSubstr(says));
}

TEST(MaintenanceWindow, IsOpenFromItsStartUpToButNotAtItsEnd) {
  Expect(Window({}, "01:00", "05:00", "UTC"),
         {{"2026-11-22T00:59:59Z", false, "2026-11-22T01:00:00Z"},
          {"2026-11-22T01:00:00Z", true, "2026-11-22T05:00:00Z"},
          {"2026-11-22T04:59:59Z", true, "2026-11-22T05:00:00Z"},
          {"2026-11-22T05:00:00Z", false, "2026-11-23T01:00:00Z"}});
}

TEST(MaintenanceWindow, GoesByTheClocksOfItsZone) {
  Expect(Window({}, "01:00", "05:00", "Asia/Shanghai"),
         {{"2026-11-21T16:59:59Z", false, "2026-11-21T17:00:00Z"},
          {"2026-11-21T17:00:00Z", true, "2026-11-21T21:00:00Z"},
          {"2026-11-21T21:00:00Z", false, "2026-11-22T17:00:00Z"}});
}

TEST(MaintenanceWindow, ADayIsADayOfItsZone) {
  // Saturday in Shanghai begins on Friday, 16:00 UTC.
  Expect(Window({"Sat"}, "00:00", "12:00", "Asia/Shanghai"),
         {{"2026-11-20T15:59:59Z", false, "2026-11-20T16:00:00Z"},
          {"2026-11-20T16:00:00Z", true, "2026-11-21T04:00:00Z"},
          {"2026-11-21T04:00:00Z", false, "2026-11-27T16:00:00Z"}});
}

TEST(MaintenanceWindow, OverMidnightBelongsToTheDayOnWhichItStarts) {
  // 2026-11-21 is a Saturday.
  Expect(Window({"Sat"}, "23:00", "05:00", "Asia/Shanghai"),
         {{"2026-11-20T18:00:00Z", false, "2026-11-21T15:00:00Z"},  // Sat 02:00: Friday's window.
          {"2026-11-21T15:00:00Z", true, "2026-11-21T21:00:00Z"},   // Sat 23:00
          {"2026-11-21T16:30:00Z", true, "2026-11-21T21:00:00Z"},   // Sun 00:30
          {"2026-11-21T21:00:00Z", false, "2026-11-28T15:00:00Z"},
          {"2026-11-22T16:30:00Z", false, "2026-11-28T15:00:00Z"}});  // Mon 00:30
}

TEST(MaintenanceWindow, OverTheEndOfTheWeekAndTheYear) {
  // 2026-12-31 is a Thursday.
  Expect(Window({"Sun", "Thu"}, "22:00", "02:00", "UTC"),
         {{"2026-12-31T23:59:59Z", true, "2027-01-01T02:00:00Z"},
          {"2027-01-01T01:00:00Z", true, "2027-01-01T02:00:00Z"},
          {"2027-01-01T02:00:00Z", false, "2027-01-03T22:00:00Z"},
          {"2027-01-04T01:59:59Z", true, "2027-01-04T02:00:00Z"}});
}

TEST(MaintenanceWindow, UpToMidnightEndsAtZeroOClock) {
  Expect(Window({"Sun"}, "20:00", "00:00", "UTC"),
         {{"2026-11-22T23:59:59Z", true, "2026-11-23T00:00:00Z"},
          {"2026-11-23T00:00:00Z", false, "2026-11-29T20:00:00Z"}});
}

TEST(MaintenanceWindow, OfAllDaysNearlyRoundTheClockClosesForAMinute) {
  Expect(Window({}, "01:00", "00:59", "UTC"),
         {{"2026-11-22T00:58:00Z", true, "2026-11-22T00:59:00Z"},
          {"2026-11-22T00:59:00Z", false, "2026-11-22T01:00:00Z"},
          {"2026-11-22T01:00:00Z", true, "2026-11-23T00:59:00Z"}});
}

// New York, 2026-03-08: 02:00 becomes 03:00, at 07:00 UTC.

TEST(MaintenanceWindow, AStartThatTheClocksSkipIsTheMomentOfTheChange) {
  Expect(Window({}, "02:30", "05:00", "America/New_York"),
         {{"2026-03-07T07:30:00Z", true, "2026-03-07T10:00:00Z"},  // The day before: EST.
          {"2026-03-08T06:59:59Z", false, "2026-03-08T07:00:00Z"},
          {"2026-03-08T07:00:00Z", true, "2026-03-08T09:00:00Z"},     // Now it is 03:00 EDT.
          {"2026-03-08T09:00:00Z", false, "2026-03-09T06:30:00Z"}});  // From now on EDT.
}

TEST(MaintenanceWindow, AnEndThatTheClocksSkipIsTheMomentOfTheChange) {
  Expect(Window({}, "01:00", "02:30", "America/New_York"),
         {{"2026-03-08T06:00:00Z", true, "2026-03-08T07:00:00Z"},
          {"2026-03-08T07:00:00Z", false, "2026-03-09T05:00:00Z"}});
}

TEST(MaintenanceWindow, WhollySkippedDoesNotOpenThatDay) {
  Expect(Window({"Sun"}, "02:15", "02:45", "America/New_York"),
         {{"2026-03-02T00:00:00Z", false, "2026-03-15T06:15:00Z"},
          {"2026-03-08T07:00:00Z", false, "2026-03-15T06:15:00Z"}});
}

TEST(MaintenanceWindow, ThatHoldsTheSkippedHourIsAnHourShorter) {
  Expect(Window({"Sat"}, "23:00", "05:00", "America/New_York"),
         {{"2026-03-08T04:00:00Z", true, "2026-03-08T09:00:00Z"}});
}

TEST(MaintenanceWindow, AnEndAndTheNextStartThatFallTogetherDoNotCloseIt) {
  // 02:00 to 02:30 does not exist, so that the pause between two windows does not either.
  Expect(Window({}, "02:30", "02:00", "America/New_York"),
         {{"2026-03-08T06:59:00Z", true, "2026-03-09T06:00:00Z"},
          {"2026-03-09T06:00:00Z", false, "2026-03-09T06:30:00Z"}});
}

// New York, 2026-11-01: 02:00 becomes 01:00, at 06:00 UTC; 01:30 is 05:30 and 06:30 UTC.

TEST(MaintenanceWindow, AStartThatComesTwiceIsItsFirst) {
  Expect(Window({}, "01:30", "05:00", "America/New_York"),
         {{"2026-11-01T05:29:59Z", false, "2026-11-01T05:30:00Z"},
          {"2026-11-01T05:30:00Z", true, "2026-11-01T10:00:00Z"},
          {"2026-11-01T06:15:00Z", true, "2026-11-01T10:00:00Z"},  // 01:15 again; it stays open.
          {"2026-11-01T10:00:00Z", false, "2026-11-02T06:30:00Z"}});
}

TEST(MaintenanceWindow, AnEndThatComesTwiceIsItsFirst) {
  Expect(Window({}, "23:00", "01:30", "America/New_York"),
         {{"2026-11-01T03:00:00Z", true, "2026-11-01T05:30:00Z"},
          {"2026-11-01T05:30:00Z", false, "2026-11-02T04:00:00Z"},
          {"2026-11-01T06:15:00Z", false, "2026-11-02T04:00:00Z"}});  // 01:15 again; not open.
}

TEST(MaintenanceWindow, WhollyInTheHourThatComesTwiceOpensOnce) {
  Expect(Window({"Sun"}, "01:15", "01:45", "America/New_York"),
         {{"2026-11-01T05:15:00Z", true, "2026-11-01T05:45:00Z"},
          {"2026-11-01T05:45:00Z", false, "2026-11-08T06:15:00Z"}});
}

TEST(MaintenanceWindow, KnowsTheClocksOfLaterYearsToo) {
  // Beyond 2037 a zone is a rule, no table. 2045-07-02 and 2045-01-01 are Sundays.
  Expect(Window({"Sun"}, "01:00", "05:00", "America/New_York"),
         {{"2045-07-02T04:59:59Z", false, "2045-07-02T05:00:00Z"},
          {"2045-01-01T05:59:59Z", false, "2045-01-01T06:00:00Z"}});
}

TEST(MaintenanceWindow, TellsTheNextChangeByItsOwnClocks) {
  const auto window = Window({"Sat"}, "23:00", "05:00", "Asia/Shanghai");
  EXPECT_EQ(LookAtWindow(window, Utc("2026-11-20T12:00:00Z"))->text,
            "opens Sat 2026-11-21 23:00 Asia/Shanghai");
  EXPECT_EQ(LookAtWindow(window, Utc("2026-11-21T15:00:00Z"))->text,
            "closes Sun 2026-11-22 05:00 Asia/Shanghai");
}

TEST(MaintenanceWindow, RefusesATimeOfDayThatIsNone) {
  for (const char* time :
       {"", "1:00", "01:0", "0100", "24:00", "01:60", "01:00:00", "-1:00", "ab:cd"}) {
    ExpectRefused(Window({}, time, "05:00", "UTC"), "start", "write it as \"01:00\"");
    ExpectRefused(Window({}, "05:00", time, "UTC"), "end", "midnight as \"00:00\"");
  }
}

TEST(MaintenanceWindow, RefusesADayThatIsNone) {
  for (const char* day : {"Monday", "mon", "", "Sat,Sun"}) {
    ExpectRefused(Window({"Sat", day}, "01:00", "05:00", "UTC"), "days",
                  "is not a day of the week; write Mon, Tue, Wed, Thu, Fri, Sat, Sun");
  }
}

TEST(MaintenanceWindow, RefusesAStartThatIsItsEnd) {
  ExpectRefused(Window({}, "01:00", "01:00", "UTC"), "end",
                "omit maintenanceWindow to allow any time");
}

TEST(MaintenanceWindow, RefusesAZoneThatIsNotInTheDatabase) {
  for (const char* zone : {"Asia/Shangai", "asia/shanghai", "UTC+8", "CST8", "Asia", "zone.tab"}) {
    ExpectRefused(Window({}, "01:00", "05:00", zone), "timeZone",
                  "write an IANA name, capitals as there, such as Asia/Shanghai");
  }
}

TEST(MaintenanceWindow, LeavesTheDatabaseForNoFileElsewhere) {
  for (const char* zone : {"", "/etc/localtime", "../zoneinfo/Asia/Shanghai", "localtime",
                           "posixrules", "Fixed/UTC+08:00:00", ":UTC"}) {
    ExpectRefused(Window({}, "01:00", "05:00", zone), "timeZone", "is not in the time zone");
  }
}

// In a process of its own: zones are kept once they are loaded.
TEST(MaintenanceWindowDeathTest, WithoutADatabaseSaysWhatToInstallAndKnowsUtcAllTheSame) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto look_without_database = [] {
    setenv("TZDIR", "/nonexistent", 1);
    const auto noon = Utc("2026-11-22T12:00:00Z");
    const auto state = LookAtWindow(Window({}, "01:00", "05:00", "Asia/Shanghai"), noon);
    if (!state.ok()) fprintf(stderr, "%s", state.error().message.c_str());
    exit(LookAtWindow(Window({}, "01:00", "05:00", "UTC"), noon).ok() ? 0 : 1);
  };
  EXPECT_EXIT(look_without_database(), testing::ExitedWithCode(0), "install the package tzdata");
}

TEST(MaintenanceWindow, IsLookedAtByManyThreadsAtOnce) {
  const std::vector<std::string> zones = {"Europe/Berlin", "Asia/Tokyo", "America/Chicago"};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&zones] {
      for (int n = 0; n < 50; ++n) {
        const auto state = LookAtWindow(Window({}, "01:00", "05:00", zones[n % zones.size()]),
                                        Utc("2026-11-22T12:00:00Z"));
        EXPECT_TRUE(state.ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace oms::model

#include "reconcilers/model/maintenance_window.h"

#include <absl/time/civil_time.h>
#include <absl/time/time.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

#include "crd/reasons.h"

namespace oms::model {
namespace {

constexpr std::string_view kField = "spec.maintenanceWindow.";
constexpr std::array<std::string_view, 7> kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
// The next one is at most a week away, or two where a change of the clocks swallows a window.
constexpr int kDaysAhead = 21;
// Is in every time zone database: tells a misspelt zone from a host without one.
constexpr char kKnownZone[] = "Europe/London";

base::Error Invalid(std::string_view field, std::string message) {
  return base::MakeError(base::Code::kInvalid, crd::reason::kInvalidWindow,
                         fmt::format("{}{}: {}", kField, field, message));
}

struct TimeOfDay {
  int hour = 0, minute = 0;
  bool operator==(const TimeOfDay&) const = default;
  auto operator<=>(const TimeOfDay&) const = default;
};

base::Result<TimeOfDay> ParseTimeOfDay(std::string_view field, const std::string& text) {
  const auto digit = [&](size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  if (text.size() == 5 && text[2] == ':' && digit(0) && digit(1) && digit(3) && digit(4)) {
    const TimeOfDay time{(text[0] - '0') * 10 + (text[1] - '0'),
                         (text[3] - '0') * 10 + (text[4] - '0')};
    if (time.hour < 24 && time.minute < 60) return time;
  }
  return Invalid(field, fmt::format("'{}' is not a time of day; write it as \"01:00\" or "
                                    "\"23:30\", and midnight as \"00:00\"",
                                    text));
}

// Weekdays as indices of kDays; all of them where none is named.
base::Result<std::set<int>> ParseDays(const std::vector<std::string>& names) {
  std::set<int> days;
  for (const auto& name : names) {
    const auto found = std::find(kDays.begin(), kDays.end(), name);
    if (found == kDays.end()) {
      return Invalid("days", fmt::format("'{}' is not a day of the week; write {}", name,
                                         fmt::join(kDays, ", ")));
    }
    days.insert(static_cast<int>(found - kDays.begin()));
  }
  for (int day = 0; names.empty() && day < 7; ++day) days.insert(day);
  return days;
}

// A name is also the path of a file below the database's folder: nothing that leaves it, and no
// "localtime", which would be the controller's own zone.
bool MayBeZone(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '/';
  };
  return !name.empty() && name.front() != '/' && name != "localtime" && name != "posixrules" &&
         std::all_of(name.begin(), name.end(), allowed);
}

base::Result<absl::TimeZone> LoadZone(const std::string& name) {
  absl::TimeZone zone;
  if (MayBeZone(name) && absl::LoadTimeZone(name, &zone)) return zone;
  if (!absl::LoadTimeZone(kKnownZone, &zone)) {
    return Invalid("timeZone",
                   fmt::format("'{}' cannot be looked up: the controller's host has no time zone "
                               "database in /usr/share/zoneinfo; install the package tzdata there "
                               "and restart the controller, or write UTC",
                               name));
  }
  return Invalid("timeZone",
                 fmt::format("'{}' is not in the time zone database of the controller's host; "
                             "write an IANA name, capitals as there, such as Asia/Shanghai, "
                             "America/New_York or UTC (`timedatectl list-timezones` lists them)",
                             name));
}

// See the header for the two nights on which this is not plain.
absl::Time Instant(const absl::TimeZone& zone, absl::CivilDay day, TimeOfDay time) {
  const auto at = zone.At(absl::CivilSecond(day) + 3600 * time.hour + 60 * time.minute);
  return at.kind == absl::TimeZone::TimeInfo::SKIPPED ? at.trans : at.pre;
}

struct Opening {
  absl::Time opens, closes;
};

}  // namespace

base::Result<WindowState> LookAtWindow(const crd::MaintenanceWindow& window, base::WallTime now) {
  OMS_ASSIGN(const std::set<int> days, ParseDays(window.days));
  OMS_ASSIGN(const TimeOfDay start, ParseTimeOfDay("start", window.start));
  OMS_ASSIGN(const TimeOfDay end, ParseTimeOfDay("end", window.end));
  if (start == end) {
    return Invalid("end",
                   fmt::format("it is {}, the same as start: the window would never open; set "
                               "another end, or omit maintenanceWindow to allow any time",
                               window.end));
  }
  OMS_ASSIGN(const absl::TimeZone zone, LoadZone(window.time_zone));

  const absl::Time at = absl::FromChrono(now);
  const absl::CivilDay today(absl::ToCivilDay(at, zone));
  std::optional<Opening> next;  // The first that is not over yet.
  for (absl::CivilDay day = today - 2; day < today + kDaysAhead; ++day) {
    if (!days.contains(static_cast<int>(absl::GetWeekday(day)))) continue;
    const Opening opening{Instant(zone, day, start),
                          Instant(zone, end < start ? day + 1 : day, end)};
    if (opening.closes <= opening.opens || opening.closes <= at) continue;
    if (!next) {
      next = opening;
    } else if (opening.opens <= next->closes) {
      next->closes = opening.closes;  // It goes on where a gap has swallowed the pause between.
    } else {
      break;
    }
  }
  if (!next) return Invalid("days", "the window does not open within three weeks");
  WindowState state;
  state.open = next->opens <= at;
  const absl::Time change = state.open ? next->closes : next->opens;
  state.next_change = absl::ToChronoTime(change);
  state.text = fmt::format("{} {} {}", state.open ? "closes" : "opens",
                           absl::FormatTime("%a %Y-%m-%d %H:%M", change, zone), window.time_zone);
  return state;
}

}  // namespace oms::model

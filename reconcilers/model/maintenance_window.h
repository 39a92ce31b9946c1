// MaintenanceWindow: whether an upgrade may begin now, and when that changes next. Pure but for the
// system's time zone database, which is read once per zone and then kept: a newer tzdata takes a
// restart of the controller. Thread-safe.
//
// What a window means:
// - From `start` on, up to but not at `end`, by the clocks of `timeZone`. An `end` before `start`
// is
//   on the day after; a window belongs to the day on which it starts, so days [Sat] with 23:00 to
//   05:00 is open until Sunday, 05:00.
// - start == end is refused, as the schema does. For any time there is no window; up to midnight is
//   end "00:00".
// - Where the clocks are set forward, a start or end that does not exist that night is the moment
// of
//   the change. A window that lies wholly in the hour that is left out does not open that day.
// - Where they are set back, a time that comes twice is its first one, as start and as end. So a
//   window is an hour longer by the stopwatch if it holds the change, and never opens twice.
#pragma once

#include <string>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "crd/oms_upgrade.h"

namespace oms::model {

struct WindowState {
  bool open = false;
  base::WallTime next_change;  // Open: when it closes. Else: when it opens. Always after `now`.
  // For a person, by the clocks of the window: "closes Sun 2026-11-29 05:00 Asia/Shanghai".
  std::string text;
};

// Errors are kInvalid, reason "InvalidWindow": a day, a time of day or a zone that is none, start
// equal to end. Messages begin with the field's path and say what to write.
base::Result<WindowState> LookAtWindow(const crd::MaintenanceWindow& window, base::WallTime now);

}  // namespace oms::model

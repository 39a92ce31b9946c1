// Told: what became an event of a resource, so that each thing is told once. Losing it tells a
// thing once more. Pure.
#pragma once

#include <optional>
#include <string>

#include "reconcilers/decide/planner.h"
#include "reconcilers/show/status_view.h"

namespace oms::pass {

class Told {
 public:
  // True if what holds the resource up is another thing than the last that was told. Once nothing
  // holds it up, the same is news again.
  bool IsNews(const decide::Decision& decision);

  // True if the level is higher than it was. Remembers it, also where it has fallen.
  bool IsNews(show::DowntimeLevel level);

  // HA is off, and the last operation had left it on. Nullopt: it could not be looked at.
  bool IsNewsThatHaIs(std::optional<bool> off);

 private:
  std::string reason_;
  show::DowntimeLevel downtime_ = show::DowntimeLevel::kWell;
  bool ha_off_ = false;
};

}  // namespace oms::pass

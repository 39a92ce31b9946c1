#include "reconcilers/pass/told.h"

#include <utility>

namespace oms::pass {

using Kind = decide::Decision::Kind;

bool Told::IsNews(const decide::Decision& decision) {
  if (decision.kind != Kind::kStall && decision.kind != Kind::kHold) {
    reason_.clear();
    return false;
  }
  return std::exchange(reason_, decision.reason) != decision.reason;
}

bool Told::IsNews(show::DowntimeLevel level) { return std::exchange(downtime_, level) < level; }

bool Told::IsNewsThatHaIs(std::optional<bool> off) {
  if (!off) return false;
  return !std::exchange(ha_off_, *off) && *off;
}

}  // namespace oms::pass

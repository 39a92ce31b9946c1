// Whether an OMS with no operation open is well, so far as a cheap look tells (supervisord's own
// programs of OMS, cm.host, whether the heartbeat moves, a console that says that it is not
// healthy). Softer than the gate after an upgrade: what a site has beside OMS is no reason to call
// it unwell, and neither is one look, nor a look without an answer. Pure but for what it remembers.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "reconcilers/model/facts.h"

namespace oms::decide {

// Of one resource, between two looks; lost with the process.
struct IdleMemory {
  struct Beat {
    std::string modified;
    base::SteadyTime since;  // That it has been this one.
  };
  std::map<std::string, Beat> beats;  // By node.
  std::optional<base::SteadyTime> unwell_since;
  std::string unwell;      // In words; empty: it was well when it was looked at last.
  bool seen_well = false;  // By this process.
};

// `facts` as ObserveIdle() gives them. What is wrong, in words, once it was seen for longer than
// one look; empty: nothing that is known.
std::string JudgeIdle(const model::Facts& facts, IdleMemory& memory);

}  // namespace oms::decide

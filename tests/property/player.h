// Plays a sequence over the world of tests/fakes, with the controller that is shipped: its
// reconciler, its passes, its steps. One process after the other, all on this thread; a task goes on
// when it is stepped.
//
// At its end the world is mended, wishes stand still, and a person does what the messages of stalls
// say: then an end must be found, and it must be a good one. What must never happen meanwhile is
// held by the world itself (tests/fakes/world/promises.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/property/sequence.h"

namespace oms::property {

struct Played {
  std::string broken;               // The first promise that was; empty: all were kept.
  std::vector<std::string> trace;   // All that happened, in words, if asked for.
  std::map<std::string, int> came;  // How often what was come to, if asked for.
};

Played Play(const Sequence& sequence, bool trace = false, bool tally = false);

// Its shortest form in words, with its seed.
std::string Report(const Sequence& sequence);

}  // namespace oms::property

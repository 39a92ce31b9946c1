// Waiting that a stop token ends.
#pragma once

#include <stop_token>

#include "controller/base/clock.h"

namespace oms::runtime {

// Waits for `wait` of real time. False when `stop` ended it.
bool WaitFor(std::stop_token stop, base::Duration wait);

}  // namespace oms::runtime

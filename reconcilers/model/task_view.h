// TaskView: one look at a long task (act/long_tasks.h).
#pragma once

#include <cstdint>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/result.h"

namespace oms::model {

struct TaskView {
  enum class State { kRunning, kSucceeded, kFailed };
  State state = State::kRunning;
  uint64_t done = 0, total = 0;  // Bytes; total 0: not known.
  std::string output;            // What the work returned.
  base::Error error;             // Of a failed one.
  base::SteadyTime started, ended;
};

}  // namespace oms::model

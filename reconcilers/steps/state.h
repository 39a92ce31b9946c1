// How far each step of an operation has come, as values: what the judges of steps say, and what is
// decided and shown by. Who judges is in table.h.
#pragma once

#include <array>
#include <string>

#include "controller/base/clock.h"
#include "reconcilers/model/steps.h"

namespace oms::steps {

enum class Verdict {
  kDone,
  kSkipped,  // Not needed here; counts as done.
  kPending,  // To be begun, or begun and safe to ask again.
  kRunning,  // Under way; look again later.
  kFailed,
};

struct StepState {
  Verdict verdict = Verdict::kPending;
  std::string reason;
  std::string message;
  bool retryable =
      false;  // Of a failed one: may be tried again within the limits of spec.strategy.
  // Of a failed one: which try (a task, an act) came to its end, so that another may be begun; told
  // from the one before it and the next. Empty: no try, but the world is not as it should be.
  std::string attempt;
  int retries_at_least = 0;  // Of a retryable one: whatever spec.strategy.maxRetries says.
  uint64_t done = 0, total = 0;
  base::Duration look_again =
      std::chrono::seconds(2);  // Of a running one; its end wakes the key before that.
  bool complete() const { return verdict == Verdict::kDone || verdict == Verdict::kSkipped; }
};

using State =
    std::array<StepState, model::kSteps.size()>;  // Those of the other direction stay empty.

inline StepState& At(State& state, model::Step step) { return state[static_cast<size_t>(step)]; }
inline const StepState& At(const State& state, model::Step step) {
  return state[static_cast<size_t>(step)];
}

// Names of tasks, without the operation's id.
std::string TaskName(model::Step step, const std::string& node);

}  // namespace oms::steps

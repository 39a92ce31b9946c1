// State: how far each step of the open operation has come. Pure: (spec, record, facts) -> a row per
// step.
//
// "Done" is seen, not remembered, as long as somebody still needs it; a step that is past its need
// is history (design section 2) and stays done. What runs once (stop, start, scripts) is read from
// the points of the record.
#pragma once

#include <array>
#include <string>

#include "crd/oms_upgrade.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/oms/heartbeat.h"
#include "reconcilers/oms/version_path.h"

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
  // Of a failed one: a whole try came to its end (a task, an act), so that another may be begun.
  bool repeatable = false;
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

// The state of an open operation, in its direction.
State DetermineState(const crd::Spec& spec, const product::PathSteps& path,
                     const model::OperationRecord& record, const model::Facts& facts);

// Preflight alone, when no operation is open yet.
StepState PreflightState(const crd::Spec& spec, const crd::Version& from, const crd::Version& to,
                         const model::Facts& facts);

// The console, in supervisord's words.
inline constexpr char kConsole[] = "oms_console";
// It runs or may run in a moment: the correction jar must not be begun beside it.
bool ConsoleMoves(const model::HealthFacts& health);

// On the script's node it was stopped for the jar; on the others IS_UPGRADE has held it back, and
// nobody else starts it. Asked after the upgrade script.
bool ConsoleStillHeld(const product::PathSteps& path, const model::OperationRecord& record,
                      const model::NodeFacts& node);

// Whether somebody writes heatbeat_sequence while it is compacted.
product::SequenceUse SequenceUseOf(const model::OperationRecord& record);
// "<container id> <StartedAt>" of the old container.
std::string RunOf(const model::NodeFacts& node);

// What the file beside config.yaml must hold, once there is one: the change as it was rehearsed, or
// config.yaml as it is where that needs none any more. `node.config` must be known.
const std::string& WantedConfig(const model::NodeFacts& node);
// Nothing of the new container is there any more that could run, or be removed.
bool NewOneIsGone(const model::OperationRecord& record, const model::NodeFacts& node);
// Beside config.yaml: config-4.3.1.yaml.
std::string NewConfigPath(const std::string& config_source, const std::string& version);
// The host's file that the new container mounts as its config.yaml.
std::string WantedConfigSource(const model::OperationRecord& record, const model::FrozenNode& node);

// Names of tasks, without the operation's id.
std::string TaskName(model::Step step, const std::string& node);

}  // namespace oms::steps

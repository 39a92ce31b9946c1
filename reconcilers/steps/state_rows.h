// What the rows of both tables of state are made of (state.cc, rollback_state.cc). Not for others.
#pragma once

#include <string>
#include <utility>

#include "reconcilers/steps/state.h"

namespace oms::steps::rows {

inline StepState Done(std::string message = {}) {
  return {Verdict::kDone, crd::reason::kDone, std::move(message)};
}
inline StepState Skipped(std::string message) {
  return {Verdict::kSkipped, crd::reason::kSkipped, std::move(message)};
}
inline StepState Pending(std::string message = {}) {
  return {Verdict::kPending, crd::reason::kInProgress, std::move(message)};
}
inline StepState Running(std::string message) {
  return {Verdict::kRunning, crd::reason::kInProgress, std::move(message)};
}
// spec.ha.control is Manual: a person switches HA in the console, and the next look sees it.
inline StepState AwaitsHaSwitch(bool on) {
  StepState state = Running(
      on ? "spec.ha.control is Manual: set enable to true in ha.config on the System Parameters "
           "page, and perceiveStoreClientCheckpoint to true, or refetchStoreIntervalMin to more "
           "minutes than OMS was down (status.operation.t1 is when it went down) and 30 for safety"
         : "spec.ha.control is Manual: copy and save the value of ha.config on the System "
           "Parameters page, and set enable to false in it");
  state.reason = crd::reason::kAwaitingHaSwitch;
  return state;
}
inline StepState Failed(std::string reason, std::string message) {
  return {Verdict::kFailed, std::move(reason), std::move(message)};
}

inline StepState FromTask(const model::TaskView& task, std::string doing) {
  if (task.state == model::TaskView::State::kFailed) {
    StepState state = Failed(task.error.reason.empty() ? crd::reason::kFailed : task.error.reason,
                             task.error.message);
    // A task that was fenced, while the pass that looks at it holds the row: the row was lost or
    // taken meanwhile, and is ours again. Its attempt is over; a new one may begin.
    state.retryable = task.error.Retryable() || task.error.code == base::Code::kFenced;
    state.repeatable = true;
    return state;
  }
  StepState state = Running(std::move(doing));
  state.done = task.done;
  state.total = task.total;
  return state;
}

// Everything one row of the table may look at.
struct Input {
  const crd::Spec& spec;
  const product::PathSteps& path;
  const model::OperationRecord& record;
  const model::Facts& facts;

  bool Passed(model::PointKind kind) const { return record.Passed(kind); }
};

enum class Which { kAll, kReplaced, kKept };

// Runs `judge` for each of these nodes and keeps the first answer that is not "done".
template <typename F>
StepState EachOf(const Input& in, Which which, F judge) {
  for (const auto& frozen : in.record.nodes) {
    if (which != Which::kAll && frozen.kept != (which == Which::kKept)) continue;
    const model::NodeFacts* facts = in.facts.Node(frozen.name);
    if (facts == nullptr || !facts->engine)
      return Running("waiting for the engine of node " + frozen.name);
    if (StepState state = judge(frozen, *facts); !state.complete()) return state;
  }
  return Done();
}

// Each node whose container is replaced: all of them, but for components that keep running.
template <typename F>
StepState EachNode(const Input& in, F judge) {
  return EachOf(in, Which::kReplaced, std::move(judge));
}

// What became of a script that runs once, of which an attempt was begun. `back`: how a person goes
// on where it failed, as the end of a sentence.
StepState RowOfScript(const Input& in, model::Step at, const model::FrozenNode& frozen,
                      const model::NodeFacts* node, const std::string& back);

}  // namespace oms::steps::rows

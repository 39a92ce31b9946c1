#include "reconcilers/steps/step.h"

#include <fmt/format.h>

#include "crd/reasons.h"

namespace oms::steps {

StepState SoonReady(std::string message) {
  StepState waiting = Running(std::move(message));
  waiting.look_again = std::chrono::milliseconds(200);  // OMS is down meanwhile.
  return waiting;
}

StepState FromTask(const model::TaskView& task, std::string doing) {
  if (task.state == model::TaskView::State::kFailed) {
    StepState state = Failed(task.error.reason.empty() ? crd::reason::kFailed : task.error.reason,
                             task.error.message);
    // A task that was fenced, while the pass that looks at it holds the row: the row was lost or
    // taken meanwhile, and is ours again. Its attempt is over; a new one may begin.
    state.retryable = task.error.Retryable() || task.error.code == base::Code::kFenced;
    state.attempt = fmt::format("task that ended at {}", task.ended.time_since_epoch().count());
    return state;
  }
  StepState state = Running(std::move(doing));
  state.done = task.done;
  state.total = task.total;
  return state;
}

std::string NamesOf(const model::OperationRecord& record, std::string model::FrozenNode::*name,
                    bool kept) {
  std::string text;
  for (const auto& node : record.nodes) {
    if (node.keeps_running != kept) continue;
    text += (text.empty() ? "" : ", ") + node.*name;
    if (record.nodes.size() > 1) text += " on " + node.name;
  }
  return text;
}

}  // namespace oms::steps

// What became of a script that runs once (once_script.h), as a row of the table of state.
#include <fmt/format.h>

#include <algorithm>

#include "reconcilers/once_script.h"
#include "reconcilers/scripts.h"
#include "reconcilers/state_rows.h"

namespace oms::upgrade::rows {
namespace {

bool HasCompletionLine(const std::vector<std::string>& lines, const std::string& output) {
  return lines.empty() || std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
           return output.find(line) != std::string::npos;
         });
}

// The last line that says something, for a message.
std::string LastLine(const std::string& output) {
  const size_t end = output.find_last_not_of("\r\n ");
  if (end == std::string::npos) return "it printed nothing";
  const size_t begin = output.find_last_of('\n', end);
  return output.substr(begin == std::string::npos ? 0 : begin + 1,
                       end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

}  // namespace

StepState RowOfScript(const Input& in, Step at, const FrozenNode& frozen, const NodeFacts* node,
                      const std::string& back) {
  const std::string step(NameOf(at));
  const std::string name(ScriptOf(at).name);
  const int attempt = in.record.LastAttempt(PointKind::kScriptStarting, frozen.name, step);
  if (node == nullptr || !node->script || node->script_of != at) {
    return Running("waiting for the engine of node " + frozen.name);
  }
  const ScriptState& script = *node->script;
  const std::string log = fmt::format("oms-upgrade/{}/{}/{}/output.log in the logs mount",
                                      in.record.id, ScriptOf(at).mark, attempt);
  switch (script.kind) {
    case ScriptState::Kind::kNoFolder:
      // Our own start may still be on its way; a successor claims the attempt instead.
      if (const TaskView* task = in.facts.Task(TaskName(at, frozen.name));
          task != nullptr && task->state == TaskView::State::kRunning) {
        return Running("starting " + name);
      }
      return Pending();
    case ScriptState::Kind::kNeverRan: return Pending();
    case ScriptState::Kind::kRunning: {
      const auto begun = in.record.PassedAt(PointKind::kScriptStarting, frozen.name);
      const base::Duration limit = in.spec.strategy.timeouts.script;
      if (!begun || in.facts.now - *begun <= limit) {
        return Running(name + " runs; its log is " + log);
      }
      // It is not ended for that: should it come to its end after all, the upgrade goes on.
      return Failed(
          crd::reason::kDeadlineExceeded,
          fmt::format(
              "{} still runs after {} (spec.strategy.timeouts.script); its log is {}; raise "
              "the timeout to wait longer, or {} (it ends with its container)",
              name, base::FormatDuration(limit), log, back));
    }
    case ScriptState::Kind::kUnknown:
      return Failed(
          crd::reason::kScriptOutcomeUnknown,
          fmt::format("{} was started, left no exit code and runs no more; it is not run a second "
                      "time. Look at {}, then {}",
                      name, log, back));
    case ScriptState::Kind::kEnded: break;
  }
  if (script.exit_code != 0) {
    return Failed(crd::reason::kScriptFailed,
                  fmt::format("{} ended with exit code {}: {}; the whole log is {}; {}", name,
                              script.exit_code, LastLine(script.output), log, back));
  }
  if (!HasCompletionLine(CommandOf(at, in.path).completion_lines, script.output)) {
    return Failed(
        crd::reason::kScriptFailed,
        fmt::format("{} ended with exit code 0, but without the line that tells its completion; "
                    "see {}; {}",
                    name, log, back));
  }
  return Done();
}

}  // namespace oms::upgrade::rows

// What became of a script that runs once (once_script.h), as a row of the table of state.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "reconcilers/model/scripts.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/steps/state_rows.h"

namespace oms::steps::rows {
namespace {

// The line around a place in a text.
std::string LineAt(const std::string& text, size_t at) {
  const size_t before = at == 0 ? std::string::npos : text.find_last_of('\n', at - 1);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  return text.substr(begin, text.find_first_of("\r\n", at) - begin);
}

// Short enough for a message, whose end says what to do.
std::string Short(std::string line) {
  constexpr size_t kLongest = 200;
  if (line.size() <= kLongest) return line;
  return line.substr(0, kLongest) + "...";
}

// The last line that says something; empty: there is none.
std::string LastLine(const std::string& output) {
  const size_t end = output.find_last_not_of("\r\n ");
  return end == std::string::npos ? std::string() : LineAt(output, end);
}

// The line that tells the completion: one that holds one of `lines`, where those are known, else
// the last. Nullopt: it should be there, and is not.
std::optional<std::string> CompletionLine(const std::vector<std::string>& lines,
                                          const std::string& output) {
  if (lines.empty()) return LastLine(output);
  for (const auto& line : lines) {
    if (const size_t at = output.rfind(line); at != std::string::npos) return LineAt(output, at);
  }
  return std::nullopt;
}

// A script that has done its work for another version than the one that is carried: its name, and
// empty where the line says nothing of the kind.
std::string OtherRelease(const std::string& line, const std::string& target) {
  const auto to = crd::Version::Parse(target);
  if (!to.ok()) return {};
  const auto named = product::ReleasesNamedIn(line, *to);
  const bool ours = std::any_of(named.begin(), named.end(), [&](const crd::Version& version) {
    return version.major == to->major && version.minor == to->minor && version.patch == to->patch;
  });
  return named.empty() || ours ? std::string() : named.back().ToString();
}

}  // namespace

StepState RowOfScript(const Input& in, model::Step at, const model::FrozenNode& frozen,
                      const model::NodeFacts* node, const std::string& back) {
  const std::string step(model::NameOf(at));
  const std::string name(model::ScriptOf(at).name);
  const int attempt = in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name, step);
  if (node == nullptr || !node->script || node->script_of != at) {
    return Running("waiting for the engine of node " + frozen.name);
  }
  const model::ScriptState& script = *node->script;
  const std::string log = fmt::format("oms-upgrade/{}/{}/{}/output.log in the logs mount",
                                      in.record.id, model::ScriptOf(at).mark, attempt);
  switch (script.kind) {
    case model::ScriptState::Kind::kNoFolder:
      // Our own start may still be on its way; a successor claims the attempt instead.
      if (const model::TaskView* task = in.facts.Task(TaskName(at, frozen.name));
          task != nullptr && task->state == model::TaskView::State::kRunning) {
        return Running("starting " + name);
      }
      return Pending();
    case model::ScriptState::Kind::kNeverRan: return Pending();
    case model::ScriptState::Kind::kRunning: {
      const auto begun = in.record.PassedAt(model::PointKind::kScriptStarting, frozen.name);
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
    case model::ScriptState::Kind::kUnknown:
      return Failed(
          crd::reason::kScriptOutcomeUnknown,
          fmt::format("{} was started, left no exit code and runs no more; it is not run a second "
                      "time. Look at {}, then {}",
                      name, log, back));
    case model::ScriptState::Kind::kEnded: break;
  }
  if (script.exit_code != 0) {
    const std::string last = LastLine(script.output);
    return Failed(crd::reason::kScriptFailed,
                  fmt::format("{} ended with exit code {}: {}; the whole log is {}; {}", name,
                              script.exit_code, last.empty() ? "it printed nothing" : Short(last),
                              log, back));
  }
  const auto completion =
      CompletionLine(model::CommandOf(at, in.path).completion_lines, script.output);
  if (!completion) {
    return Failed(
        crd::reason::kScriptFailed,
        fmt::format("{} ended with exit code 0, but without the line that tells its completion; "
                    "see {}; {}",
                    name, log, back));
  }
  if (at != model::Step::kRunUpgradeScript)
    return Done();  // The jar may well name what it came from.
  if (const std::string other = OtherRelease(*completion, in.record.to); !other.empty()) {
    return Failed(crd::reason::kScriptFailed,
                  fmt::format("{} has ended, and says that it is of {}, not of {}: \"{}\"; the "
                              "image {} is not that of {}; {}",
                              name, other, in.record.to, Short(*completion),
                              in.record.image.reference, in.record.to, back));
  }
  return Done();
}

}  // namespace oms::steps::rows

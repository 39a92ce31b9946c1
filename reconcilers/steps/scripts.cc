#include "reconcilers/steps/scripts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "crd/reasons.h"
#include "reconcilers/act/once_script.h"
#include "reconcilers/observe/script_look.h"
#include "reconcilers/steps/console.h"

namespace oms::steps {

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
std::string OtherRelease(const std::string& line, const crd::Version& to) {
  const auto named = product::ReleasesNamedIn(line, to);
  const bool ours = std::any_of(named.begin(), named.end(), [&](const crd::Version& version) {
    return version.major == to.major && version.minor == to.minor && version.patch == to.patch;
  });
  return named.empty() || ours ? std::string() : named.back().ToString();
}

// Cluster manager and supervisor stand before the jar is run (the guide of 4.2.2; that of 4.3.1
// does not ask for it, so it is not waited for without end).
std::optional<StepState> AwaitBase(const StepInput& in, const model::FrozenNode& frozen,
                                   const model::HealthFacts& health) {
  const auto started = in.record.PassedAt(model::PointKind::kNewStarting, frozen.name);
  if (started && in.facts.now - *started > in.spec.strategy.timeouts.start) return std::nullopt;
  for (const char* program : {"oms_drc_cm", "oms_drc_supervisor"}) {
    const std::string state = health.Program(program);
    if (!state.empty() && state != "RUNNING")
      return SoonReady(fmt::format("{} is {} in the new container", program, state));
  }
  return std::nullopt;
}

// One of the scripts that run once, on one node (guide step 6).
StepState JudgeOnce(const StepInput& in, model::Step at) {
  const model::FrozenNode& frozen = in.record.ScriptNode();
  const model::NodeFacts* node = in.facts.Node(frozen.name);
  if (in.record.Seen(at)) return Done();
  const int attempt = in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name, at);
  if (attempt == 0) {
    if (node == nullptr || !node->health || !node->health->supervisor_answers)
      return SoonReady("waiting for supervisord in the new container");
    if (at == model::Step::kCorrectSchema) {
      // On every node that has a console: none may write beside the jar.
      for (const auto& each : in.record.nodes) {
        if (each.role == crd::NodeRole::kComponent) continue;
        const model::NodeFacts* facts = in.facts.Node(each.name);
        if (facts == nullptr || !facts->health || !facts->health->supervisor_answers)
          return SoonReady("waiting for supervisord in the new container of node " + each.name);
        if (auto waiting = AwaitBase(in, each, *facts->health)) return *std::move(waiting);
      }
    }
    return Pending();
  }
  return JudgeScript(in, at, frozen, node,
                     fmt::format("revert spec.version to {} to roll back", in.record.from));
}

StepState JudgeLegacy(const StepInput& in, model::Step at) {
  return in.path.legacy_steps ? JudgeOnce(in, at) : Skipped(product::kLegacyOnly);
}

base::Status RunOnce(const base::Context& ctx, OperationSession& op, model::Step at) {
  const model::FrozenNode& node = op.record().ScriptNode();
  const model::NodeFacts* facts = op.facts().Node(node.name);
  if (facts == nullptr || !facts->new_container) return base::Ok();
  return RunScriptOnce(ctx, op, at, node, facts->new_container->id);
}

// Of several nodes, also which of them.
std::string PlaceOf(const UpgradeSubject& plan) {
  const auto found = std::find_if(plan.nodes.begin(), plan.nodes.end(), [](const auto& node) {
    return node.role != crd::NodeRole::kComponent;
  });
  const model::FrozenNode& node = found == plan.nodes.end() ? plan.nodes.front() : *found;
  return plan.nodes.size() == 1 ? node.new_name : node.new_name + " on " + node.name;
}

std::string CommandLine(model::Step step, const UpgradeSubject& plan) {
  return fmt::format("{}", fmt::join(model::CommandOf(step, plan.path).argv, " "));
}

std::string DoneOf(model::Step step, const model::OperationRecord& record) {
  if (record.nodes.empty()) return {};
  const model::FrozenNode& node = record.ScriptNode();
  return fmt::format("exit code 0, attempt {}{}",
                     record.LastAttempt(model::PointKind::kScriptStarting, node.name, step),
                     record.nodes.size() > 1 ? ", on node " + node.name : "");
}

const char* LeftOutUnlessLegacy(const model::OperationRecord& record) {
  return product::NeedsLegacySteps(record.from, record.to) ? nullptr : product::kLegacyOnly;
}

}  // namespace

StepState CorrectSchema::Judge(const StepInput& in) { return JudgeLegacy(in, kStep); }

base::Status CorrectSchema::Act(const base::Context& ctx, OperationSession& op) {
  // IS_UPGRADE holds the console back in some versions; where it does not, it is stopped, and seen
  // to stand still before the jar is begun. On every node: all write the same databases.
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (node.role == crd::NodeRole::kComponent) continue;
    if (facts == nullptr || !facts->new_container || !facts->health) return base::Ok();
    if (ConsoleMoves(*facts->health))
      return SwitchConsole(ctx, op, node.name, facts->new_container->id, "stop");
  }
  return RunOnce(ctx, op, model::Step::kCorrectSchema);
}

std::string CorrectSchema::Plan(const UpgradeSubject& plan) {
  if (!plan.path.legacy_steps) return fmt::format("skipped, {}", product::kLegacyOnly);
  return fmt::format("stop oms_console, and run {} in {}, once; it restructures the tables",
                     CommandLine(kStep, plan), PlaceOf(plan));
}

std::string CorrectSchema::Summary(const model::OperationRecord& record) {
  return DoneOf(kStep, record);
}

const char* CorrectSchema::LeftOut(const model::OperationRecord& record) {
  return LeftOutUnlessLegacy(record);
}

StepState InitializeMetadata::Judge(const StepInput& in) { return JudgeLegacy(in, kStep); }

base::Status InitializeMetadata::Act(const base::Context& ctx, OperationSession& op) {
  return RunOnce(ctx, op, model::Step::kInitializeMetadata);
}

std::string InitializeMetadata::Plan(const UpgradeSubject& plan) {
  if (!plan.path.legacy_steps) return fmt::format("skipped, {}", product::kLegacyOnly);
  return fmt::format("run {} in {}, once", CommandLine(kStep, plan), PlaceOf(plan));
}

std::string InitializeMetadata::Summary(const model::OperationRecord& record) {
  return DoneOf(kStep, record);
}

const char* InitializeMetadata::LeftOut(const model::OperationRecord& record) {
  return LeftOutUnlessLegacy(record);
}

StepState RunUpgradeScript::Judge(const StepInput& in) { return JudgeOnce(in, kStep); }

base::Status RunUpgradeScript::Act(const base::Context& ctx, OperationSession& op) {
  return RunOnce(ctx, op, model::Step::kRunUpgradeScript);
}

std::string RunUpgradeScript::Plan(const UpgradeSubject& plan) {
  return fmt::format(
      "run {} in {}, once; it changes the databases",
      plan.path.upgrade_script.empty() ? "the upgrade script" : plan.path.upgrade_script,
      PlaceOf(plan));
}

std::string RunUpgradeScript::Summary(const model::OperationRecord& record) {
  return DoneOf(kStep, record);
}

StepState JudgeScript(const StepInput& in, model::Step at, const model::FrozenNode& frozen,
                      const model::NodeFacts* node, const std::string& back) {
  const std::string name(model::ScriptOf(at).name);
  const int attempt = in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name, at);
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
        return Running(name + " is running; its log is " + log);
      }
      // It is not ended for that: should it come to its end after all, the upgrade goes on.
      return Failed(
          crd::reason::kDeadlineExceeded,
          fmt::format("{} still runs after {} (spec.strategy.timeouts.script); its log is {}; "
                      "raise the timeout to wait longer, or {} (which ends the script)",
                      name, base::FormatDuration(limit), log, back));
    }
    case model::ScriptState::Kind::kUnknown:
      return Failed(crd::reason::kScriptOutcomeUnknown,
                    fmt::format("{} was started and is no longer running, but left no exit code; "
                                "it is not run a second time. Check {}, then {}",
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
        fmt::format("{} ended with exit code 0, but did not print its completion line; see {}; {}",
                    name, log, back));
  }
  if (at != model::Step::kRunUpgradeScript)
    return Done();  // The jar may well name what it came from.
  if (const std::string other = OtherRelease(*completion, in.record.to); !other.empty()) {
    return Failed(crd::reason::kScriptFailed,
                  fmt::format("{} has ended, but reports the version {}, not {}: \"{}\"; the image "
                              "{} is not that of {}; {}",
                              name, other, in.record.to, Short(*completion),
                              in.record.image.reference, in.record.to, back));
  }
  return Done();
}

base::Status RunScriptOnce(const base::Context& ctx, OperationSession& op, model::Step at,
                           const model::FrozenNode& node, const std::string& container) {
  const std::string mark(model::ScriptOf(at).mark);
  ports::ContainerEngine& engine = op.engine(node.name);

  const int last = op.record().LastAttempt(model::PointKind::kScriptStarting, node.name, at);
  if (last > 0) {
    OMS_ASSIGN(const std::string marker, observe::MarkerPath(op.record().id, mark, last));
    OMS_TRY(ctx.Check());
    OMS_ASSIGN(const bool won, act::ClaimAttempt(ctx, engine, container, marker));
    if (!won) return base::Ok();  // It runs after all: the next look sees it.
    ctx.log().Info("attempt {} of {} never ran; continuing with attempt {}", last,
                   model::ScriptOf(at).name, last + 1);
  }
  const int attempt = last + 1;
  const auto marker = observe::MarkerPath(op.record().id, mark, attempt);
  if (!marker.ok()) return marker.error();
  OMS_TRY(op.RecordPoint(ctx, model::PointKind::kScriptStarting, node.name, at, attempt));
  op.Start(ctx, TaskName(at, node.name), op.spec().strategy.timeouts.script,
           [world = op.world(), name = node.name, container, marker = *marker,
            command = model::CommandOf(at, op.path())](
               const base::Context& task, ports::ByteProgress&) -> base::Result<std::string> {
             OMS_TRY(task.Check());
             // Ends when the script does, which wakes the resource; what became of it is read from
             // the marker.
             OMS_TRY(act::RunScript(task, *world->engines.at(name), container, marker,
                                    command.working_directory, command.argv));
             return std::string();
           });
  return base::Ok();
}

}  // namespace oms::steps

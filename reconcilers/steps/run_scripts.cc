// Steps 10 to 12: the correction jar and add_resource (from below 4.0.1 only), and
// docker_upgrade.sh. Each exactly once, on one node (guide step 6, second part steps 7 to 9; design
// section 4, last part).
//
// The point is written first; then a wrapper makes the attempt's folder with a plain mkdir, so that
// only one can ever win. A successor that finds the point but no folder makes that folder itself:
// if it wins, that attempt never ran and never can, and it goes on with the next.
#include <fmt/format.h>

#include "reconcilers/act/once_script.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/observe/script_look.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

constexpr base::Duration kSupervisorctl = std::chrono::seconds(60);
constexpr char kConsoleIni[] = "/etc/supervisor/conf.d/oms_console.ini";
constexpr char kAutostart[] =
    "f=/etc/supervisor/conf.d/oms_console.ini; test ! -f \"$f\" || "
    "sed -i 's/autostart *= *false/autostart = true/' \"$f\"";

base::Status RunOnce(const base::Context& ctx, OperationSession& op, model::Step at) {
  const model::FrozenNode& node = op.record().ScriptNode();
  const model::NodeFacts* facts = op.facts().Node(node.name);
  if (facts == nullptr || !facts->new_container) return base::Ok();
  return RunScriptOnce(ctx, op, at, node, facts->new_container->id);
}

}  // namespace

base::Status RunScriptOnce(const base::Context& ctx, OperationSession& op, model::Step at,
                           const model::FrozenNode& node, const std::string& container) {
  const std::string step(model::NameOf(at));
  const std::string mark(model::ScriptOf(at).mark);
  ports::ContainerEngine& engine = op.engine(node.name);

  const int last = op.record().LastAttempt(model::PointKind::kScriptStarting, node.name, step);
  if (last > 0) {
    OMS_ASSIGN(const std::string marker, observe::MarkerPath(op.record().id, mark, last));
    OMS_TRY(ctx.Check());
    OMS_ASSIGN(const bool won, act::ClaimAttempt(ctx, engine, container, marker));
    if (!won) return base::Ok();  // It runs after all: the next look sees it.
    ctx.log().Info("attempt {} of {} never ran; going on with attempt {}", last,
                   model::ScriptOf(at).name, last + 1);
  }
  const int attempt = last + 1;
  const auto marker = observe::MarkerPath(op.record().id, mark, attempt);
  if (!marker.ok()) return marker.error();
  const std::string name = node.name;  // `node` may lie in the record, which Save() replaces.
  OMS_TRY(op.Pass(ctx, model::PointKind::kScriptStarting, name, step, attempt));
  op.Start(ctx, TaskName(at, name), op.spec().strategy.timeouts.script,
           [world = op.world(), name, container, marker = *marker,
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

base::Status SwitchConsole(const base::Context& ctx, OperationSession& op, const std::string& node,
                           const std::string& container, const std::string& verb) {
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(const ports::ExecResult done,
             op.engine(node).Exec(ctx.WithTimeout(kSupervisorctl), container,
                                  {"supervisorctl", verb, kConsole}, "/"));
  if (done.exit_code == 0) return base::Ok();
  return base::MakeError(base::Code::kTransient, "ConsoleNotSwitched",
                         fmt::format("node {}: `supervisorctl {} {}` ended with exit code {}: {}",
                                     node, verb, kConsole, done.exit_code, done.output));
}

// A console that was held back has autostart off, and would stay away at the next start of its
// container as well; the script's own node is set right by the script (facts.md section 4).
base::Status LetConsoleStart(const base::Context& ctx, OperationSession& op,
                             const std::string& node, const std::string& container) {
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(const ports::ExecResult done,
             op.engine(node).Exec(ctx.WithTimeout(kSupervisorctl), container,
                                  {"/bin/sh", "-c", kAutostart, "oms-upgrade-autostart"}, "/"));
  if (done.exit_code != 0) {
    op.Warn("ConsoleAutostart",
            fmt::format("node {}: autostart of oms_console cannot be set in {} (exit code {}): {}; "
                        "set it by hand, or the console is not there after the next restart",
                        node, kConsoleIni, done.exit_code, done.output));
  }
  return SwitchConsole(ctx, op, node, container, "start");
}

base::Status CorrectSchema(const base::Context& ctx, OperationSession& op) {
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

base::Status InitializeMetadata(const base::Context& ctx, OperationSession& op) {
  return RunOnce(ctx, op, model::Step::kInitializeMetadata);
}

base::Status RunUpgradeScript(const base::Context& ctx, OperationSession& op) {
  return RunOnce(ctx, op, model::Step::kRunUpgradeScript);
}

}  // namespace oms::steps

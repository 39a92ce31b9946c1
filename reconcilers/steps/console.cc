#include "reconcilers/steps/console.h"

#include <fmt/format.h>

#include "crd/reasons.h"

namespace oms::steps {

namespace {

constexpr base::Duration kSupervisorctl = std::chrono::seconds(60);
constexpr char kConsoleIni[] = "/etc/supervisor/conf.d/oms_console.ini";
constexpr char kAutostart[] =
    "f=/etc/supervisor/conf.d/oms_console.ini; test ! -f \"$f\" || "
    "sed -i 's/autostart *= *false/autostart = true/' \"$f\"";

}  // namespace

bool ConsoleMoves(const model::HealthFacts& health) {
  const std::string state = health.Program(kConsole);
  return !state.empty() && state != "STOPPED" && state != "EXITED" && state != "FATAL";
}

bool ConsoleStillHeld(const product::PathSteps& path, const model::OperationRecord& record,
                      const model::NodeFacts& node) {
  if (node.keeps_running) return false;
  const bool ours = path.legacy_steps || record.ScriptNode().name != node.name;
  return ours && node.health && node.health->Program(kConsole) == "STOPPED";
}

bool OldConsoleHeld(const model::NodeFacts& node) {
  return node.old_container && node.health &&
         node.old_container->EnvValue("IS_UPGRADE") == "true" &&
         node.health->Program(kConsole) == "STOPPED";
}

base::Status SwitchConsole(const base::Context& ctx, OperationSession& op, const std::string& node,
                           const std::string& container, const std::string& verb) {
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(const ports::ExecResult done,
             op.engine(node).Exec(ctx.WithTimeout(kSupervisorctl), container,
                                  {"supervisorctl", verb, kConsole}, "/"));
  if (done.exit_code == 0) return base::Ok();
  return base::MakeError(base::Code::kTransient, crd::reason::kConsoleNotSwitched,
                         fmt::format("node {}: `supervisorctl {} {}` ended with exit code {}: {}",
                                     node, verb, kConsole, done.exit_code, done.output));
}

// A console that was held back has autostart off, and would stay away at the next start of its
// container as well; the script's own node is set right by the script (oms/README.md).
base::Status LetConsoleStart(const base::Context& ctx, OperationSession& op,
                             const std::string& node, const std::string& container) {
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(const ports::ExecResult done,
             op.engine(node).Exec(ctx.WithTimeout(kSupervisorctl), container,
                                  {"/bin/sh", "-c", kAutostart, "oms-upgrade-autostart"}, "/"));
  if (done.exit_code != 0) {
    op.Warn(
        crd::reason::kConsoleAutostart,
        fmt::format("node {}: autostart of oms_console cannot be set in {} (exit code {}): {}; set "
                    "it manually, otherwise the console does not start after the next restart",
                    node, kConsoleIni, done.exit_code, done.output));
  }
  return SwitchConsole(ctx, op, node, container, "start");
}

}  // namespace oms::steps

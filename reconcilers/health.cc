#include "reconcilers/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "controller/base/json.h"

namespace oms::upgrade {
namespace {

// Each question has its own: a hung nginx must not take supervisord's time, nor the other way
// round.
constexpr base::Duration kSupervisorTimeout = std::chrono::seconds(10);
constexpr base::Duration kHealthTimeout =
    std::chrono::seconds(4);  // As OBD's (facts.md section 3).
constexpr std::array<std::string_view, 8> kStates = {"STOPPED",  "STARTING", "RUNNING", "BACKOFF",
                                                     "STOPPING", "EXITED",   "FATAL",   "UNKNOWN"};

}  // namespace

std::string HealthFacts::Missing() const {
  if (error) return error->message;
  if (!supervisor_answers) return "supervisord does not answer yet";
  for (const auto& program : programs) {
    if (program.state != "RUNNING") return fmt::format("{} is {}", program.name, program.state);
  }
  if (programs.empty()) return "supervisord knows no program";
  if (!health_problem.empty()) return health_problem;
  if (!host_online) {
    return host_problem.empty() ? "its host is not ONLINE in the CM database" : host_problem;
  }
  if (!heartbeat_fresh) {
    return "its heartbeat (table heart_beat) is not newer than its start: oms_drc_supervisor does "
           "not report to the CM database";
  }
  return {};
}

std::string HealthFacts::Program(std::string_view name) const {
  for (const auto& program : programs) {
    if (program.name == name) return program.state;
  }
  return {};
}

std::vector<SupervisorProgram> ParseSupervisorStatus(std::string_view output) {
  std::vector<SupervisorProgram> programs;
  std::istringstream lines{std::string(output)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    SupervisorProgram program;
    if (!(words >> program.name >> program.state)) continue;
    if (std::find(kStates.begin(), kStates.end(), program.state) != kStates.end())
      programs.push_back(program);
  }
  return programs;
}

std::string HealthProblem(const base::Result<HttpAnswer>& answer) {
  if (answer.Is(base::Code::kTimeout)) {
    return fmt::format("/oms/health: no answer within {}", base::FormatDuration(kHealthTimeout));
  }
  if (!answer.ok()) return "/oms/health: " + answer.error().message;
  if (answer->status == 404) return {};
  if (answer->status != 200) return fmt::format("/oms/health answers {}", answer->status);
  auto body = base::ParseJson(answer->body).value_or(nlohmann::json());
  if (body.is_object() && body.contains("data") && body["data"].is_object() &&
      body["data"].contains("healthy") && body["data"]["healthy"] == true) {
    return {};
  }
  return "/oms/health does not say healthy";
}

bool SaysUnhealthy(const base::Result<HttpAnswer>& answer) {
  if (!answer.ok()) return false;  // It may be our way to it that is closed.
  if (answer->status != 200) return answer->status >= 500;
  const auto body = base::ParseJson(answer->body).value_or(nlohmann::json());
  return body.is_object() && body.contains("data") && body["data"].is_object() &&
         body["data"].contains("healthy") && body["data"]["healthy"] == false;
}

HealthFacts LookAtHealth(const base::Context& ctx, ContainerEngine& engine, HttpProbe& probe,
                         const HealthQuery& query) {
  HealthFacts health;
  const auto status = engine.Exec(ctx.WithTimeout(kSupervisorTimeout), query.container,
                                  {"supervisorctl", "status"}, "/");
  if (!status.ok()) {
    if (!status.Is(base::Code::kConflict))
      health.error = status.error().Wrap("supervisorctl status");
    return health;
  }
  health.programs = ParseSupervisorStatus(status->output);
  health.supervisor_answers = !health.programs.empty();
  if (!query.needs.console) {
    // They may be there, and stand still.
    std::erase_if(health.programs, [](const SupervisorProgram& program) {
      return program.name == "oms_console" || program.name == "nginx";
    });
    return health;
  }
  if (health.supervisor_answers) {
    const auto answer = probe.Get(ctx.WithTimeout(kHealthTimeout), query.host, query.port,
                                  "/oms/health", query.https);
    health.health_problem = HealthProblem(answer);
    health.says_unhealthy = SaysUnhealthy(answer);
  }
  return health;
}

}  // namespace oms::upgrade

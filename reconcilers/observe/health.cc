#include "reconcilers/observe/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "controller/base/json.h"

namespace oms::observe {
namespace {

// Each question has its own: a hung nginx must not take supervisord's time, nor the other way
// round.
constexpr base::Duration kSupervisorTimeout = std::chrono::seconds(10);
constexpr base::Duration kHealthTimeout = std::chrono::seconds(4);  // As OBD's (oms/README.md).
constexpr std::array<std::string_view, 8> kStates = {"STOPPED",  "STARTING", "RUNNING", "BACKOFF",
                                                     "STOPPING", "EXITED",   "FATAL",   "UNKNOWN"};

}  // namespace

std::vector<model::SupervisorProgram> ParseSupervisorStatus(std::string_view output) {
  std::vector<model::SupervisorProgram> programs;
  std::istringstream lines{std::string(output)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    model::SupervisorProgram program;
    if (!(words >> program.name >> program.state)) continue;
    if (std::find(kStates.begin(), kStates.end(), program.state) != kStates.end())
      programs.push_back(program);
  }
  return programs;
}

std::string HealthProblem(const base::Result<ports::HttpAnswer>& answer) {
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

bool SaysUnhealthy(const base::Result<ports::HttpAnswer>& answer) {
  if (!answer.ok()) return false;  // It may be our way to it that is closed.
  if (answer->status != 200) return answer->status >= 500;
  const auto body = base::ParseJson(answer->body).value_or(nlohmann::json());
  return body.is_object() && body.contains("data") && body["data"].is_object() &&
         body["data"].contains("healthy") && body["data"]["healthy"] == false;
}

model::HealthFacts LookAtHealth(const base::Context& ctx, ports::ContainerEngineView& engine,
                                ports::HttpProbe& probe, const HealthQuery& query) {
  model::HealthFacts health;
  const auto status = engine.SupervisorStatus(ctx.WithTimeout(kSupervisorTimeout), query.container);
  if (!status.ok()) {
    if (!status.Is(base::Code::kConflict))
      health.error = status.error().Wrap("supervisorctl status");
    return health;
  }
  health.programs = ParseSupervisorStatus(status->output);
  health.supervisor_answers = !health.programs.empty();
  if (!query.needs.console) {
    // They may be there, and stand still.
    std::erase_if(health.programs, [](const model::SupervisorProgram& program) {
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

}  // namespace oms::observe

#include "reconcilers/model/facts.h"

#include <fmt/format.h>

namespace oms::model {

std::string HealthFacts::Missing() const {
  if (error) return error->message;
  if (!supervisor_answers) return "supervisord does not answer yet";
  for (const auto& program : programs) {
    if (program.state != "RUNNING") return fmt::format("{} is {}", program.name, program.state);
  }
  if (programs.empty()) return "supervisord has no program";
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

}  // namespace oms::model

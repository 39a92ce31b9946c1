#include "reconcilers/model/facts.h"

#include <fmt/format.h>

namespace oms::model {

NodeFacts::NodeFacts() = default;
NodeFacts::NodeFacts(const NodeFacts&) = default;
NodeFacts::NodeFacts(NodeFacts&&) noexcept = default;
NodeFacts& NodeFacts::operator=(const NodeFacts&) = default;
NodeFacts& NodeFacts::operator=(NodeFacts&&) noexcept = default;
NodeFacts::~NodeFacts() = default;

MetaFacts::MetaFacts() = default;
MetaFacts::MetaFacts(const MetaFacts&) = default;
MetaFacts::MetaFacts(MetaFacts&&) noexcept = default;
MetaFacts& MetaFacts::operator=(const MetaFacts&) = default;
MetaFacts& MetaFacts::operator=(MetaFacts&&) noexcept = default;
MetaFacts::~MetaFacts() = default;

Facts::Facts() = default;
Facts::Facts(const Facts&) = default;
Facts::Facts(Facts&&) noexcept = default;
Facts& Facts::operator=(const Facts&) = default;
Facts& Facts::operator=(Facts&&) noexcept = default;
Facts::~Facts() = default;

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

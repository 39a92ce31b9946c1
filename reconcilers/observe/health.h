// Health of OMS, by what a version offers (oms/README.md): supervisorctl, /oms/health,
// cm.host, heart_beat.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/http_probe.h"

namespace oms::observe {

// The lines of `supervisorctl status`: name, state, the rest is passed over. What is no such line
// is passed over too.
std::vector<model::SupervisorProgram> ParseSupervisorStatus(std::string_view output);

// What the answer of /oms/health says is wrong; empty: healthy. A 404 on a port that listens means
// that this version does not offer it (seen only with tooling of 4.2.11 and later: oms/README.md).
std::string HealthProblem(const base::Result<ports::HttpAnswer>& answer);

// It is sure to be unhealthy: by its own word, or by an error of its own.
bool SaysUnhealthy(const base::Result<ports::HttpAnswer>& answer);

// What a node of this role must show, beside a supervisord whose programs run. The documents name
// no list for the separated deployment; what a role may lack is not waited for.
struct RoleNeeds {
  bool console = true;  // oms_console, nginx and /oms/health.
  bool host = true;     // A row in cm.host, and a heartbeat. Not needed: looked at where it is.
};
constexpr RoleNeeds NeedsOf(crd::NodeRole role) {
  switch (role) {
    case crd::NodeRole::kManagement: return {true, false};
    case crd::NodeRole::kComponent: return {false, true};
    case crd::NodeRole::kAll: break;
  }
  return {true, true};
}

struct HealthQuery {
  std::string container;
  std::string host;
  int port = 8089;
  std::optional<ports::HttpsTrust> https;
  RoleNeeds needs;
};
// Asks supervisord in the container, and /oms/health. The MetaDB's part (host_online,
// heartbeat_fresh) is the caller's to fill in. Each question has a timeout of its own.
model::HealthFacts LookAtHealth(const base::Context& ctx, ports::ContainerEngineView& engine,
                                ports::HttpProbe& probe, const HealthQuery& query);

}  // namespace oms::observe

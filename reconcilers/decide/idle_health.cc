#include "reconcilers/decide/idle_health.h"

#include <fmt/format.h>

#include <array>

#include "reconcilers/observe/health.h"

namespace oms::decide {
namespace {

constexpr base::Duration kUnwellFor = std::chrono::seconds(10);
// OMS beats each few seconds.
constexpr base::Duration kHeartPatience = std::chrono::minutes(2);
constexpr std::array<const char*, 4> kPrograms = {"nginx", "oms_console", "oms_drc_cm",
                                                  "oms_drc_supervisor"};

// Compared with itself, not with a clock: whose zone or time differs is none the less alive.
bool HeartStandsStill(const model::Facts& facts, const model::NodeFacts& node, IdleMemory& memory) {
  const auto beat = facts.meta->heartbeats.find(node.name);
  if (beat == facts.meta->heartbeats.end() || !beat->second.found) return false;
  auto& known = memory.beats[node.name];
  if (known.modified != beat->second.modified) known = {beat->second.modified, facts.steady_now};
  return facts.steady_now - known.since > kHeartPatience;
}

// Nullopt: not known.
std::optional<std::string> WrongWith(const model::Facts& facts, const model::NodeFacts& node,
                                     IdleMemory& memory) {
  if (!node.health || node.health->error || !facts.meta) return std::nullopt;
  const model::HealthFacts& health = *node.health;
  if (!health.supervisor_answers) return "supervisord does not answer";
  for (const char* program : kPrograms) {
    const std::string state = health.Program(program);
    if (!state.empty() && state != "RUNNING") return fmt::format("{} is {}", program, state);
  }
  if (health.says_unhealthy) return health.health_problem;
  if (!health.host_online) return health.host_problem;
  if (HeartStandsStill(facts, node, memory))
    return "its heartbeat (table heart_beat) does not advance";
  return std::string();
}

}  // namespace

std::string JudgeIdle(const model::Facts& facts, IdleMemory& memory) {
  bool known = true;
  std::string wrong;
  for (const auto& node : facts.nodes) {
    const auto found = WrongWith(facts, node, memory);
    known = known && found;
    if (found && !found->empty() && wrong.empty())
      wrong = fmt::format("node {}: {}", node.name, *found);
  }
  if (!wrong.empty()) {
    if (!memory.unwell_since) memory.unwell_since = facts.steady_now;
    if (facts.steady_now - *memory.unwell_since >= kUnwellFor) memory.unwell = wrong;
  } else if (known) {
    memory.unwell_since.reset();
    memory.unwell.clear();
    memory.seen_well = true;
  }
  return memory.unwell;
}

}  // namespace oms::decide

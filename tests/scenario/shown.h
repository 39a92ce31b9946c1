// What a user asks of the resource and reads in it, for every file of this folder.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tests/fakes/fake_world.h"

namespace oms {

// "True/Succeeded": a condition's status and reason.
inline std::string Ready(const fakes::World& world) {
  return fakes::ConditionOf(world.Resource(), "Ready");
}
inline std::string Stalled(const fakes::World& world) {
  return fakes::ConditionOf(world.Resource(), "Stalled");
}
// For the message of an assertion that failed.
inline std::string Why(const fakes::World& world) {
  return Stalled(world) + " " + world.Resource().status.message;
}

inline void Wants(fakes::World& world, const char* version) {
  world.EditSpec([&](nlohmann::json& spec) { spec["version"] = version; });
}

// Until the upgrade, or the way back, has ended as it should.
inline bool RunUp(fakes::World& world, fakes::Process& process) {
  return process.RunUntil([&] { return Ready(world) == "True/Succeeded"; });
}
inline bool RunBack(fakes::World& world, fakes::Process& process) {
  return process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; });
}

}  // namespace oms

// What Argo CD shows of a resource: manifests/argocd/health.lua, run by lua5.1 (Argo CD's own
// language version) on the statuses that the controller writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

const kube::ResourceType kUpgrades{crd::kGroup, crd::kVersionName, crd::kPlural};

// The object as Argo CD hands it to the script.
std::string AsLua(const json& value) {
  if (value.is_null()) return "nil";
  if (value.is_boolean() || value.is_number()) return value.dump();
  std::string text;
  if (value.is_string()) {
    for (const unsigned char c : value.get<std::string>()) {
      std::array<char, 5> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\%03d", static_cast<int>(c));
      text += escaped.data();
    }
    return "\"" + text + "\"";
  }
  for (const auto& [key, item] : value.items())
    text += (value.is_object() ? "[" + AsLua(json(key)) + "]=" : "") + AsLua(item) + ",";
  return "{" + text + "}";
}

// "Healthy Succeeded: upgraded from ...". What the script cannot do is its error's text.
std::string Health(const json& object) {
  const std::string path =
      testing::TempDir() + "/argocd-health-" + std::to_string(getpid()) + ".lua";
  std::ofstream(path) << "obj = " << AsLua(object) << "\nlocal health = dofile(\"" OMS_HEALTH_LUA
                      << "\")\n"
                         "io.write(health.status, \" \", health.message or \"\")\n";
  const std::string command = "lua5.1 " + path + " 2>&1";
  FILE* lua = popen(command.c_str(), "r");
  std::string said;
  std::array<char, 4096> piece{};
  while (const size_t n = fread(piece.data(), 1, piece.size(), lua)) said.append(piece.data(), n);
  const int code = pclose(lua);
  std::remove(path.c_str());
  EXPECT_EQ(code, 0) << said;
  return said;
}
std::string Health(const World& world) { return Health(*world.api.Find(kUpgrades, {"ns", "oms"})); }

TEST(ArgoCdHealth, IsProgressingUntilTheControllerHasSeenTheResource) {
  World world;
  EXPECT_THAT(Health(world), StartsWith("Progressing the controller has not seen"));
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EditSpec([](json& spec) { spec["historyLimit"] = 7; });
  EXPECT_THAT(Health(world), StartsWith("Progressing the controller has not seen"));
}

TEST(ArgoCdHealth, IsProgressingWhileOmsIsDownAndHealthyAfterwards) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  (void)process.Pass();
  EXPECT_THAT(Health(world), StartsWith("Progressing Progressing: from 4.3.0 to 4.3.1"));
  world.Release();
  ASSERT_TRUE(RunUp(world, process));
  EXPECT_EQ(Health(world), "Healthy Succeeded: upgraded from 4.3.0 to 4.3.1");
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process));
  EXPECT_THAT(Health(world), StartsWith("Healthy RolledBackByRequest"));
}

TEST(ArgoCdHealth, IsDegradedWhereAPersonMustAct) {
  World world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  EXPECT_THAT(Health(world), StartsWith("Degraded ScriptFailed: "));
  EXPECT_THAT(Health(world), HasSubstr("exit code 3"));
}

TEST(ArgoCdHealth, IsSuspendedWhereAPersonHoldsIt) {
  struct Held {
    const char* reason;
    json spec;
  };
  const std::vector<Held> all = {
      {"Suspended", {{"suspend", true}}},
      {"Planned", {{"mode", "Plan"}}},
      {"AwaitingApproval", {{"approval", "Manual"}}},
      {"OutsideWindow",
       {{"maintenanceWindow", {{"days", {"Mon"}}, {"start", "03:00"}, {"end", "03:01"}}}}},
      {"AwaitingHASwitch", {{"ha", {{"control", "Manual"}}}}}};
  for (const auto& held : all) {
    World world;
    world.EditSpec([&](json& spec) { spec.update(held.spec); });
    Process process(world);
    process.RunUntil([&] { return Ready(world).ends_with(held.reason); }, 40);
    EXPECT_THAT(Health(world), StartsWith(std::string("Suspended ") + held.reason));
  }
}

TEST(ArgoCdHealth, IsDegradedWhereOmsItselfIsNotWell) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EndContainer("oms_431", 0);
  (void)process.Pass();
  EXPECT_THAT(Health(world), StartsWith("Degraded OMSNotRunning"));
}

TEST(ArgoCdHealth, IsProgressingWhileTheWorldDoesNotAnswerOrTheResourceIsDeleted) {
  World world;
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Locked([&] { world.engine_down = true; });
  (void)process.Pass();
  EXPECT_THAT(Health(world), StartsWith("Progressing EngineUnreachable"));
  world.Locked([&] { world.engine_down = false; });
  world.Delete();
  EXPECT_THAT(Health(world), StartsWith("Progressing it is being deleted"));
  world.Release();
}

}  // namespace
}  // namespace oms

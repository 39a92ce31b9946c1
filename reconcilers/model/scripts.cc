#include "reconcilers/model/scripts.h"

#include <algorithm>

namespace oms::model {
namespace {

// As the guide writes them (second part, steps 7 and 8).
constexpr char kJava[] = "/opt/alibaba/java/bin/java";
constexpr char kModeOption[] = "-mupgrade";
constexpr char kConfigOption[] = "-y/home/admin/conf/config.yaml";
constexpr char kLastOption[] =
    "-ltrue";  // "In single-region scenarios, set this parameter to true."

}  // namespace

const ContainerScript& ScriptOf(Step step) {
  if (step == kComponentScript.step) return kComponentScript;
  return *std::find_if(kContainerScripts.begin(), kContainerScripts.end() - 1,
                       [&](const ContainerScript& script) { return script.step == step; });
}

ScriptCommand CommandOf(Step step, const product::PathSteps& path) {
  if (step == Step::kCorrectSchema) {
    return {{kJava, "-jar", path.correction_jar, kModeOption, kConfigOption, kLastOption},
            path.legacy_working_directory,
            {}};
  }
  if (step == Step::kInitializeMetadata) {
    return {{"python", "-m", "omsflow.scripts.units.oms_cluster_manager", "add_resource"},
            path.legacy_working_directory,
            {}};
  }
  if (step == Step::kUpgradeComponents)
    return {{"/bin/sh", kComponentScriptFile}, kComponentScriptFolder, {}};
  return {{"/bin/sh", path.upgrade_script}, path.working_directory, path.completion_lines};
}

std::vector<std::string> FilesNeeded(const product::PathSteps& path) {
  if (!path.legacy_steps) return {path.upgrade_script};
  return {path.upgrade_script, path.correction_jar, kJava};
}

}  // namespace oms::model

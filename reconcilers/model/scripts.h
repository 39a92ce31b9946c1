// The scripts that run once in the new container: what each is
// called, and what is run. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "reconcilers/model/steps.h"
#include "reconcilers/oms/version_path.h"

namespace oms::model {

struct ContainerScript {
  Step step;
  std::string_view mark;  // Its marker folder in the logs mount.
  std::string_view name;  // For a person.
};
// In the order in which they run.
inline constexpr std::array<ContainerScript, 3> kContainerScripts{{
    {Step::kCorrectSchema, "correction-jar", "the correction jar"},
    {Step::kInitializeMetadata, "add-resource", "add_resource"},
    {Step::kRunUpgradeScript, "upgrade-script", "the upgrade script"},
}};

// In a component container that keeps running (guide step 2.1, note). Not one of those above: it is
// on nodes of its own.
inline constexpr ContainerScript kComponentScript{Step::kUpgradeComponents, "component-upgrade",
                                                  "the component's upgrade script"};
inline constexpr char kComponentScriptFolder[] = "/home/ds/run/rpm";
inline constexpr char kComponentScriptFile[] = "support_upgrade_action.sh";

// As the guide names it. A container of this name that is not this operation's is a person who does
// the same by hand.
inline constexpr char kAssistantName[] = "oms-upgrade-tool";
inline constexpr char kRunFolder[] = "/home/ds/run";
inline constexpr char kAssistantFolder[] = "/root/rpm";  // In the assistant.

// `step` is one of those above.
const ContainerScript& ScriptOf(Step step);

struct ScriptCommand {
  std::vector<std::string> argv;
  std::string working_directory;
  std::vector<std::string> completion_lines;
};
ScriptCommand CommandOf(Step step, const product::PathSteps& path);

// The files that the image must have for all of it, absolute.
std::vector<std::string> FilesNeeded(const product::PathSteps& path);

}  // namespace oms::model

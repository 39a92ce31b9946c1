// What became of an attempt of a script that runs once, as the marker folder in the logs mount
// tells (how it gets there: act/once_script.h). Never writes.
#pragma once

#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/model/script_state.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::observe {

// "/home/admin/logs/oms-upgrade/<operation>/<step>/<attempt>". kInvalid unless operation and step
// are of [a-z0-9-] and attempt is 1 or more.
base::Result<std::string> MarkerPath(std::string_view operation, std::string_view step,
                                     int attempt);

// argv[0] of the wrapper, by which its process is known.
inline constexpr char kScriptProcess[] = "oms-upgrade-script";

// Works on running and on stopped containers.
base::Result<model::ScriptState> LookAtScript(const base::Context& ctx,
                                              ports::ContainerEngineView& engine,
                                              const std::string& container,
                                              const std::string& marker);

// The end of a text, at most 8 KiB of whole lines, as valid UTF-8: it goes into conditions, and
// those are JSON.
std::string LastLines(std::string_view text);

}  // namespace oms::observe

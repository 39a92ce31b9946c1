// Scripts inside a container that must run exactly once.
//
// The record gets ScriptStarting(step, node, attempt) first. Then a wrapper makes the attempt's
// marker folder on the logs mount by a plain mkdir, which only one process can ever win, and keeps
// the script's output and exit code in it. The mount can be read even when the container is
// stopped, so what became of an attempt is always looked up there, never remembered.
//
// A successor that finds the record but no marker claims the attempt: it makes a *file* of the
// marker's name, by O_EXCL. mkdir and O_EXCL exclude each other in the file system as two mkdirs
// do; and unlike a folder, the file says at once and for ever that this attempt never ran, also if
// the claimer dies right after it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/model/script_state.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::act {

// What to exec. The shell's text is constant; everything else is an argument of it. The wrapper
// ends with 0 once the exit code is kept, kMarkerTaken if the attempt was begun or claimed before,
// kMarkerFailed if the folder could not be made.
inline constexpr int kMarkerTaken = 97;
inline constexpr int kMarkerFailed = 96;
std::vector<std::string> WrapperArgv(const std::string& marker, const std::string& working_dir,
                                     const std::vector<std::string>& argv);

// Runs the wrapper and blocks until it ends, then looks. To be called once per attempt, after the
// record has it. kTimeout: it goes on in the container. kTerminal "MarkerFailed": the logs mount
// cannot be written to, and nothing ran.
base::Result<model::ScriptState> RunScript(const base::Context& ctx, ports::ContainerEngine& engine,
                                           const std::string& container, const std::string& marker,
                                           const std::string& working_dir,
                                           const std::vector<std::string>& argv);

// True: the attempt never ran and never will (also if it was claimed before). False: it was begun;
// look at it. The container must run (else kConflict).
base::Result<bool> ClaimAttempt(const base::Context& ctx, ports::ContainerEngine& engine,
                                const std::string& container, const std::string& marker);

}  // namespace oms::act

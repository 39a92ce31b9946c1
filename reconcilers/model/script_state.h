// ScriptState: what became of one attempt of a script that runs once in a container.
#pragma once

#include <string>

namespace oms::model {

struct ScriptState {
  enum class Kind {
    kNoFolder,  // Not begun; may still begin if somebody's exec is under way. Claim it to be sure.
    kNeverRan,  // Claimed: this attempt has not run and cannot run any more.
    kRunning,
    kEnded,    // exit_code and output are set.
    kUnknown,  // Began, and neither runs nor left an exit code. For a policy to decide on.
  };
  Kind kind = Kind::kNoFolder;
  int exit_code = 0;
  std::string output;  // The last lines, at most 8 KiB, valid UTF-8; also for kUnknown.
};

}  // namespace oms::model

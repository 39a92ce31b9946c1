#include "reconcilers/act/once_script.h"

#include <fmt/format.h>

#include "crd/reasons.h"
#include "reconcilers/observe/script_look.h"

namespace oms::act {
namespace {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using Kind = model::ScriptState::Kind;

// One line, so that a process list shows it in one. Its arguments: marker, working dir, command.
// - sync before the command: a host that loses power must not forget that it began.
// - `sync FILE` is coreutils 8.24 and later; an older one syncs everything, which does as well.
// - No umask is set and no variable is exported: the command sees what `docker exec` would give it.
constexpr char kWrapper[] =
    R"sh(m=$1; w=$2; shift 2; )sh"
    R"sh(mkdir -p "${m%/*}" || exit 96; )sh"
    R"sh(mkdir "$m" 2>/dev/null || { test -e "$m" && exit 97; exit 96; }; )sh"
    R"sh(sync "$m" "${m%/*}" 2>/dev/null || sync; )sh"
    R"sh(( cd "$w" || exit 125; exec "$@" ) >"$m/output.log" 2>&1 </dev/null; c=$?; )sh"
    R"sh(echo "$c" >"$m/exit_code.tmp" || exit 95; )sh"
    R"sh(sync "$m/exit_code.tmp" 2>/dev/null || sync; )sh"
    R"sh(mv "$m/exit_code.tmp" "$m/exit_code" || exit 95; )sh"
    R"sh(sync "$m" 2>/dev/null || sync; exit 0)sh";

// noclobber opens with O_EXCL (POSIX); it fails on a folder as on a file. 0 it is claimed, 97 it
// was begun.
constexpr char kClaim[] =
    R"sh(m=$1; mkdir -p "${m%/*}" || exit 96; set -C; )sh"
    R"sh(if ( : >"$m" ) 2>/dev/null; then sync "$m" "${m%/*}" 2>/dev/null || sync; exit 0; fi; )sh"
    R"sh(test -d "$m" && exit 97; test -f "$m" && exit 0; exit 96)sh";

constexpr char kClaimName[] = "oms-upgrade-claim";

base::Error MarkerFailed(const std::string& container, const std::string& marker,
                         const std::string& output) {
  return MakeError(Code::kTerminal, crd::reason::kMarkerFailed,
                   fmt::format("folder {} cannot be created in container {} ({}); make the logs "
                               "mount writable and free some space. Nothing was run",
                               marker, container, observe::LastLines(output)));
}

}  // namespace

std::vector<std::string> WrapperArgv(const std::string& marker, const std::string& working_dir,
                                     const std::vector<std::string>& argv) {
  std::vector<std::string> out = {"/bin/sh", "-c",       kWrapper, observe::kScriptProcess,
                                  marker,    working_dir};
  out.insert(out.end(), argv.begin(), argv.end());
  return out;
}

Result<model::ScriptState> RunScript(const Context& ctx, ports::ContainerEngine& engine,
                                     const std::string& container, const std::string& marker,
                                     const std::string& working_dir,
                                     const std::vector<std::string>& argv) {
  OMS_ASSIGN(const auto ran,
             engine.Exec(ctx, container, WrapperArgv(marker, working_dir, argv), ""));
  if (ran.exit_code == kMarkerFailed) return MarkerFailed(container, marker, ran.output);
  OMS_ASSIGN(auto state, observe::LookAtScript(ctx, engine, container, marker));
  if (state.kind == Kind::kNoFolder) {
    // The wrapper did not get as far as its mkdir: no /bin/sh, for instance.
    return MarkerFailed(container, marker,
                        fmt::format("exit code {}: {}", ran.exit_code, ran.output));
  }
  return state;
}

Result<bool> ClaimAttempt(const Context& ctx, ports::ContainerEngine& engine,
                          const std::string& container, const std::string& marker) {
  OMS_ASSIGN(const auto ran,
             engine.Exec(ctx, container, {"/bin/sh", "-c", kClaim, kClaimName, marker}, ""));
  if (ran.exit_code == 0) return true;
  if (ran.exit_code == kMarkerTaken) return false;
  return MarkerFailed(container, marker, ran.output);
}

}  // namespace oms::act

#!/usr/bin/env bash
# Installs what the build needs and builds a preset.
#
#   hack/build.sh [PRESET [TARGET...]]     (default: release, everything)
#
# ccache keeps objects outside of the checkout, also for another checkout of
# the same code; OMS_JOBS bounds how many compilers run (default: all cores).
set -euo pipefail

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"

preset=release
if (($#)); then
  preset=$1
  shift
fi
"$HACK/devenv.sh" packages build
cd "$REPO_DIR"
# Paths relative to the checkout, so that objects of another checkout serve.
export CCACHE_BASEDIR=$REPO_DIR CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
start=$SECONDS
mkdir -p build
log=build/configure-$preset.log
cmake --preset "$preset" >"$log" 2>&1 || {
  tail -n 30 "$log" >&2
  die "cmake --preset $preset failed (log: $REPO_DIR/$log)"
}
arguments=(--build --preset "$preset" -j "${OMS_JOBS:-$(nproc)}")
(($# == 0)) || arguments+=(--target "$@")
# Without a terminal ninja prints a line per file; the last ones tell enough.
if [[ -t 1 ]]; then
  cmake "${arguments[@]}" || die "the build of $preset failed"
else
  log=build/build-$preset.log
  cmake "${arguments[@]}" >"$log" 2>&1 || {
    grep -E -A 12 'FAILED:|error:' "$log" | head -n 80 >&2 || true
    tail -n 5 "$log" >&2
    die "the build of $preset failed (log: $REPO_DIR/$log)"
  }
fi
say "built ${*:-everything} ($preset) in $((SECONDS - start)) s"

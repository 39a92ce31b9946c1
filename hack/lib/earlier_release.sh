#!/usr/bin/env bash
# hack/lib/earlier_release.sh: prints the path of an earlier release's
# controller, for the tests that replace it in the middle of an operation
# (tests/e2e/controller_upgrade_test.py).
#
# It is built once, from that release's own sources in the history of this
# repository and by its own scripts, and kept in the cache.
# OMS_EARLIER_RELEASE names a binary to take instead.
set -euo pipefail

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"

# The last one that writes records of format 2.
COMMIT=d6e7134ee98e27e628347fbffc016a3856fa8857

if [[ -n ${OMS_EARLIER_RELEASE:-} ]]; then
  [[ -x $OMS_EARLIER_RELEASE ]] || die "OMS_EARLIER_RELEASE=$OMS_EARLIER_RELEASE is no program"
  printf '%s\n' "$OMS_EARLIER_RELEASE"
  exit 0
fi

binary=$CACHE_DIR/releases/$COMMIT/oms-upgrade-controller
mkdir -p "${binary%/*}"
(
  flock -n 9 || { say "another build of the earlier release is under way; waiting for it"; flock 9; }
  [[ ! -x $binary ]] || exit 0
  cd "$REPO_DIR"
  git cat-file -e "$COMMIT^{commit}" 2>/dev/null ||
    git fetch --quiet --depth 1 origin "$COMMIT" 2>/dev/null ||
    die "this checkout has no commit $COMMIT, from which the earlier release is built: clone it with its history (git fetch --unshallow), or let OMS_EARLIER_RELEASE name a controller of that release"
  sources=$(mktemp -d "$CACHE_DIR/releases/build.XXXXXX")
  trap 'rm -rf -- "$sources"' EXIT
  say "building the controller of an earlier release ($COMMIT), once: some minutes"
  git archive "$COMMIT" | tar -x -C "$sources"
  bash "$sources/hack/build.sh" release oms-upgrade-controller >"$sources/build.log" 2>&1 </dev/null || {
    tail -n 20 "$sources/build.log" >&2
    die "the earlier release could not be built"
  }
  mv -f "$sources/build/release/oms-upgrade-controller" "$binary"
) 9>"$CACHE_DIR/releases/lock" >&2
printf '%s\n' "$binary"

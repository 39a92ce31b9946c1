#!/usr/bin/env bash
# hack/lib/in_environment.sh COMMAND...: a test with real servers, in the
# environment that is its own while it runs.
#
# ctest shares the environments of hack/test.sh out (its resource "servers");
# the exports of each lie in a file below OMS_TEST_ENVIRONMENTS. Without that,
# as when a person runs ctest, the environment is the one that the shell has
# the exports of, and one test at a time has it.
set -euo pipefail

share=${CTEST_RESOURCE_GROUP_0_SERVERS:-}
if [[ -n $share && -n ${OMS_TEST_ENVIRONMENTS:-} ]]; then
  # id:1,slots:1
  share=${share#id:}
  # shellcheck disable=SC1090
  . "$OMS_TEST_ENVIRONMENTS/${share%%,*}.sh"
fi
# Also when shared out: two runs at once would be a mistake of ours.
if [[ -d ${DEVENV_DIR:-} ]]; then
  exec 9>"$DEVENV_DIR/test.lock"
  flock 9
fi
if [[ -n ${OMS_NETWORK:-} ]]; then exec nsenter --net="$OMS_NETWORK" -- "$@"; fi
exec "$@"

#!/usr/bin/env bash
# The same upgrade twice on the same data: by hack/bench/runbook.sh, which is
# the guide by hand at its best, and by the controller. Prints both downtimes
# (T2 - T1) and their ratio.
#
#   hack/devenv.sh up
#   hack/bench/compare.sh [--rows N] [--runs N] [--rollback]
#
# --rollback: both go back after the upgrade, and the way back is what is
# compared: by hand from T3 (before the stop) until OMS is healthy, and by the
# controller from the revert of spec.version until OMS is healthy; and T2 - T3.
# --rows: rows in rm's two big tables together (default 20000); --runs: pairs,
# one after the other (default 1; the medians are compared). It starts a fresh
# OMS each time, so it takes an environment in which nobody upgrades the OMS
# that runs; that one is gone afterwards. OMS_CONTROLLER_BIN names the controller.
set -euo pipefail
# What is printed by the functions below is read by $(...), where a failure
# would otherwise be passed over.
shopt -s inherit_errexit

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"
export DEVENV_DIR
oms_defaults

FROM=4.3.0
TO=4.3.1
NAME=compare
rows=${OMS_SAMPLE_ROWS:-20000}
runs=1
rollback=
while (($#)); do
  case $1 in
    --rows)
      rows=${2:?--rows needs a number}
      shift
      ;;
    --runs)
      runs=${2:?--runs needs a number}
      shift
      ;;
    --rollback) rollback=1 ;;
    -h | --help) help_of "$0"; exit 0 ;;
    *) die "unknown option $1; see --help" ;;
  esac
  shift
done
[[ $rows =~ ^[0-9]+$ && $runs =~ ^[1-9][0-9]*$ ]] || die "--rows and --runs take numbers"
exports=$("$HACK/devenv.sh" env)
eval "$exports"
logs=$DEVENV_DIR/logs
for other in "$DEVENV_DIR"/pids/controller-*; do
  other=${other##*/controller-}
  [[ $other == "$NAME" ]] || ! daemon_pid "controller-$other" >/dev/null ||
    die "a controller runs in this environment ($other); stop it first: hack/devenv.sh controller stop --name $other"
done
# A fresh OMS would pull theirs away from under them.
others=$(kubectl get omsupgrades -A -o json 2>/dev/null |
  jq -r --arg name "$NAME" '.items[].metadata | select(.name != $name) | .namespace + "/" + .name') || others=
[[ -z $others ]] ||
  die "this environment has OmsUpgrades (${others//$'\n'/ }), from quickstart.sh perhaps; take another: export DEVENV_DIR=/var/tmp/oms-bench; hack/devenv.sh up --engine own"

# failed TEXT LOG: what a log has to say of it.
failed() {
  tail -n 8 "$2" >&2
  die "$1 (log: $2)"
}

fresh() {
  OMS_SAMPLE_ROWS=$rows "$HACK/devenv.sh" oms start "$FROM" >"$logs/compare-oms.log" 2>&1 ||
    failed "OMS $FROM did not start" "$logs/compare-oms.log"
  # Its load is part of what is measured.
  ! docker image inspect "oms:$TO" >/dev/null 2>&1 ||
    die "the image oms:$TO stays in the engine, as another OMS of this environment needs it; remove that one (hack/devenv.sh oms containers; OMS_INSTANCE=... hack/devenv.sh oms reset)"
  # shellcheck disable=SC1091
  . "$OMS_ROOT/instance.env"
}

forget_all() {
  "$HACK/devenv.sh" controller stop --name "$NAME" >/dev/null 2>&1 || true
  if kubectl get omsupgrade "$NAME" >/dev/null 2>&1; then
    kubectl patch omsupgrade "$NAME" --type merge -p '{"metadata":{"finalizers":null}}' >/dev/null
    kubectl delete omsupgrade "$NAME" --timeout 30s >/dev/null
  fi
  mysql --defaults-file="$METADB_DEFAULTS" -e 'drop database if exists oms_upgrade_controller'
  rm -rf -- "${OMS_BACKUPS:?}/$NAME"
}

by_hand() {
  fresh
  "$HACK/bench/runbook.sh" --to "$TO" >"$logs/runbook.log" 2>&1 || failed 'runbook.sh failed' "$logs/runbook.log"
  if [[ -z $rollback ]]; then
    jq -r .downtimeSeconds "$DEVENV_DIR/runbook/result.json"
    return
  fi
  "$HACK/bench/runbook.sh" --rollback >"$logs/runbook.log" 2>&1 || failed 'runbook.sh --rollback failed' "$logs/runbook.log"
  jq -r '"\(.healthySeconds) \(.downtimeSeconds)"' "$DEVENV_DIR/runbook/result-rollback.json"
}

# resource VERSION
resource() {
  jq -n --arg version "$1" --arg archive "$OMS_ARCHIVES/oms_$1.tar.gz" --arg engine "$DOCKER_HOST" \
    --arg container "$OMS_CONTAINER" --arg backups "$OMS_BACKUPS/$NAME" --arg name "$NAME" '
    {apiVersion: "oms.oceanbase.com/v1alpha1", kind: "OmsUpgrade", metadata: {name: $name, namespace: "default"},
     spec: {version: $version, image: {reference: "oms:\($version)", archive: $archive},
            nodes: [{name: "oms-1", engine: {endpoint: $engine}, container: {name: $container}}],
            backup: {directory: $backups}}}'
}

# between A B: seconds from one time of the operation's record to the other.
# The record has them finer than the status shows.
between() {
  local folder
  folder=$(kubectl get omsupgrade "$NAME" -o jsonpath='{.status.operation.folder}')
  python3 - "$folder" "$1" "$2" <<'PYTHON'
import json, pathlib, sys
from datetime import datetime
last = max(pathlib.Path(sys.argv[1], "record").glob("*.json"), key=lambda p: int(p.stem))
record = json.loads(last.read_text())
a, b = (datetime.fromisoformat(record[t].replace("Z", "+00:00")) for t in sys.argv[2:4])
print(f"{(b - a).total_seconds():.3f}")
PYTHON
}

oms_healthy() {
  [[ $(curl -fsS --max-time 4 "http://$OMS_HOST_IP:$OMS_NGINX_PORT/oms/health" 2>/dev/null | jq -r .data.healthy) == true ]]
}

# settled WHAT: until the controller is done with the spec as it is, or has stopped.
settled() {
  local generation pid
  generation=$(kubectl get omsupgrade "$NAME" -o jsonpath='{.metadata.generation}')
  pid=$("$HACK/devenv.sh" controller pid --name "$NAME")
  python3 "$HACK/lib/follow.py" "$NAME" --generation "$generation" --pid "$pid" --timeout 1800 >"$logs/compare-follow.log" 2>&1 ||
    failed "the $1 did not succeed" "$logs/compare-follow.log"
}

by_controller() {
  local begun
  fresh
  "$HACK/devenv.sh" controller start --name "$NAME" >"$logs/compare-start.log" 2>&1 ||
    failed 'the controller did not start' "$logs/compare-start.log"
  resource "$TO" | kubectl apply -f - >/dev/null
  settled upgrade
  if [[ -z $rollback ]]; then
    # Of the same two moments as the runbook's.
    between t1 t2
    forget_all
    return
  fi
  begun=$EPOCHREALTIME
  resource "$FROM" | kubectl apply -f - >/dev/null
  # What answers until then is the new version.
  wait_until 600 "a stop of the new OMS" new_is_gone || die "the rollback did not begin: $(kubectl get omsupgrade "$NAME" -o jsonpath='{.status.message}')"
  wait_until 1800 "a healthy OMS $FROM" oms_healthy || die "OMS did not come back: $(kubectl get omsupgrade "$NAME" -o jsonpath='{.status.message}')"
  awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f ", b - a}'
  settled rollback
  between t3 t2
  forget_all
}

new_is_gone() { ! docker container inspect "oms_${TO//./}" >/dev/null 2>&1; }

median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

trap 'forget_all || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
forget_all
hand=() ours=()
for ((i = 1; i <= runs; ++i)); do
  result=$(by_hand)
  hand+=("$result")
  result=$(by_controller)
  ours+=("$result")
  if [[ -z $rollback ]]; then
    printf 'run %d  runbook %8.3f s   controller %8.3f s\n' "$i" "${hand[-1]}" "${ours[-1]}"
  else
    # shellcheck disable=SC2086  # two numbers each
    printf 'run %d  runbook: healthy after %8.3f s, HA on after %8.3f s   controller: healthy %8.3f s after the revert, T2 - T3 %8.3f s\n' \
      "$i" ${hand[-1]} ${ours[-1]}
  fi
done
# ratio TITLE COLUMN
ratio() {
  local a b
  a=$(printf '%s\n' "${hand[@]}" | cut -d' ' -f"$2" | median)
  b=$(printf '%s\n' "${ours[@]}" | cut -d' ' -f"$2" | median)
  printf '\n%s, %s rows, %d run(s), OMS as a stand-in:\n' "$1" "$rows" "$runs"
  printf '  hack/bench/runbook.sh  %8.3f s\n  the controller         %8.3f s\n  ratio                  %8.2f  (controller / runbook)\n' \
    "$a" "$b" "$(awk -v a="$a" -v b="$b" 'BEGIN {print b / a}')"
}
if [[ -z $rollback ]]; then
  ratio "Downtime $FROM -> $TO" 1
else
  ratio "The way back $TO -> $FROM after success, from the revert (by hand: T3) until OMS is healthy" 1
  ratio "Of it OMS was down (T3 until HA is on)" 2
fi

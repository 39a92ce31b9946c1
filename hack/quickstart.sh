#!/usr/bin/env bash
# Watch a controller carry a running OMS from 4.3.0 to 4.3.1, on this machine.
#
#   hack/quickstart.sh              installs, builds, starts all there is, upgrades
#   hack/quickstart.sh --rollback   then: reverts that edit, and follows OMS back
#   hack/quickstart.sh --down       stops and removes it again
#
#   --engine own|system|auto        which container engine a first run takes, see
#                                   hack/devenv.sh help (default auto)
#
# Real: the Kubernetes API server, the container engine, the OceanBase that OMS
# keeps its state in, the controller. OMS itself is a stand-in, as its image
# is not public (hack/oms-standin/README.md). All state lies in .devenv (or
# DEVENV_DIR). A second run says that there is nothing to do; one after an
# interrupt, a failure or a reboot goes on.
set -euo pipefail

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"
export DEVENV_DIR

FROM=4.3.0
TO=4.3.1
NAME=oms
NAMESPACE=default

action=forward engine=()
while (($#)); do
  case $1 in
    --rollback) action=back ;;
    --down) action=down ;;
    --engine) engine=(--engine "${2:-}") && shift ;;
    --engine=*) engine=("$1") ;;
    -h | --help) help_of "$0"; exit 0 ;;
    *) die "unknown option $1; see hack/quickstart.sh --help" ;;
  esac
  shift || die "--engine takes own, system or auto"
done
if [[ $action == down ]]; then
  "$HACK/devenv.sh" down
  say "what took long to make stays in $CACHE_DIR and build/; remove them too to start from nothing"
  exit 0
fi
need_root hack/quickstart.sh 'packages, a container engine, and the files that containers write'
# What a person has exported for another OMS or cluster is not for this one.
oms_defaults
export KUBECONFIG=$DEVENV_DIR/kubeconfig
if [[ -n ${OMS_CONTROLLER_BIN:-} ]]; then
  OMS_CONTROLLER_BIN=$(realpath -- "$OMS_CONTROLLER_BIN")
  export OMS_CONTROLLER_BIN
fi
trap 'printf "\ninterrupted; hack/quickstart.sh continues from here, hack/quickstart.sh --down removes what there is\n" >&2; exit 130' INT TERM HUP

cd "$REPO_DIR"
began=$SECONDS
head_line() { printf '\n== %s\n' "$*"; }
took() { printf '   (%d s)\n' $((SECONDS - step_began)); }
step() {
  step_began=$SECONDS
  head_line "$*"
}

kubectl_() { kubectl -n "$NAMESPACE" "$@"; }
# field JQ: of the resource; empty where there is none.
field() { kubectl_ get omsupgrade "$NAME" -o json 2>/dev/null | jq -r "$1 // empty" || true; }

condition_of() { printf '.status.conditions[]? | select(.type == "%s") | .%s' "$1" "$2"; }

# env_hint: what makes a person's shell speak to this environment.
env_hint() {
  local command='hack/devenv.sh env'
  [[ $DEVENV_DIR == "$REPO_DIR/.devenv" ]] || command="DEVENV_DIR=$DEVENV_DIR $command"
  printf 'eval "$(%s)"' "$command"
}

# why TEXT: what a person needs when it did not go well; ends the script.
why() {
  {
    printf '\n%s\n' "$1"
    kubectl_ get omsupgrade "$NAME" -o json 2>/dev/null | jq -r '
      .status.conditions[]? | select(.type == "Ready" or .type == "Stalled" or .reason == "Failed")
      | "  \(.type)=\(.status)  \(.reason): \(.message)"' || true
    printf '\nWhat happened last:\n'
    kubectl_ get events --field-selector "involvedObject.name=$NAME" --sort-by=.lastTimestamp \
      -o custom-columns=REASON:.reason,MESSAGE:.message --no-headers 2>/dev/null | tail -n 8 | sed 's/^/  /' || true
    printf '\nThe last warnings of the controller:\n'
    "$HACK/devenv.sh" controller log 2>/dev/null | grep -iE 'warn|error' | tail -n 8 | sed 's/^/  /' || true
    cat <<HELP

Where to look, after: $(env_hint)
  kubectl describe omsupgrade $NAME          conditions, steps, events
  hack/devenv.sh controller log              the controller's log
  ls $OMS_ROOT/oms_logs                      OMS's own logs, oms-upgrade/ holds the scripts' output
manifests/RUNBOOK.md says what each reason means. After putting it right:
  kubectl annotate omsupgrade $NAME oms.oceanbase.com/resetAt="\$(date -u +%FT%TZ)" --overwrite
HELP
  } >&2
  exit 1
}

# sample VERSION: the resource, with what this environment has.
sample() {
  cat <<YAML
apiVersion: oms.oceanbase.com/v1alpha1
kind: OmsUpgrade
metadata:
  name: $NAME
  namespace: $NAMESPACE
spec:
  version: $1
  image:
    reference: oms:$1
    archive: $OMS_ARCHIVES/oms_$1.tar.gz
  nodes:
  - name: oms-1
    engine:
      endpoint: $DOCKER_HOST
    container:
      name: $OMS_CONTAINER
  backup:
    directory: $OMS_BACKUPS/$NAME
YAML
}

# environment_answers: this environment is up. Its exports are taken, without
# which kubectl and docker would speak to whatever the person's shell points at.
environment_answers() {
  local exports
  [[ -d $DEVENV_DIR ]] && is_state_dir && exports=$("$HACK/devenv.sh" env 2>/dev/null) || return 1
  eval "$exports"
  have kubectl && kubectl --request-timeout 5s get --raw /readyz >/dev/null 2>&1
}

# is_ours: the resource is of this environment (the cluster may be a person's own).
is_ours() { [[ $(field .spec.backup.directory) == "$OMS_BACKUPS/$NAME" ]]; }

# state_of CONTAINER: running, exited ...; empty where this environment has none.
state_of() { "$HACK/devenv.sh" oms containers | awk -F'\t' -v name="$1" '$1 == name {print $2}'; }

# settled_at VERSION: OMS is there, a controller says so of this very spec, and
# the container of that version runs.
settled_at() {
  environment_answers && is_ours &&
    [[ $(field .spec.version) == "$1" && $(field .status.currentVersion) == "$1" ]] &&
    [[ $(field "$(condition_of Ready status)") == True ]] &&
    [[ $(field .status.observedGeneration) == $(field .metadata.generation) ]] &&
    [[ $(state_of "$(field '.status.nodes[0].container')") == running ]] &&
    "$HACK/devenv.sh" controller pid >/dev/null 2>&1
}

nothing_to_do() {
  printf 'Nothing to do: OMS runs %s, and its OmsUpgrade is Ready.\n' "$1"
  kubectl_ get omsupgrades -o wide
}

# read_instance: what the OMS of this environment is called and where it listens.
read_instance() {
  [[ -f $OMS_ROOT/instance.env ]] ||
    die "there is an OmsUpgrade '$NAME', but its OMS is gone (hack/devenv.sh oms reset?): hack/quickstart.sh --down, then again"
  # shellcheck disable=SC1091
  . "$OMS_ROOT/instance.env"
}

# wake_oms: a container that a reboot has stopped; nothing starts it by itself. In
# the middle of an operation that is the controller's own business.
wake_oms() {
  local container
  container=$(field '.status.nodes[0].container')
  [[ -n $container && $(field .status.direction) =~ ^(None)?$ && $(state_of "$container") == exited ]] || return 0
  say "the container $container is stopped (a reboot?): starting it"
  docker start "$container" >/dev/null
  wait_until 60 'a healthy OMS' oms_healthy || die "OMS does not become healthy; its logs: $OMS_ROOT/oms_logs"
}
oms_healthy() {
  [[ $(curl -fsS --max-time 4 "http://$OMS_HOST_IP:$OMS_NGINX_PORT/oms/health" | jq -r .data.healthy) == true ]]
}

show_ha() {
  local rm_db
  head_line 'High availability (ha.config of OMS)'
  # shellcheck disable=SC1091
  rm_db=$(. "$OMS_ROOT/instance.env" && printf '%s' "$OMS_RM_DB")
  mariadb --defaults-file="$METADB_DEFAULTS" -N --raw -D "$rm_db" \
    -e "select cfg_value from oms_normal_config where cfg_name='ha.config'"
}

show_resource() {
  head_line 'kubectl get omsupgrades -o wide'
  kubectl_ get omsupgrades -o wide
  head_line 'Conditions'
  kubectl_ get omsupgrade "$NAME" -o json | jq -r '
    .status.conditions[] | select(.reason != "NotStarted")
    | [.type, .status, .reason, (.message | .[0:90])] | @tsv' |
    { printf 'TYPE\tSTATUS\tREASON\tMESSAGE\n'; cat; } | column -t -s $'\t'
}

show_containers() {
  head_line 'Containers'
  "$HACK/devenv.sh" oms containers | { printf 'NAME\tSTATE\tIMAGE\n'; cat; } | column -t -s $'\t'
}

show_left_to_do() {
  if [[ -n $(field '.status.followUps[0]') ]]; then
    printf '\nLeft for a person to do:\n'
    kubectl_ get omsupgrade "$NAME" -o json | jq -r '.status.followUps[] | "  - " + .'
  fi
}

# verify_dump FOLDER...: where there are sums.
verify_dump() {
  local folder
  for folder in "$@"; do
    [[ -f $folder/SHA256SUMS ]] || continue
    (cd "$folder" && sha256sum --quiet -c SHA256SUMS) || die "the dump in $folder is not what was written"
    printf 'sha256sum -c %s/SHA256SUMS: all files are right\n' "$folder"
  done
}

summary() {
  local places
  show_resource
  show_ha
  head_line "Backups, and the operation's record ($OMS_BACKUPS/$NAME)"
  (cd "$OMS_BACKUPS/$NAME" && find . -type f -printf '%h %s\n' | LC_ALL=C sort |
    awk '{files[$1]++; bytes[$1] += $2; if (!($1 in at)) {at[$1] = ++n; name[n] = $1}}
         END {for (i = 1; i <= n; i++) printf "%5d files %10.1f KiB  %s\n", files[name[i]], bytes[name[i]] / 1024, name[i]}')
  kubectl_ get omsupgrade "$NAME" -o json |
    jq -r '.status.backups[]? | select(.database != null) | [.database, .size, .complete, .place] | @tsv' |
    { printf 'DATABASE\tBYTES\tCOMPLETE\tPLACE\n'; cat; } | column -t -s $'\t'
  mapfile -t places < <(field '[.status.backups[]?.place] | unique | .[]')
  verify_dump "${places[@]}"
  show_containers
  printf '\nOMS was down for %s (T1 %s, T2 %s), as observed by the controller.\n' \
    "$(field .status.operation.downtime)" "$(field .status.operation.t1)" "$(field .status.operation.t2)"
  show_left_to_do
}

# What a person wants to see after a rollback: what runs, how long it was down,
# and what is left of both states.
summary_back() {
  local folder kept sums
  show_resource
  show_ha
  show_containers
  folder=$(field .status.operation.folder)
  head_line 'What is kept'
  printf 'The state before the upgrade, to which OMS was restored:\n'
  kubectl_ get omsupgrade "$NAME" -o json |
    jq -r '.status.backups[]? | select(.database != null) | [.database, .size, .place] | @tsv' |
    { printf 'DATABASE\tBYTES\tPLACE\n'; cat; } | column -t -s $'\t' | sed 's/^/  /'
  printf 'The state of %s, dumped before it was dropped:\n' "$TO"
  # There is no such folder where no database had been changed.
  kept=$({ find "${folder:-/nowhere}/upgraded" -type f -name '*.sql*' -printf '%s\n' 2>/dev/null || true; } |
    awk '{n++; bytes += $1} END {if (n) printf "%d files, %.1f KiB", n, bytes / 1024}')
  if [[ -n $kept ]]; then printf '  %s  (%s)\n' "$folder/upgraded" "$kept"; else printf '  nothing: no database had been changed\n'; fi
  mapfile -t sums < <(find "${folder:-/nowhere}/upgraded" -name SHA256SUMS -printf '%h\n' 2>/dev/null)
  verify_dump "${sums[@]}"
  printf 'The image of %s:\n  %s\n' "$TO" "$(docker images --format '{{.Repository}}:{{.Tag}}  {{.ID}}  {{.Size}}' "oms:$TO")"
  printf '\nOMS runs %s again, in the container that ran before the upgrade (%s). It was down for %s (T3 %s, T2 %s).\n' \
    "$(field .status.currentVersion)" "$(field '.status.nodes[0].container')" \
    "$(field .status.operation.downtime)" "$(field .status.operation.t3)" "$(field .status.operation.t2)"
  show_left_to_do
}

whats_next() {
  cat <<NEXT

What to try next, after: $(env_hint)
  kubectl describe omsupgrade $NAME
  kubectl explain omsupgrade.spec --recursive
  kubectl get events --field-selector involvedObject.name=$NAME
  curl -s \$(hack/devenv.sh controller address)/metrics
  hack/quickstart.sh --rollback                     the way back
  less $OMS_BACKUPS/$NAME/*/dump/*/RESTORE.md       the same with nothing but the files
  (export OMS_INSTANCE=byhand; hack/devenv.sh oms start $FROM && hack/bench/runbook.sh)    the manual procedure, beside it
  hack/quickstart.sh --down
NEXT
}

# edit_to VERSION: what a commit would do, version and image.
edit_to() {
  local resource=$DEVENV_DIR/quickstart/$NAME.yaml
  mkdir -p "$(dirname "$resource")"
  [[ -f $resource ]] || sample "$(field .spec.version)" >"$resource"
  sample "$1" >"$resource.new"
  diff -U0 "$resource" "$resource.new" | sed -n '/^[-+] /p' || true
  mv -f "$resource.new" "$resource"
  kubectl_ patch omsupgrade "$NAME" --type merge -p "$(jq -nc --arg version "$1" \
    --arg archive "$OMS_ARCHIVES/oms_$1.tar.gz" \
    '{spec: {version: $version, image: {reference: "oms:\($version)", archive: $archive}}}')" ||
    why 'The API server did not take the edit.'
}

# follow GENERATION SECONDS: the follower's exit code, in $followed.
follow() {
  local pid
  followed=0
  pid=$("$HACK/devenv.sh" controller pid 2>/dev/null) || { followed=4; return 0; }
  python3 "$HACK/lib/follow.py" "$NAME" -n "$NAMESPACE" --generation "$1" --pid "$pid" --timeout "$2" || followed=$?
}

# follow_to VERSION WORD: until OMS is there, or not.
follow_to() {
  local generation
  generation=$(field .metadata.generation)
  [[ -n $generation ]] || why "The OmsUpgrade $NAME cannot be read."
  follow "$generation" 1800
  case $followed in
    0) ;;
    130) exit 130 ;;
    2) why "The $2 did not end within 30 minutes. It continues; this script no longer waits." ;;
    3) why "OMS is in order, but not at $1." ;;
    4) why "The controller has ended. Another one takes the $2 up where it is: hack/devenv.sh controller start, then this again" ;;
    5) why "The OmsUpgrade $NAME can no longer be watched: does the API server answer? (hack/devenv.sh status)" ;;
    *) why "The $2 has stopped." ;;
  esac
}

go_back() {
  if ! environment_answers; then
    [[ -d $DEVENV_DIR ]] && is_state_dir && recall engine >/dev/null ||
      die "there is nothing to roll back: run hack/quickstart.sh first"
    step 'Kubernetes, container engine, OceanBase'
    "$HACK/devenv.sh" up
    environment_answers || die "the environment in $DEVENV_DIR does not answer: hack/devenv.sh status"
    took
  fi
  [[ -n $(field .metadata.name) ]] || die "there is nothing to roll back: run hack/quickstart.sh first"
  is_ours || die "the OmsUpgrade $NAMESPACE/$NAME of this cluster is not of this environment; it is left alone"
  read_instance
  if settled_at "$FROM"; then
    nothing_to_do "$FROM"
    printf '\nForward again: hack/quickstart.sh\n'
    return
  fi
  wake_oms
  "$HACK/devenv.sh" controller pid >/dev/null 2>&1 || "$HACK/devenv.sh" controller start
  if [[ $(field .spec.version) != "$FROM" ]]; then
    step "The edit that rolls back: spec.version and spec.image to $FROM, as a reverted commit has them"
    edit_to "$FROM"
  fi
  step 'The way back (Ctrl-C ends only the watching)'
  follow_to "$FROM" rollback
  took
  summary_back
  printf '\nForward again: hack/quickstart.sh\nDone in %d s.\n' $((SECONDS - began))
}

if [[ $action == back ]]; then
  go_back
  exit 0
fi

if settled_at "$TO"; then
  nothing_to_do "$TO"
  whats_next
  printf '\nTo see the upgrade again: hack/quickstart.sh --down, then hack/quickstart.sh\n'
  exit 0
fi
# Not after minutes of building.
"$HACK/devenv.sh" check "${engine[@]}"

printf 'OMS %s -> %s on this machine; all state in %s.\n' "$FROM" "$TO" "$DEVENV_DIR"
# cached FILE...: one of them exists.
cached() { compgen -G "$1" >/dev/null; }
slow=()
cached "$CACHE_DIR/kube-*/kube-apiserver" || have kube-apiserver || [[ -n ${KUBEBUILDER_ASSETS:-} ]] ||
  slow+=("5 min    a Kubernetes API server, from Go modules (kept in $CACHE_DIR)")
[[ -n ${OMS_CONTROLLER_BIN:-} || -x build/release/oms-upgrade-controller ]] ||
  slow+=('2-4 min  the controller, from C++, beside it (kept in build/)')
cached "$CACHE_DIR/oms-base/*.tar" || slow+=("1 min    a Debian base for OMS, by debootstrap (kept in $CACHE_DIR)")
if ((${#slow[@]})); then
  printf 'This run is slow, because these have to be made once (times on two cores):\n'
  printf '  %s\n' "${slow[@]}"
fi

step 'Packages'
"$HACK/devenv.sh" packages build
"$HACK/devenv.sh" packages run
took

# Beside each other: both take minutes on a new machine. In a group of its own,
# so that an interrupt ends the compilers too.
kube_log=$DEVENV_DIR/logs/kube-build.log
set -m
"$HACK/devenv.sh" kube-build </dev/null >"$kube_log" 2>&1 &
kube_build=$!
set +m
end_build() {
  if kill -0 "$kube_build" 2>/dev/null; then kill -TERM -- "-$kube_build" 2>/dev/null || true; fi
}
trap end_build EXIT
exec 5>"$DEVENV_DIR/quickstart.lock"
flock -n 5 || die "another hack/quickstart.sh runs in $DEVENV_DIR"

step 'Build of the controller (Kubernetes is built beside it)'
if [[ -n ${OMS_CONTROLLER_BIN:-} ]]; then
  say "using $OMS_CONTROLLER_BIN"
else
  "$HACK/build.sh" release oms-upgrade-controller
fi
took

step 'Kubernetes, container engine, OceanBase'
if grep -qs '^building' "$kube_log" && kill -0 "$kube_build" 2>/dev/null; then
  say "waiting for the Kubernetes build (log: $kube_log)"
fi
wait "$kube_build" || { cat "$kube_log" >&2; die 'the Kubernetes binaries could not be built'; }
trap - EXIT
"$HACK/devenv.sh" up "${engine[@]}"
environment_answers || die "the environment in $DEVENV_DIR does not answer: hack/devenv.sh status"
took

have_resource=$(field .metadata.name)
if [[ -n $have_resource ]]; then
  is_ours || die "the cluster has an OmsUpgrade $NAMESPACE/$NAME that is not of this environment; it is left alone"
  say "found the OmsUpgrade '$NAME' of an earlier run, at $(field .spec.version): continuing with it"
elif [[ $(state_of "oms_${TO//./}") == running ]]; then
  die "OMS $TO runs here already, but there is no OmsUpgrade (an earlier run of something else?): hack/quickstart.sh --down, then again"
elif [[ -f $OMS_ROOT/instance.env && $(state_of "oms_${FROM//./}") == running ]]; then
  step "OMS $FROM"
  say "OMS $FROM runs already"
else
  step "OMS $FROM"
  "$HACK/devenv.sh" oms start "$FROM"
  took
fi
read_instance
[[ -z $have_resource ]] || wake_oms

step 'CRD, rights, controller'
"$HACK/devenv.sh" controller start
took

resource=$DEVENV_DIR/quickstart/$NAME.yaml
mkdir -p "$(dirname "$resource")" "$OMS_BACKUPS/$NAME"
if [[ -z $have_resource ]]; then
  step "The resource, at the version that runs ($resource)"
  sample "$FROM" | tee "$resource"
  kubectl apply -f "$resource" || why 'The API server did not take the resource.'
  follow 0 120
  case $followed in
    0) ;;
    130) exit 130 ;;
    2) why "The controller did not say within 2 minutes that OMS is at $FROM." ;;
    4) why 'The controller has ended.' ;;
    *) why "OMS $FROM was not found in order." ;;
  esac
  kubectl_ get omsupgrades
  took
fi

if [[ $(field .spec.version) != "$TO" ]]; then
  step "The edit that upgrades: spec.version and spec.image to $TO"
  edit_to "$TO"
fi

step 'The upgrade (Ctrl-C ends only the watching)'
follow_to "$TO" upgrade
took

summary
whats_next
printf '\nDone in %d min %02d s.\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))

#!/usr/bin/env bash
# The local environment: a real Kubernetes API server, container engine and
# MetaDB, and a stand-in for OMS. See `hack/devenv.sh help`.
set -euo pipefail

LIB=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/lib" && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$LIB/common.sh"
. "$LIB/packages.sh"
. "$LIB/network.sh"
. "$LIB/tls.sh"
. "$LIB/kube.sh"
. "$LIB/engine.sh"
. "$LIB/metadb.sh"
. "$LIB/controller.sh"
. "$LIB/images.sh"
# shellcheck disable=SC1091
[[ -f $LIB/oms.sh ]] && . "$LIB/oms.sh"

usage() {
  cat <<'EOF'
hack/devenv.sh VERB

  up [--metadb oceanbase|mariadb|both] [--engine own|system|auto] [--kubeconfig FILE]
     [--network host|own]
                      start what does not run yet; wait until each part answers.
                      --engine own: a Docker Engine of this environment, which
                      touches no other. system: the one that DOCKER_HOST names,
                      or the system's. auto (default): that one if it answers,
                      else our own. What is chosen stays until 'down'.
                      --kubeconfig uses a cluster of yours instead of a local
                      API server; nothing but this option ever does.
                      --network own: a network namespace of this environment,
                      so that another one can run beside it (Linux, root)
  check [--engine E] [--network N]
                      say what would keep 'up' from its engine, or from such a
                      network; changes nothing
  down [--keep-data]  stop everything and remove its state (caches stay). From
                      an engine of yours: the containers that mount something
                      of DEVENV_DIR, and the images loaded for them
  status              what runs, where
  env                 shell exports: eval "$(hack/devenv.sh env)"
  kube-build          build the Kubernetes binaries now (up does it if needed)
  packages build|run  install the Debian packages for the build, or for running
  oms start VERSION   a fresh OMS of that version     (stand-in, hack/oms-standin)
  oms reset           remove OMS: containers, databases, folders
  oms images          write the stand-in's image archives (start does it if needed)
  oms containers      those of this environment: name, state, image
  controller start [--name NAME] [-- ARGS] | stop | pid | log | address
                      the built controller, with the rights of manifests/

Environment: DEVENV_DIR (state, default .devenv), OMS_CACHE (what outlives
down), DOCKER_HOST (an engine to use), KUBEBUILDER_ASSETS (folder of
kube-apiserver, etcd, kubectl), OMS_CONTROLLER_BIN.
EOF
}

archives_dir() {
  if declare -F oms_archives_dir >/dev/null; then
    oms_archives_dir
  else
    printf '%s/oms-archives\n' "$CACHE_DIR"
  fi
}

# The API server before its store, without which it does not end.
DAEMONS=(apiserver etcd engine containerd oceanbase mariadb)

# part NAME COMMAND...: one part of `up`, timed; runs in the background.
part() {
  local name=$1 start=$EPOCHREALTIME
  shift
  "$@"
  awk -v name="$name" -v a="$start" -v b="$EPOCHREALTIME" \
    'BEGIN {printf "%-12s ready in %.1f s\n", name, b - a}' >&2
}

engine_option() {
  case $1 in
    own | system | auto) ;;
    *) die "--engine takes own, system or auto, not '$1'" ;;
  esac
}

up() {
  local metadb='' kubeconfig='' engine=auto network='' name kind arguments=("$@")
  # Not local: the handler of an interrupt needs them.
  up_before=() up_parts=()
  while (($#)); do
    case $1 in
      --metadb) metadb=${2:-} && shift ;;
      --metadb=*) metadb=${1#*=} ;;
      --engine) engine=${2:-} && shift ;;
      --engine=*) engine=${1#*=} ;;
      --kubeconfig) kubeconfig=${2:-} && shift ;;
      --kubeconfig=*) kubeconfig=${1#*=} ;;
      --network) network=${2:-} && shift ;;
      --network=*) network=${1#*=} ;;
      *) die "up: unknown option $1" ;;
    esac
    shift || die "up: an option lacks its value"
  done
  case $metadb in
    '' | oceanbase | mariadb | both) ;;
    *) die "--metadb takes oceanbase, mariadb or both, not '$metadb'" ;;
  esac
  engine_option "$engine"
  prepare_state
  network_option "$network"
  if [[ $(recall network) == own ]] && ! network_path >/dev/null; then
    [[ $engine != system && -z $kubeconfig ]] ||
      die "--network own is for servers of the environment's own: neither --engine system nor --kubeconfig can be reached from it"
    fetch_all "${metadb:-$(recall metadb || echo oceanbase)}"
    network_start
  fi
  network_enter "$LIB/../devenv.sh" up "${arguments[@]}"
  exec 8>"$DEVENV_DIR/up.lock"
  flock -n 8 || { say "another 'up' or 'down' is under way; waiting for it"; flock 8; }
  metadb=${metadb:-$(recall metadb || echo oceanbase)}
  # shellcheck disable=SC2046
  need_packages $(run_packages)
  for name in "${DAEMONS[@]}"; do
    daemon_pid "$name" >/dev/null && up_before+=("$name")
  done
  remember metadb "$metadb"
  mkdir -p "$OMS_ROOT" "$OMS_BACKUPS"

  # Each part in a group of its own: an interrupt at the terminal reaches this
  # script alone, which then ends them whole, compilers too.
  trap 'up_ended 130' INT
  trap 'up_ended 143' TERM HUP
  kubeconfig=${kubeconfig:-$(recall kubeconfig || true)}
  set -m
  if [[ -n $kubeconfig ]]; then
    part Kubernetes kube_use "$kubeconfig" </dev/null & up_parts+=("$!")
  else
    part Kubernetes kube_start </dev/null & up_parts+=("$!")
  fi
  part Engine engine_start "$engine" </dev/null & up_parts+=("$!")
  for kind in $(metadb_kinds "$metadb"); do
    case $kind in oceanbase) name=OceanBase ;; mariadb) name=MariaDB ;; esac
    part "$name" metadb_start "$kind" </dev/null & up_parts+=("$!")
  done
  set +m
  up_wait || up_ended 1
  trap - INT TERM HUP
  metadb_link_primary
  say "up. Next: eval \"\$(hack/devenv.sh env)\"; hack/devenv.sh status"
}

# network_option host|own|'': settled at the first `up`, as all that runs is in it.
network_option() {
  local settled
  settled=$(recall network || true)
  case $1 in
    '') [[ -n $settled ]] || remember network host ;;
    host | own)
      [[ -z $settled || $settled == "$1" ]] ||
        die "this environment runs in the network '$settled'; 'hack/devenv.sh down' first, then up --network $1"
      if [[ $1 == own ]]; then
        have ip || need_packages iproute2
        network_check
      fi
      remember network "$1"
      ;;
    *) die "--network takes host or own, not '$1'" ;;
  esac
}

# fetch_all METADB: what `up` and `oms start` would fetch, while the world can be reached.
fetch_all() {
  # shellcheck disable=SC2046
  need_packages $(run_packages)
  kube_binaries etcd kube-apiserver kubectl
  case $1 in oceanbase | both) fetch_seekdb ;; esac
  oms_build_images
}

# up_wait: all parts, also where one has failed: their lines say what did.
up_wait() {
  local pid failed=0
  for pid in "${up_parts[@]}"; do wait "$pid" || failed=1; done
  return "$failed"
}

# up_ended CODE: this run ends without an environment. What it had started is
# stopped again, what ran before goes on.
up_ended() {
  local pid name
  trap '' INT TERM HUP
  for pid in "${up_parts[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  up_wait 2>/dev/null || true
  for name in "${DAEMONS[@]}"; do
    [[ " ${up_before[*]} " == *" $name "* ]] || stop_daemon "$name" 5 2>/dev/null
  done
  [[ " ${up_before[*]} " == *' engine '* ]] || engine_unmount
  (($1 == 1)) || say 'interrupted; what this run had started was stopped again'
  (($1 != 1)) || say 'error: the environment is not complete; what this run had started was stopped again'
  exit "$1"
}

down() {
  local keep='' name
  case ${1:-} in
    '') ;;
    --keep-data) keep=1 ;;
    *) die "down: unknown option $1" ;;
  esac
  if [[ ! -d $DEVENV_DIR ]]; then
    say "nothing to stop: $DEVENV_DIR does not exist"
    return 0
  fi
  is_state_dir || die "$DEVENV_DIR is no state folder of this script; nothing is removed"
  exec 8>"$DEVENV_DIR/up.lock"
  flock -n 8 || { say "another 'up' or 'down' is under way; waiting for it"; flock 8; }
  controller_stop_all
  if [[ -z $keep ]]; then
    if declare -F oms_down >/dev/null; then oms_down || say "note: oms_down failed; continuing"; fi
    if [[ -n $(recall kubeconfig || true) ]]; then controller_leave_cluster; fi
  fi
  engine_stop "$keep"
  metadb_stop
  kube_stop
  # Daemons that other scripts started by start_daemon.
  for name in "$DEVENV_DIR"/pids/*; do
    [[ -e $name ]] && stop_daemon "${name##*/}"
  done
  [[ -z $keep ]] || { say "stopped; data is kept in $DEVENV_DIR"; return 0; }
  if name=$(recall run-dir) && [[ $name == /tmp/oms-devenv.* ]]; then rm -rf --one-file-system -- "$name"; fi
  # Never across a mount: a folder that an engine still holds is reported.
  # The mark goes last, so that a `down` that was stopped here can be repeated.
  find "$DEVENV_DIR" -mindepth 1 -maxdepth 1 ! -name .oms-devenv -exec rm -rf --one-file-system -- {} + &&
    rm -rf --one-file-system -- "$DEVENV_DIR" ||
    die "$DEVENV_DIR could not be removed whole; is something still mounted below it? (findmnt -R $DEVENV_DIR)"
  say "down; caches stay in $CACHE_DIR"
}

export_line() { printf 'export %s=%q\n' "$1" "$2"; }

print_env() {
  local kind engine network
  [[ -d $DEVENV_DIR ]] || die "no environment in $DEVENV_DIR: hack/devenv.sh up"
  kind=$(metadb_primary)
  engine=$(engine_host) || die "the environment was never completely up: hack/devenv.sh up"
  export_line DEVENV_DIR "$DEVENV_DIR"
  printf 'case ":$PATH:" in *:%q:*) ;; *) export PATH=%q:"$PATH" ;; esac\n' "$KUBE_BIN" "$KUBE_BIN"
  export_line KUBECONFIG "$(kube_config)"
  export_line DOCKER_HOST "$engine"
  if [[ $(recall engine) == own ]]; then
    printf 'unset DOCKER_TLS DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_CONTEXT\n'
    export_line OMS_OWN_ENGINE "$engine"
    export_line OMS_ENGINE_TCP "tcp://127.0.0.1:$(free_port engine)"
    export_line OMS_ENGINE_TLS_DIR "$ENGINE_TLS"
  else
    # Of another environment, that this shell had before.
    printf 'unset OMS_OWN_ENGINE OMS_ENGINE_TCP OMS_ENGINE_TLS_DIR\n'
  fi
  if network=$(network_path); then export_line OMS_NETWORK "$network"; else printf 'unset OMS_NETWORK\n'; fi
  export_line METADB_KIND "$kind"
  metadb_exports METADB "$kind"
  if [[ $kind != mariadb ]] && daemon_pid mariadb >/dev/null; then metadb_exports METADB_MARIADB mariadb; fi
  export_line OMS_ARCHIVES "$(archives_dir)"
  export_line OMS_ROOT "$OMS_ROOT"
  export_line OMS_BACKUPS "$OMS_BACKUPS"
}

# metadb_exports PREFIX KIND
metadb_exports() {
  local dir=$DEVENV_DIR/metadb/$2
  export_line "$1_HOST" 127.0.0.1
  export_line "$1_PORT" "$(free_port "metadb-$2")"
  export_line "$1_USER" "$METADB_USER"
  export_line "$1_PASSWORD" "$(cat "$dir/password")"
  export_line "$1_DEFAULTS" "$dir/client.cnf"
  if [[ $2 == mariadb ]]; then export_line "$1_CA" "$dir/tls/ca.pem"; fi
}

status_line() { printf '%-16s %-9s %-58s %s\n' "$1" "$2" "$3" "$4"; }

# status_of PART DAEMON ADDRESS COMMAND...
status_of() {
  local part=$1 daemon=$2 address=$3 pid state=stopped
  shift 3
  pid=$(daemon_pid "$daemon") || pid=-
  if [[ $pid != - ]]; then
    state=silent
    "$@" >/dev/null 2>&1 && state=ready
  fi
  status_line "$part" "$state" "$address" "$pid"
}

status() {
  local name engine state
  [[ -d $DEVENV_DIR ]] || die "no environment in $DEVENV_DIR: hack/devenv.sh up"
  status_line PART STATE ADDRESS PID
  if recall kubeconfig >/dev/null; then
    state=silent
    kubectl_admin --request-timeout 5s get --raw /readyz >/dev/null 2>&1 && state=ready
    status_line Kubernetes "$state" "$(kube_config)" "(yours)"
  else
    status_of etcd etcd "http://127.0.0.1:$(free_port etcd)" kube_etcd_ready "$(free_port etcd)"
    status_of kube-apiserver apiserver "https://127.0.0.1:$(free_port apiserver)" kube_ready
  fi
  engine=$(engine_host) || engine=-
  if [[ $(recall engine || true) == own ]]; then
    status_of engine engine "$engine" engine_answers "$engine"
    status_of 'engine (TLS)' engine "tcp://127.0.0.1:$(free_port engine)" engine_answers_tls
  elif [[ $engine != - ]]; then
    state=silent
    engine_answers "$engine" && state=ready
    status_line engine "$state" "$engine" "(yours)"
  fi
  for name in oceanbase mariadb; do
    [[ -d $DEVENV_DIR/metadb/$name ]] &&
      status_of "$name" "$name" "127.0.0.1:$(free_port "metadb-$name")" metadb_answers "$name"
  done
  for name in $(controller_names); do
    status_of "controller/$name" "controller-$name" "http://127.0.0.1:$(free_port "controller-$name")" \
      controller_ready "$(free_port "controller-$name")"
  done
  if [[ $engine != - ]] && engine_answers "$engine" && declare -F oms_list >/dev/null; then
    DOCKER_HOST=$engine oms_list |
      while IFS=$'\t' read -r name state image; do status_line "$name" "$state" "$image" container; done
  fi
}

oms_command() {
  local verb=${1:-} exports
  declare -F oms_start >/dev/null || die "hack/lib/oms.sh is missing: no OMS stand-in in this checkout"
  # The images need no environment, only the cache.
  if [[ $verb == images ]]; then
    oms_build_images
    return
  fi
  [[ -d $DEVENV_DIR ]] || die "no environment in $DEVENV_DIR: hack/devenv.sh up"
  exports=$(print_env)
  eval "$exports"
  case $verb in
    start)
      [[ -n ${2:-} ]] || die "oms start VERSION (for instance 4.3.0)"
      oms_lock
      oms_start "$2"
      ;;
    reset)
      oms_lock
      oms_reset
      ;;
    containers) oms_list ;;
    *) die "oms start VERSION | oms reset | oms images | oms containers" ;;
  esac
}

verb=${1:-help}
# `up` makes the network first; these say what is remembered, or need none.
case $verb in
  up | check | env | kube-build | packages | help | -h | --help) ;;
  *) network_enter "$LIB/../devenv.sh" "$@" ;;
esac
(($#)) && shift
case $verb in
  up) up "$@" ;;
  down) down "$@" ;;
  check)
    engine=auto
    while (($#)); do
      case $1 in
        --engine) engine=${2:-} && shift ;;
        --engine=*) engine=${1#*=} ;;
        --network) [[ ${2:-} != own ]] || network_check && shift ;;
        --network=*) [[ ${1#*=} != own ]] || network_check ;;
        *) die "check: unknown option $1" ;;
      esac
      shift || die "check: an option lacks its value"
    done
    engine_option "$engine"
    prepare_state
    engine_check "$engine"
    ;;
  status) status ;;
  env) print_env ;;
  kube-build)
    prepare_state
    have jq || need_packages jq
    kube_binaries etcd kube-apiserver kubectl
    ;;
  packages)
    prepare_state
    # shellcheck disable=SC2046
    case ${1:-} in
      build) need_packages $(build_packages) ;;
      run) need_packages $(run_packages) ;;
      *) die "packages build|run" ;;
    esac
    ;;
  oms) oms_command "$@" ;;
  controller) controller_command "$@" ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    die "unknown verb: $verb"
    ;;
esac

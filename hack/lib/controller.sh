# shellcheck shell=bash
# Runs the built controller against the local environment, with the service
# account and the rights of manifests/, not as an administrator.

CONTROLLER_NAMESPACE=oms-system
CONTROLLER_ACCOUNT=oms-upgrade-controller

controller_binary() {
  local path=${OMS_CONTROLLER_BIN:-$REPO_DIR/build/release/oms-upgrade-controller}
  [[ -x $path ]] || die "no controller at $path: build it (cmake --preset release && cmake --build --preset release) or set OMS_CONTROLLER_BIN"
  # It is started with another working directory.
  realpath -- "$path"
}

# kube_apply FOLDER: a kustomization of this repository.
kube_apply() {
  kubectl_admin apply --server-side --force-conflicts -k "$REPO_DIR/$1" >>"$DEVENV_DIR/logs/manifests.log" 2>&1 || {
    tail -n 5 "$DEVENV_DIR/logs/manifests.log" >&2
    die "kubectl apply -k $1 failed (log: $DEVENV_DIR/logs/manifests.log)"
  }
}

# controller_manifests: the resource and the rights. The Deployment is left
# out where it can be: the process below is the controller.
controller_manifests() {
  local crd=crd
  remember applied yes
  [[ -f $REPO_DIR/manifests/crd/kustomization.yaml ]] && crd=manifests/crd
  kube_apply "$crd"
  kubectl_admin get namespace "$CONTROLLER_NAMESPACE" >/dev/null 2>&1 ||
    kubectl_admin create namespace "$CONTROLLER_NAMESPACE" >/dev/null
  if [[ -f $REPO_DIR/manifests/rbac/kustomization.yaml ]]; then
    kube_apply manifests/rbac
  else
    kube_apply manifests
  fi
  kubectl_admin wait --for=condition=Established --timeout=30s \
    "$(kubectl_admin get crd -o name | sed -n '/\/omsupgrades\./p' | sed -n 1p)" >/dev/null ||
    die "the API server has no established resource omsupgrades"
}

# controller_applied: what says that the manifests of this checkout are in the
# cluster as they were applied: their content, and the server's versions of them.
controller_applied() {
  local contents versions
  contents=$(cd "$REPO_DIR" && find crd manifests -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  versions=$(kubectl_admin -n "$CONTROLLER_NAMESPACE" get -o jsonpath='{.items[*].metadata.resourceVersion}' \
    "namespace/$CONTROLLER_NAMESPACE" crd/omsupgrades.oms.oceanbase.com "serviceaccount/$CONTROLLER_ACCOUNT" \
    "clusterrole/$CONTROLLER_ACCOUNT" "clusterrolebinding/$CONTROLLER_ACCOUNT" \
    "role/$CONTROLLER_ACCOUNT" "rolebinding/$CONTROLLER_ACCOUNT" 2>/dev/null) || return 1
  printf '%s %s\n' "${contents%% *}" "$versions"
}

# controller_leave_cluster: on `down`, of a cluster of the user's. The resources
# that speak of this environment go with it; what others may use stays.
controller_leave_cluster() {
  local file namespace name
  file=$(kube_config)
  recall applied >/dev/null || return 0
  if kubectl_admin --request-timeout 20s get omsupgrades -A -o json >"$DEVENV_DIR/state/left.json" 2>/dev/null; then
    # Nobody is left to take a finalizer away.
    jq -r --arg folder "$DEVENV_DIR/" '.items[] | select((.spec.backup.directory // "") | startswith($folder))
      | [.metadata.namespace, .metadata.name] | @tsv' "$DEVENV_DIR/state/left.json" |
      while IFS=$'\t' read -r namespace name; do
        kubectl_admin -n "$namespace" patch omsupgrade "$name" --type merge -p '{"metadata":{"finalizers":null}}' >/dev/null &&
          kubectl_admin -n "$namespace" delete omsupgrade "$name" --timeout 30s >/dev/null &&
          say "removed from the cluster of $file: the OmsUpgrade $namespace/$name of this environment" ||
          say "note: the OmsUpgrade $namespace/$name of this environment stays in the cluster of $file"
      done
  else
    say "note: the cluster of $file does not answer; an OmsUpgrade of this environment may be left in it"
  fi
  cat >&2 <<EOF
The cluster of $file keeps what was applied to it. To remove that too:
  kubectl --kubeconfig $file delete -k $REPO_DIR/manifests/rbac
  kubectl --kubeconfig $file delete namespace $CONTROLLER_NAMESPACE
  kubectl --kubeconfig $file delete -k $REPO_DIR/crd     # and with it every OmsUpgrade there is in it
EOF
}

# controller_kubeconfig DIR: server and CA of the cluster in use, and a token
# of the service account in a file that the controller reads again.
controller_kubeconfig() {
  local dir=$1
  mkdir -p "$dir"
  chmod 0700 "$dir"
  (
    umask 077
    kubectl_admin -n "$CONTROLLER_NAMESPACE" create token "$CONTROLLER_ACCOUNT" --duration 24h >"$dir/token.tmp" ||
      die "no token for the service account $CONTROLLER_NAMESPACE/$CONTROLLER_ACCOUNT; does manifests/ make it?"
    mv -f "$dir/token.tmp" "$dir/token"
    kubectl_admin config view --minify --flatten --raw -o json |
      jq --arg token "$dir/token" --arg account "$CONTROLLER_ACCOUNT" \
        '.users = [{name: $account, user: {tokenFile: $token}}]
         | .contexts[0].context.user = $account' >"$dir/kubeconfig.tmp"
    mv -f "$dir/kubeconfig.tmp" "$dir/kubeconfig"
  )
}

controller_ready() { [[ $(curl -fsS -m 2 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$1/readyz") == 200 ]]; }

# controller_start NAME [ARGS...]: returns when /readyz answers.
controller_start() {
  local name=$1 daemon=controller-$1 dir=$DEVENV_DIR/controller/$1 binary port engine flags applied
  shift
  if daemon_pid "$daemon" >/dev/null; then
    say "controller '$name' runs already (pid $(daemon_pid "$daemon"))"
    return 0
  fi
  binary=$(controller_binary)
  # A controller is started anew many times, by tests above all.
  if [[ ! -s $dir/kubeconfig || -z $(find "$dir/token" -mmin -600 2>/dev/null) ]] ||
    ! applied=$(controller_applied) || [[ $applied != "$(recall applied-as)" ]]; then
    kubectl_admin get --raw /readyz >/dev/null 2>&1 ||
      die "the API server does not answer: hack/devenv.sh up"
    controller_manifests
    controller_kubeconfig "$dir"
    remember applied-as "$(controller_applied)"
  fi
  port=$(free_port "controller-$name")
  if port_in_use "$port"; then
    forget_port "controller-$name"
    port=$(free_port "controller-$name")
  fi
  engine=$(engine_host) || die "no engine was chosen yet: hack/devenv.sh up"
  mkdir -p "$OMS_BACKUPS"
  flags=(--kubeconfig "$dir/kubeconfig" --http-addr "127.0.0.1:$port" --lease-namespace "$CONTROLLER_NAMESPACE"
    --log-format "${OMS_LOG_FORMAT:-text}"
    --allow-engine "$engine" --allow-engine 'tcp://127.0.0.1:*'
    --allow-backup-dir "$OMS_BACKUPS" --allow-archive-dir "$(dirname "$(archives_dir)")")
  # The environment is kept small: nothing of METADB_PASSWORD reaches it.
  (
    cd / || exit 1
    start_daemon "$daemon" env -i PATH="$PATH" HOME="${HOME:-/root}" TMPDIR="${TMPDIR:-/tmp}" \
      ${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} ${UBSAN_OPTIONS:+UBSAN_OPTIONS="$UBSAN_OPTIONS"} \
      "$binary" "${flags[@]}" "$@"
  )
  daemon_ready "$daemon" 30 controller_ready "$port" || {
    stop_daemon "$daemon" 5
    die "the controller '$name' did not become ready (http://127.0.0.1:$port/readyz; log: $DEVENV_DIR/logs/$daemon.log)"
  }
  say "controller '$name' is ready: pid $(daemon_pid "$daemon"), http://127.0.0.1:$port, log $DEVENV_DIR/logs/$daemon.log"
}

controller_names() {
  local file
  for file in "$DEVENV_DIR"/pids/controller-*; do
    [[ -e $file ]] && printf '%s\n' "${file##*/controller-}"
  done
  return 0
}

controller_stop_all() {
  local name
  for name in $(controller_names); do stop_daemon "controller-$name" 30; done
}

# controller VERB [--name NAME] [-- ARGS]
controller_command() {
  local verb=${1:-} name=main args=()
  (($#)) && shift
  while (($#)); do
    case $1 in
      --name)
        [[ ${2:-} =~ ^[a-z0-9-]+$ ]] || die "--name takes small letters, digits and dashes"
        name=$2
        shift 2
        ;;
      --)
        shift
        args=("$@")
        break
        ;;
      *) die "controller $verb: unknown option $1 (arguments for the controller come after --)" ;;
    esac
  done
  case $verb in
    start) controller_start "$name" "${args[@]}" ;;
    stop)
      daemon_pid "controller-$name" >/dev/null || say "controller '$name' does not run"
      stop_daemon "controller-$name" 30
      ;;
    pid) daemon_pid "controller-$name" || die "controller '$name' does not run" ;;
    log)
      [[ -f $DEVENV_DIR/logs/controller-$name.log ]] || die "controller '$name' was never started"
      cat "$DEVENV_DIR/logs/controller-$name.log"
      ;;
    address) printf 'http://127.0.0.1:%s\n' "$(free_port "controller-$name")" ;;
    *) die "controller start|stop|pid|log|address [--name NAME] [-- ARGS]" ;;
  esac
}

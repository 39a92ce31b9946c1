# shellcheck shell=bash
# The container engine: the system's Docker Engine if it answers, else a
# dockerd of our own with its own containerd, data, socket and TLS listener.

ENGINE_DIR=$DEVENV_DIR/engine
ENGINE_TLS=$DEVENV_DIR/engine-tls
SYSTEM_ENGINE=unix:///var/run/docker.sock

engine_socket() { short_path docker.sock "$ENGINE_DIR/docker.sock"; }

# engine_exec_root: where dockerd and containerd keep the sockets of what runs.
engine_exec_root() {
  local dir
  dir=$(short_path docker-exec "$ENGINE_DIR/exec")
  ((${#dir} <= 60)) || dir=$(run_dir)/exec
  printf '%s\n' "$dir"
}

engine_containerd() { printf '%s/containerd.sock\n' "$(engine_exec_root)"; }

# engine_answers HOST: an engine speaks there (the client alone would do). One
# that is stopped takes the connection and never answers.
engine_answers() { timeout 10 docker -H "$1" version --format '{{.Server.Version}}' >/dev/null 2>&1; }

engine_answers_tls() {
  timeout 10 docker -H "tcp://127.0.0.1:$(free_port engine)" --tlsverify --tlscacert "$ENGINE_TLS/ca.pem" \
    --tlscert "$ENGINE_TLS/cert.pem" --tlskey "$ENGINE_TLS/key.pem" version
}

# engine_forget_tls: what a person's shell says for an engine of theirs would
# make the client speak TLS to our socket too.
engine_forget_tls() { unset DOCKER_TLS DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_CONTEXT; }

# engine_of_user: the engine that DOCKER_HOST names, if a person set it. `env`
# sets it as well, to the engine of an environment (OMS_OWN_ENGINE), perhaps of
# another one or of one that is gone: that is nobody's choice.
engine_of_user() {
  [[ -n ${DOCKER_HOST:-} && $DOCKER_HOST != "${OMS_OWN_ENGINE:-}" && $DOCKER_HOST != "unix://$(engine_socket)" ]] || return 1
  printf '%s\n' "$DOCKER_HOST"
}

# engine_choice own|system|auto: prints "own", or the address of the one to use.
engine_choice() {
  local wanted=$1 settled choice
  settled=$(recall engine || true)
  case $wanted in
    own) choice=own ;;
    system) choice=$(engine_of_user || printf '%s\n' "$SYSTEM_ENGINE") ;;
    auto)
      if [[ -n $settled ]]; then
        choice=$settled
        if engine_of_user >/dev/null && [[ $settled != "$DOCKER_HOST" ]]; then
          say "note: this environment stays with the engine it began with ($(engine_host)); DOCKER_HOST is not looked at"
        fi
      elif ! choice=$(engine_of_user); then
        choice=own
        if [[ -S ${SYSTEM_ENGINE#unix://} ]] && engine_answers "$SYSTEM_ENGINE"; then choice=$SYSTEM_ENGINE; fi
      fi
      ;;
  esac
  # Once chosen it stays: containers of this environment live in it.
  [[ -z $settled || $settled == "$choice" ]] ||
    die "this environment has its containers in another engine ($(engine_host)); 'hack/devenv.sh down' first, then up --engine $wanted"
  printf '%s\n' "$choice"
}

# engine_is_here HOST: its containers see the folders and servers of this host.
engine_is_here() { [[ $1 =~ ^(unix://|tcp://(127\.[0-9.]+|localhost|\[::1\])(:|$)) ]]; }

# engine_host: the address that `up` settled on.
engine_host() {
  local engine
  engine=$(recall engine) || return 1
  if [[ $engine == own ]]; then
    printf 'unix://%s\n' "$(engine_socket)"
  else
    printf '%s\n' "$engine"
  fi
}

engine_cannot() {
  die "$1. Point DOCKER_HOST at an engine that you may use (export DOCKER_HOST=unix:///...) and run 'hack/devenv.sh up --engine system'"
}

# Each check names itself: a dockerd that fails says much, but not why.
engine_preconditions() {
  local free name
  ((EUID == 0)) ||
    engine_cannot "starting a Docker Engine needs root (this is user $(id -un))"
  unshare -m mount -t tmpfs none /mnt 2>/dev/null ||
    engine_cannot "a Docker Engine cannot be started here: this host gives no right to mount (CAP_SYS_ADMIN)"
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    cgroup_writable /sys/fs/cgroup ||
      engine_cannot "a Docker Engine cannot be started here: no cgroup can be made below /sys/fs/cgroup (v2)"
  else
    for name in memory devices pids cpu; do
      cgroup_writable "/sys/fs/cgroup/$name" ||
        engine_cannot "a Docker Engine cannot be started here: no cgroup can be made below /sys/fs/cgroup/$name (v1)"
    done
  fi
  free=$(df -Pm "$DEVENV_DIR" | awk 'NR == 2 {print $4}')
  ((free >= 4096)) ||
    engine_cannot "the engine's data needs 4 GB of disk, $DEVENV_DIR has $free MB (DEVENV_DIR may name another folder)"
}

cgroup_writable() {
  local probe=$1/oms-devenv-probe-$$
  mkdir "$probe" 2>/dev/null || return 1
  rmdir "$probe"
}

# bounding_set_lacks: some capability of this kernel is not in our bounding set.
bounding_set_lacks() {
  local bounding last all
  bounding=$(awk '/^CapBnd:/ {print $2}' /proc/self/status)
  last=$(cat /proc/sys/kernel/cap_last_cap)
  all=$(((1 << (last + 1)) - 1))
  (((0x$bounding & all) != all))
}

# engine_check own|system|auto: what would keep `up` from having an engine, said
# before anything slow is begun. Nothing is installed or started for it.
engine_check() {
  local choice=own
  if have docker; then choice=$(engine_choice "$1"); fi
  if [[ $choice != own ]]; then
    engine_usable "$choice"
  elif ! daemon_pid engine >/dev/null; then
    engine_preconditions
  fi
}

engine_usable() {
  engine_is_here "$1" ||
    die "the engine at $1 is not on this host: its containers would see neither the folders nor the servers of this environment. Unset DOCKER_HOST, or: hack/devenv.sh up --engine own"
  engine_answers "$1" ||
    die "no Docker Engine answers at $1: $(timeout 10 docker -H "$1" version 2>&1 | tail -n1). Start it, or: hack/devenv.sh up --engine own (after 'down', where this environment has used that one)"
}

# engine_start own|system|auto
engine_start() {
  local choice
  if ! have docker; then need_packages docker.io; fi
  choice=$(engine_choice "$1")
  if [[ $choice != own ]]; then
    engine_usable "$choice"
    remember engine "$choice"
    say "using the Docker Engine at $choice"
    return 0
  fi
  engine_start_own
}

engine_start_own() {
  local sock port exec_root pidfile runtimes='{}' default=runc config=$ENGINE_DIR/daemon.json
  engine_forget_tls
  sock=$(engine_socket)
  if daemon_pid engine >/dev/null && daemon_pid containerd >/dev/null && engine_answers "unix://$sock"; then
    remember engine own
    return 0
  fi
  engine_preconditions
  have dockerd || need_packages docker.io
  have dockerd || engine_cannot "the package docker.io brought no dockerd"
  have containerd || engine_cannot "there is a dockerd here, but no containerd"
  mkdir -p "$ENGINE_DIR/data"
  exec_root=$(engine_exec_root)
  mkdir -p "$exec_root"
  pidfile=$ENGINE_DIR/docker.pid
  port=$(free_port engine)
  tls_ca "$ENGINE_TLS" 'oms devenv engine CA'
  tls_cert "$ENGINE_TLS" server- /CN=localhost server 'DNS:localhost,IP:127.0.0.1'
  tls_cert "$ENGINE_TLS" '' /CN=oms-client client
  if bounding_set_lacks; then
    say "this host's capability bounding set lacks something: containers run behind hack/lib/runc-capped.sh"
    runtimes=$(jq -nc --arg path "$REPO_DIR/hack/lib/runc-capped.sh" '{capped: {path: $path}}')
    default=capped
  fi
  # A file of our own: the system's /etc/docker/daemon.json is not read.
  jq -n --argjson runtimes "$runtimes" --arg default "$default" \
    '{"runtimes": $runtimes, "default-runtime": $default, "log-driver": "json-file",
      "log-opts": {"max-size": "50m"}}' >"$config"
  if port_in_use "$port" && ! daemon_pid engine >/dev/null; then
    die "port $port, which is the engine's TLS port here, is taken by another process; end that one, or 'hack/devenv.sh down' and up again to choose another one"
  fi
  engine_start_containerd
  # A dockerd that was killed leaves these.
  if ! daemon_pid engine >/dev/null; then rm -f "$pidfile" "$sock"; fi
  # Containers use the host's network, so the engine needs no bridge of its own
  # and leaves the firewall alone.
  start_daemon engine dockerd --config-file "$config" --data-root "$ENGINE_DIR/data" \
    --exec-root "$exec_root" --pidfile "$pidfile" --containerd "$(engine_containerd)" \
    -H "unix://$sock" -H "tcp://127.0.0.1:$port" \
    --tlsverify --tlscacert "$ENGINE_TLS/ca.pem" --tlscert "$ENGINE_TLS/server-cert.pem" \
    --tlskey "$ENGINE_TLS/server-key.pem" --iptables=false --bridge=none
  if ! daemon_ready engine 60 engine_answers "unix://$sock"; then
    stop_daemon engine 10
    stop_daemon containerd 10
    engine_unmount
    engine_cannot "the Docker Engine of our own did not start (log: $DEVENV_DIR/logs/engine.log)"
  fi
  remember engine own
  case $(docker -H "unix://$sock" info --format '{{.Driver}}' 2>/dev/null) in
    overlay2) ;;
    *) say "note: the engine found no overlay2 on $ENGINE_DIR; image loads will be slow and large" ;;
  esac
}

# A containerd of our own as well: a dockerd without one takes the system's
# where that runs, and with it the namespace of the system's own containers.
engine_start_containerd() {
  local config=$ENGINE_DIR/containerd.toml sock
  sock=$(engine_containerd)
  # A JSON string is a TOML string.
  {
    printf 'version = 2\nroot = %s\nstate = %s\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' \
      "$(jq -n --arg v "$ENGINE_DIR/containerd" '$v')" "$(jq -n --arg v "${sock%/*}/containerd" '$v')"
    printf '[grpc]\n  address = %s\n' "$(jq -n --arg v "$sock" '$v')"
  } >"$config"
  start_daemon containerd containerd --config "$config"
  if ! daemon_ready containerd 60 containerd_answers "$sock"; then
    stop_daemon containerd 10
    engine_cannot "the containerd of the engine of our own did not start (log: $DEVENV_DIR/logs/containerd.log)"
  fi
}

containerd_answers() { timeout 10 ctr --address "$1" version; }

# engine_left_running: an engine of our own that was killed: what it ran goes on.
engine_left_running() { pgrep -f -- "^[^ ]*containerd-shim.* -address $(engine_containerd)( |\$)" >/dev/null; }

# What a dockerd that was killed leaves mounted below our folders; rm would
# otherwise walk into it.
engine_unmount() {
  local roots=("$ENGINE_DIR") root target
  root=$(recall run-dir) && roots+=("$root")
  for root in "${roots[@]}"; do
    awk -v root="$root/" 'index($5, root) == 1 {print $5}' /proc/self/mountinfo | sort -r |
      while read -r target; do umount -l "$(printf '%b' "$target")" 2>/dev/null || true; done
  done
}

# engine_stop [KEEP]: removes the containers of our own engine first, as its
# shims outlive it (KEEP: they only end). An engine of the user's keeps all but
# what oms_down has removed.
engine_stop() {
  local sock keep=${1:-}
  if [[ $(recall engine || true) != own ]] && ! daemon_pid engine >/dev/null && ! daemon_pid containerd >/dev/null; then
    return 0
  fi
  engine_forget_tls
  sock=$(engine_socket)
  if [[ -z $keep ]]; then
    if ! daemon_pid engine >/dev/null && engine_left_running; then
      say "the engine was killed, and what it ran keeps running: starting it once more, to end that"
      (engine_start_own) || say "note: containers of this environment may still run"
    fi
    if daemon_pid engine >/dev/null && engine_answers "unix://$sock"; then
      docker -H "unix://$sock" ps -aq 2>/dev/null | xargs -r docker -H "unix://$sock" rm -f >/dev/null 2>&1 || true
    fi
  fi
  stop_daemon engine 30
  stop_daemon containerd 10
  engine_unmount
}

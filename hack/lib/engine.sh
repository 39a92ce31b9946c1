# shellcheck shell=bash
# The container engine: the system's Docker Engine if it answers, else a
# dockerd of our own with its own data, socket and TLS listener.

ENGINE_DIR=$DEVENV_DIR/engine
ENGINE_TLS=$DEVENV_DIR/engine-tls

engine_socket() { short_path docker.sock "$ENGINE_DIR/docker.sock"; }

# engine_answers HOST: an engine speaks there (the client alone would do).
engine_answers() { docker -H "$1" version --format '{{.Server.Version}}' >/dev/null 2>&1; }

engine_answers_tls() {
  docker -H "tcp://127.0.0.1:$(free_port engine)" --tlsverify --tlscacert "$ENGINE_TLS/ca.pem" \
    --tlscert "$ENGINE_TLS/cert.pem" --tlskey "$ENGINE_TLS/key.pem" version
}

# Which engine: prints "own", or the address of the one to use.
engine_choice() {
  local own
  own=unix://$(engine_socket)
  if [[ -n ${DOCKER_HOST:-} && $DOCKER_HOST != "$own" ]]; then
    printf '%s\n' "$DOCKER_HOST"
  elif [[ $(recall engine || true) == own ]]; then
    # Once chosen it stays: containers of this environment live in it.
    printf 'own\n'
  elif [[ -S /var/run/docker.sock ]] && engine_answers unix:///var/run/docker.sock; then
    printf 'unix:///var/run/docker.sock\n'
  else
    printf 'own\n'
  fi
}

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
  die "$1. Point DOCKER_HOST at an engine that you may use (export DOCKER_HOST=unix:///... or tcp://...) and run 'hack/devenv.sh up' again"
}

# Each check names itself: a dockerd that fails says much, but not why.
engine_preconditions() {
  local free name
  ((EUID == 0)) ||
    engine_cannot "no Docker Engine answers, and starting one needs root (this is user $(id -un))"
  unshare -m mount -t tmpfs none /mnt 2>/dev/null ||
    engine_cannot "no Docker Engine answers, and none can be started: this host gives no right to mount (CAP_SYS_ADMIN)"
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    cgroup_writable /sys/fs/cgroup ||
      engine_cannot "no Docker Engine answers, and none can be started: no cgroup can be made below /sys/fs/cgroup (v2)"
  else
    for name in memory devices pids cpu; do
      cgroup_writable "/sys/fs/cgroup/$name" ||
        engine_cannot "no Docker Engine answers, and none can be started: no cgroup can be made below /sys/fs/cgroup/$name (v1)"
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

engine_start() {
  local choice
  if ! have docker; then need_packages docker.io; fi
  choice=$(engine_choice)
  if [[ $choice != own ]]; then
    engine_answers "$choice" ||
      die "DOCKER_HOST is $choice, but no Docker Engine answers there: $(docker -H "$choice" version 2>&1 | tail -n1). Start it, or unset DOCKER_HOST and the script starts an engine of its own"
    remember engine "$choice"
    say "using the Docker Engine at $choice"
    return 0
  fi
  engine_start_own
}

engine_start_own() {
  local sock port exec_root pidfile runtimes='{}' default=runc config=$ENGINE_DIR/daemon.json
  sock=$(engine_socket)
  if daemon_pid engine >/dev/null && engine_answers "unix://$sock"; then
    remember engine own
    return 0
  fi
  engine_preconditions
  have dockerd || need_packages docker.io
  have dockerd || engine_cannot "the package docker.io brought no dockerd"
  mkdir -p "$ENGINE_DIR/data"
  exec_root=$(short_path docker-exec "$ENGINE_DIR/exec")
  ((${#exec_root} <= 60)) || exec_root=$(run_dir)/exec
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
  # A dockerd that was killed leaves these. The next one would wait in vain for
  # the containerd whose pid it finds, be that a zombie or another process.
  if ! daemon_pid engine >/dev/null; then
    engine_end_containerd "$exec_root"
    rm -f "$pidfile" "$sock"
  fi
  if port_in_use "$port" && ! daemon_pid engine >/dev/null; then
    die "port $port, which is the engine's TLS port here, is taken by another process; end that one, or 'hack/devenv.sh down' and up again to choose anew"
  fi
  # Containers use the host's network, so the engine needs no bridge of its own
  # and leaves the firewall alone.
  start_daemon engine dockerd --config-file "$config" --data-root "$ENGINE_DIR/data" \
    --exec-root "$exec_root" --pidfile "$pidfile" -H "unix://$sock" -H "tcp://127.0.0.1:$port" \
    --tlsverify --tlscacert "$ENGINE_TLS/ca.pem" --tlscert "$ENGINE_TLS/server-cert.pem" \
    --tlskey "$ENGINE_TLS/server-key.pem" --iptables=false --bridge=none
  if ! daemon_ready engine 60 engine_answers "unix://$sock"; then
    stop_daemon engine 10
    engine_unmount
    engine_cannot "the Docker Engine of our own did not start (log: $DEVENV_DIR/logs/engine.log)"
  fi
  remember engine own
  case $(docker -H "unix://$sock" info --format '{{.Driver}}' 2>/dev/null) in
    overlay2) ;;
    *) say "note: the engine found no overlay2 on $ENGINE_DIR; image loads will be slow and large" ;;
  esac
}

# engine_end_containerd EXEC_ROOT: the containerd of a dockerd that is gone.
engine_end_containerd() {
  local dir=$1/containerd pid
  for pid in $(pgrep -f -x "containerd --config $dir/containerd.toml.*" || true); do
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 5 "the end of containerd $pid" eval "! process_start_time $pid" || true
  done
  rm -f "$dir"/containerd.pid "$dir"/containerd*.sock "$dir"/containerd.sock.ttrpc
}

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

# engine_stop [KEEP]: removes the containers of our own engine first, as its shims
# outlive it (KEEP: they only end). An engine of the user's keeps everything but this environment's
# OMS containers, which hack/lib/oms.sh removes.
engine_stop() {
  local sock keep=${1:-}
  [[ $(recall engine || true) == own ]] || return 0
  sock=$(engine_socket)
  if [[ -z $keep ]] && daemon_pid engine >/dev/null && engine_answers "unix://$sock"; then
    docker -H "unix://$sock" ps -aq 2>/dev/null | xargs -r docker -H "unix://$sock" rm -f >/dev/null 2>&1 || true
  fi
  stop_daemon engine 30
  engine_unmount
}

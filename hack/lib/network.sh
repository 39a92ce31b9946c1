# shellcheck shell=bash
# A network of the environment's own (up --network own), so that several
# environments run side by side on one host, each with an OMS on "the host's
# network". It is a network namespace without a name: a process holds it open,
# and it ends with the last process that is in it. Its loopback is all that an
# OMS needs; OceanBase asks for one interface more. Nothing in it reaches the
# world outside, so what has to be fetched is fetched before it is made.

# network_check: tries whether this host lets us make one; ends the script if not.
network_check() {
  ((EUID == 0)) || die "--network own needs root (this is user $(id -un))"
  have ip || die "--network own needs the command ip (apt-get install iproute2)"
  unshare --net sh -ec 'ip link set lo up; ip link add oms0 type veth peer name oms1' >/dev/null 2>&1 ||
    die "no network namespace can be made here (it takes CAP_SYS_ADMIN and CAP_NET_ADMIN); leave --network own out"
}

# network_path: the namespace of the environment; returns 1 where it is the host's.
# Whoever of the environment lives is in it: the holder may have been killed.
network_path() {
  local name pid
  [[ $(recall network || true) == own ]] || return 1
  for name in network "${DAEMONS[@]}"; do
    if pid=$(daemon_pid "$name"); then
      printf '/proc/%s/ns/net\n' "$pid"
      return 0
    fi
  done
  return 1
}

network_start() {
  local pid
  network_path >/dev/null && return 0
  start_daemon network unshare --net sleep infinity
  # The pid is known before unshare has done its work.
  daemon_ready network 10 network_apart || die "a network namespace could not be made (unshare --net)"
  pid=$(daemon_pid network)
  # The address is one that is for documentation alone (RFC 5737).
  nsenter --net="/proc/$pid/ns/net" sh -ec '
    ip link set lo up
    ip link add oms0 type veth peer name oms1
    ip address add 192.0.2.1/24 dev oms0
    ip link set oms0 up
    ip link set oms1 up' >>"$DEVENV_DIR/logs/network.log" 2>&1 || {
    log_tail network
    stop_daemon network
    die "the network of this environment could not be set up (log: $DEVENV_DIR/logs/network.log)"
  }
}

network_apart() {
  local pid
  pid=$(daemon_pid network) || return 1
  [[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" && $(readlink "/proc/$pid/exe") == *sleep* ]]
}

# network_enter SCRIPT ARGS...: the script again, in the environment's network,
# unless it is there already. Not by `ip netns exec`, which mounts another /sys,
# without the cgroups that an engine needs.
network_enter() {
  local path
  path=$(network_path) || return 0
  [[ $(readlink "$path") != "$(readlink /proc/self/ns/net)" ]] || return 0
  exec nsenter --net="$path" -- "$@"
}

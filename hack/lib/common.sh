# shellcheck shell=bash
# Shared by hack/devenv.sh and the other scripts. Source it, do not run it.
#
# State of one environment lies below DEVENV_DIR; what is costly to make and
# the same for every environment lies below CACHE_DIR and outlives `down`.

[[ -n ${OMS_COMMON_SH:-} ]] && return 0
OMS_COMMON_SH=1

REPO_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
DEVENV_DIR=${DEVENV_DIR:-$REPO_DIR/.devenv}
# Without "..": it is compared with what the kernel lists as mounted.
DEVENV_DIR=$(realpath -ms -- "$DEVENV_DIR")
CACHE_DIR=${OMS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oms-upgrade-controller}
# Always of this environment: exports of another one's `env` do not count.
# shellcheck disable=SC2034
OMS_ROOT=$DEVENV_DIR/oms
# shellcheck disable=SC2034
OMS_BACKUPS=$DEVENV_DIR/backups

# say TEXT...: progress for a person, on stderr, so that `env` stays clean.
say() { printf '%s\n' "$*" >&2; }

# die TEXT...: what failed and what to do; ends the script (or subshell).
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# help_of SCRIPT: the comment that it begins with, as its --help.
help_of() { awk 'NR == 1 {next} !/^#/ {exit} /^# shellcheck/ {next} {sub(/^# ?/, ""); print}' "$1"; }

# need_root SCRIPT WHAT_FOR: said at once, not after minutes of building.
need_root() {
  ((EUID == 0)) ||
    die "$1 needs root, for $2; this is user $(id -un). Run it as root (sudo $1)"
}

# oms_defaults: OMS_INSTANCE and its like, which a person may have exported for
# `devenv.sh oms start`, would make another OMS than the scripts expect.
oms_defaults() {
  unset OMS_INSTANCE OMS_METADB OMS_HTTPS OMS_OAT OMS_SEPARATE_CM OMS_SEPARATED OMS_NODES \
    OMS_KEEP_IMAGES OMS_HOST_IP OMS_BEAT_SECONDS
}

# In this file and beside it: a filter that stops reading early (head, grep -q)
# ends the writer with SIGPIPE, which pipefail takes for a failure; sed -n 1p
# reads all.
have() { command -v "$1" >/dev/null 2>&1; }

# is_state_dir: DEVENV_DIR was made by prepare_state; only such a one is removed.
is_state_dir() { [[ -f $DEVENV_DIR/.oms-devenv ]]; }

# prepare_state: the state folder, readable by its owner only: it holds keys.
prepare_state() {
  if [[ -d $DEVENV_DIR ]] && ! is_state_dir && [[ -n $(ls -A "$DEVENV_DIR") ]]; then
    die "$DEVENV_DIR holds other files; set DEVENV_DIR to a folder of its own"
  fi
  mkdir -p "$DEVENV_DIR" || die "cannot make the state folder $DEVENV_DIR; set DEVENV_DIR to one that can be written"
  chmod 0700 "$DEVENV_DIR"
  : >>"$DEVENV_DIR/.oms-devenv"
  mkdir -p "$DEVENV_DIR"/{ports,state,logs,pids} "$CACHE_DIR"
}

# remember KEY VALUE / recall KEY: small facts that later runs need. recall
# prints nothing and returns 1 for an unknown key.
remember() {
  mkdir -p "$DEVENV_DIR/state"
  printf '%s\n' "$2" >"$DEVENV_DIR/state/$1.tmp.$BASHPID"
  mv -f "$DEVENV_DIR/state/$1.tmp.$BASHPID" "$DEVENV_DIR/state/$1"
}
recall() {
  [[ -f $DEVENV_DIR/state/$1 ]] || return 1
  cat "$DEVENV_DIR/state/$1"
}
forget() { rm -f "$DEVENV_DIR/state/$1"; }

# port_in_use PORT: somebody listens there on TCP.
port_in_use() {
  local hex
  printf -v hex '%04X' "$1"
  awk -v p=":$hex\$" '$4 == "0A" && $2 ~ p {found = 1} END {exit !found}' \
    /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# free_port NAME: prints the port of that name. It is chosen once, below the
# kernel's range for outgoing connections so that none of those takes it in
# between, and remembered; the lock keeps parts that start side by side apart.
free_port() {
  local file=$DEVENV_DIR/ports/$1 port
  mkdir -p "$DEVENV_DIR/ports"
  if [[ -s $file ]]; then
    cat "$file"
    return 0
  fi
  (
    flock 9
    for _ in {1..500}; do
      port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
      port_in_use "$port" && continue
      grep -qsx "$port" "$DEVENV_DIR"/ports/* && continue
      printf '%s\n' "$port" >"$file"
      break
    done
  ) 9>"$DEVENV_DIR/ports.lock"
  [[ -s $file ]] || die "no free TCP port between 20000 and 32000 for $1"
  cat "$file"
}

# forget_port NAME: the next free_port chooses again.
forget_port() { rm -f "$DEVENV_DIR/ports/$1"; }

# wait_until SECONDS "what" COMMAND...: polls until the command succeeds;
# returns 1 with a line on stderr when it does not in time.
wait_until() {
  local seconds=$1 what=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      say "not there after $seconds s: $what"
      return 1
    fi
    sleep 0.1
  done
}

# Start time of a process in clock ticks since boot (field 22 of stat; the
# command name before it may hold spaces and brackets). With the pid it names
# a process for good: a recycled pid has another start time.
process_start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  [[ $1 == Z ]] && return 1
  printf '%s\n' "${20}"
}

# daemon_pid NAME: the pid of a daemon of ours that lives, else returns 1.
daemon_pid() {
  local pid start
  [[ -f $DEVENV_DIR/pids/$1 ]] || return 1
  read -r pid start <"$DEVENV_DIR/pids/$1" || return 1
  [[ -n $pid && $(process_start_time "$pid") == "$start" ]] || return 1
  printf '%s\n' "$pid"
}

# start_daemon NAME COMMAND...: in a session of its own, so that it outlives
# this script and an interrupt at the terminal. Appends to logs/NAME.log. Does
# nothing when it runs already. Says nothing about whether it answers.
start_daemon() {
  local name=$1 pid start
  shift
  daemon_pid "$name" >/dev/null && return 0
  mkdir -p "$DEVENV_DIR/logs" "$DEVENV_DIR/pids"
  local log=$DEVENV_DIR/logs/$name.log
  printf -- '--- started %s\n' "$(date '+%F %T')" >>"$log"
  # 9 and above may be locks of ours: a daemon must not keep them.
  (
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      ((fd > 2)) && eval "exec $fd>&-" 2>/dev/null
    done
    exec setsid "$@" </dev/null >>"$log" 2>&1
  ) &
  pid=$!
  disown "$pid" 2>/dev/null || true
  # One that ended at once has none; daemon_ready then says so, with its log.
  start=$(process_start_time "$pid") || start=0
  printf '%s %s\n' "$pid" "$start" >"$DEVENV_DIR/pids/$name"
}

# stop_daemon NAME [SECONDS]: SIGTERM, then SIGKILL after SECONDS (default 20).
stop_daemon() {
  local name=$1 seconds=${2:-20} pid end
  if pid=$(daemon_pid "$name"); then
    kill -TERM "$pid" 2>/dev/null || true
    # A stopped process does not see SIGTERM until it is continued.
    kill -CONT "$pid" 2>/dev/null || true
    end=$((SECONDS + seconds))
    while daemon_pid "$name" >/dev/null; do
      if ((SECONDS >= end)); then
        say "$name (pid $pid) did not end in $seconds s after SIGTERM: killed"
        kill -KILL "$pid" 2>/dev/null || true
        sleep 0.2
        break
      fi
      sleep 0.05
    done
  fi
  rm -f "$DEVENV_DIR/pids/$name"
}

# log_tail NAME [LINES]: the end of a daemon's log, for an error message.
log_tail() {
  local log=$DEVENV_DIR/logs/$1.log
  [[ -s $log ]] || return 0
  say "--- last lines of $log"
  tail -n "${2:-15}" "$log" >&2
  say "---"
}

# daemon_ready NAME SECONDS COMMAND...: waits until the command succeeds; a
# daemon that ended is noticed at once. Returns 1 after showing the log's end.
daemon_ready() {
  local name=$1 seconds=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ! daemon_pid "$name" >/dev/null; then
      say "$name ended right after its start"
      log_tail "$name"
      return 1
    fi
    if ((SECONDS >= end)); then
      say "$name runs but did not answer in $seconds s"
      log_tail "$name"
      return 1
    fi
    sleep 0.1
  done
}

# random_password: 24 letters and digits, safe in any quoting.
random_password() {
  local text
  text=$(openssl rand -base64 64 | tr -dc 'A-Za-z0-9')
  printf '%s\n' "${text:0:24}"
}

# short_path NAME PATH: PATH, or, where it is longer than a unix socket's
# address may be (107 bytes, with room for a suffix), a stand-in for it below
# the environment's own short folder (see run_dir).
short_path() {
  if ((${#2} <= 90)); then
    printf '%s\n' "$2"
  else
    printf '%s/%s\n' "$(run_dir)" "$1"
  fi
}

# run_dir: a short folder of this environment for sockets; made at first use,
# removed by down.
run_dir() {
  local dir
  (
    # Parts that start side by side must agree on it.
    flock 9
    if ! dir=$(recall run-dir) || [[ ! -d $dir ]]; then
      dir=$(mktemp -d /tmp/oms-devenv.XXXXXX) || die "cannot make a folder below /tmp"
      remember run-dir "$dir"
    fi
    printf '%s\n' "$dir"
  ) 9>"$DEVENV_DIR/run-dir.lock"
}

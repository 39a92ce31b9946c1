#!/bin/sh
# A container runtime for hosts whose capability bounding set lacks something
# (a container-like VM without CAP_SYS_RESOURCE, say). There `--privileged`
# fails with "unable to apply caps", since runc cannot give what it has not.
# This takes the capabilities that are missing here out of the bundle's
# config.json (create, run) and of exec's process file, and then is runc.
set -eu

runc=${OMS_RUNC:-runc}

bundle=.
process=
previous=
for argument in "$@"; do
  case $previous in
    -b | --bundle) bundle=$argument ;;
    -p | --process) process=$argument ;;
  esac
  case $argument in
    --bundle=*) bundle=${argument#--bundle=} ;;
    --process=*) process=${argument#--process=} ;;
  esac
  previous=$argument
done

# JSON list of the capabilities that this process may not have.
missing() {
  bounding=$(awk '/^CapBnd:/ {print $2}' /proc/self/status)
  jq -nc --argjson low "$((0x${bounding#????????}))" --argjson high "$((0x${bounding%????????}))" '
    ["CHOWN","DAC_OVERRIDE","DAC_READ_SEARCH","FOWNER","FSETID","KILL","SETGID","SETUID","SETPCAP",
     "LINUX_IMMUTABLE","NET_BIND_SERVICE","NET_BROADCAST","NET_ADMIN","NET_RAW","IPC_LOCK","IPC_OWNER",
     "SYS_MODULE","SYS_RAWIO","SYS_CHROOT","SYS_PTRACE","SYS_PACCT","SYS_ADMIN","SYS_BOOT","SYS_NICE",
     "SYS_RESOURCE","SYS_TIME","SYS_TTY_CONFIG","MKNOD","LEASE","AUDIT_WRITE","AUDIT_CONTROL","SETFCAP",
     "MAC_OVERRIDE","MAC_ADMIN","SYSLOG","WAKE_ALARM","BLOCK_SUSPEND","AUDIT_READ","PERFMON","BPF",
     "CHECKPOINT_RESTORE"]
    | to_entries
    | map(select((if .key < 32 then $low else $high end) / pow(2; .key % 32) | floor % 2 == 0)
          | "CAP_" + .value)'
}

# strip FILE PATH: takes the missing ones out of the five sets at PATH.
strip() {
  [ -f "$1" ] || return 0
  temporary=$1.capped.$$
  jq --argjson missing "$(missing)" \
    "$2 |= (if . == null then . else map_values(if type == \"array\" then . - \$missing else . end) end)" \
    "$1" >"$temporary"
  # Written in place: the file may be somebody's open temporary file.
  cat "$temporary" >"$1"
  rm -f "$temporary"
}

for argument in "$@"; do
  case $argument in
    create | run)
      strip "$bundle/config.json" .process.capabilities
      break
      ;;
    exec)
      [ -z "$process" ] || strip "$process" .capabilities
      break
      ;;
  esac
done

exec "$runc" "$@"

#!/usr/bin/env bash
# The guide's procedure "Upgrade OMS from V4.0.1 or later to V4.3.1" as a plain
# script, in the guide's own order and with the guide's own commands, against
# the local environment. It is what an upgrade by hand is at best: nobody
# reads, types or waits. Prints T2 - T1, or, with --rollback, the time from T3
# to HA on again.
#
#   hack/devenv.sh oms start 4.3.0
#   hack/bench/runbook.sh [--to 4.3.1]
#   hack/bench/runbook.sh --rollback     to what the last one started from
#
# OMS_INSTANCE chooses the OMS, as in devenv.sh. Where it differs from the page:
# - the console is a SQL update of ha.config, as the stand-in has no console;
# - the password stands in a defaults file (0600), not in argv;
# - T1 and T3 are taken right before `docker stop`, as OMS is down from there
#   (a person writes the time down after it, and so misses the stop itself);
# - the script is run once supervisord answers in the new container;
# - config.yaml is put back in a rollback: the page backs it up and does not
#   say when to use it, but 4.3.0 does not start without its own keys;
# - at the end it waits for /oms/health, outside of the measured time.
# The page's weak points are kept: one dump after the other, the image loaded
# while OMS is down, no check but "size is not 0", no triggers or routines in
# the dumps (they are gone after a rollback).
# shellcheck disable=SC2016  # backquotes in single quotes are SQL's
set -euo pipefail

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"

to=
direction=upgrade
while (($#)); do
  case $1 in
    --to)
      to=${2:?--to needs a version}
      shift
      ;;
    --rollback) direction=rollback ;;
    -h | --help) help_of "$0"; exit 0 ;;
    *) die "unknown option $1; see --help" ;;
  esac
  shift
done

exports=$("$HACK/devenv.sh" env)
eval "$exports"
data=$DEVENV_DIR/oms${OMS_INSTANCE:+-$OMS_INSTANCE}
[[ -f $data/instance.env ]] || die "no OMS in $data: hack/devenv.sh oms start 4.3.0"
# shellcheck disable=SC1091
. "$data/instance.env"
defaults=$METADB_DEFAULTS
if [[ ${OMS_METADB:-} == mariadb && $METADB_KIND != mariadb ]]; then defaults=$METADB_MARIADB_DEFAULTS; fi
work=$DEVENV_DIR/runbook${OMS_INSTANCE:+-$OMS_INSTANCE}
old=$OMS_CONTAINER
[[ $old == *"${OMS_VERSION//./}" ]] || die "the container name $old does not end in its version"
config=$data/config.yaml
# The dumps are of one upgrade, and so is the way back.
if [[ $direction == rollback ]]; then
  [[ -s $work/to ]] || die "no upgrade by this script is known in $work: nothing to roll back"
  to=$(cat "$work/to")
fi
to=${to:-4.3.1}
new=${old%"${OMS_VERSION//./}"}${to//./}

mysql_() { mysql --defaults-file="$defaults" "$@"; }
dump() { mysqldump --defaults-file="$defaults" "$@"; }
seconds() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.3f", b - a}'; }

running() { [[ $(docker container inspect -f '{{.State.Running}}' "$1" 2>/dev/null) == true ]]; }

begun=$EPOCHREALTIME
down_since=
# A person would see the last command's error, and know where they are.
ended() {
  local code=$?
  if ((code)) && [[ -n $down_since ]]; then
    say "stopped in the middle, with OMS down. Once all three dumps are in $work: hack/bench/runbook.sh --rollback; before that: docker start $old, and HA on; or from the beginning: hack/devenv.sh oms start $OMS_VERSION"
  fi
}
trap ended EXIT

# step TEXT: the time since the last one, as a person's notes would have it.
step() {
  printf '%8.3f s  %s\n' "$(seconds "$begun" "$EPOCHREALTIME")" "$1"
}

read_ha() {
  mysql_ -N --raw -D "$OMS_RM_DB" -e "select cfg_value from oms_normal_config where cfg_name='ha.config'"
}

# write_ha: the value from stdin, sent as hex so that nothing needs quoting.
write_ha() {
  local hex
  hex=$(od -An -v -tx1 | tr -d ' \n')
  mysql_ -D "$OMS_RM_DB" <<<"update oms_normal_config set cfg_value = convert(0x$hex using utf8mb4), gmt_modified = now() where cfg_name='ha.config';"
}

# As one edits the text in the console: nothing else in it moves.
set_key() { sed -E "s/(\"$1\"[[:space:]]*:[[:space:]]*)(true|false)/\1$2/"; }

ha_off() {
  read_ha >"$1"
  [[ -s $1 ]] || die "there is no ha.config in $OMS_RM_DB"
  printf '%s' "$(cat "$1")" | set_key enable false | write_ha
  read_ha | grep -qE '"enable"[[:space:]]*:[[:space:]]*false' || die "HA is still on"
}

ha_on() {
  printf '%s' "$(read_ha)" | set_key enable true | set_key perceiveStoreClientCheckpoint true | write_ha
  read_ha | grep -qE '"enable"[[:space:]]*:[[:space:]]*true' || die "HA is still off"
}

wait_healthy() {
  wait_until 120 "http://$OMS_HOST_IP:$OMS_NGINX_PORT/oms/health to say healthy" \
    sh -c "curl -fsS --max-time 4 http://$OMS_HOST_IP:$OMS_NGINX_PORT/oms/health | grep -q '\"healthy\": *true'" ||
    die "OMS is not healthy; logs: $data/oms_logs"
}

# Prerequisite of 4.3.1: the four oms_meta_* keys become eight.
split_meta_keys() {
  awk '
    /^"?oms_meta_(host|port|user|password)"?:/ {
      rm = cm = $0
      sub(/oms_meta_/, "oms_rm_meta_", rm)
      sub(/oms_meta_/, "oms_cm_meta_", cm)
      print rm
      print cm
      next
    }
    {print}' "$1"
}

upgrade() {
  local t1 t2 name image
  # What the page takes for granted, and what a person would see before the stop.
  [[ $to != "$OMS_VERSION" && $(printf '%s\n' 4.0.1 "$OMS_VERSION" "$to" | sort -V | paste -sd' ') == "4.0.1 $OMS_VERSION $to" ]] ||
    die "this is the guide's page for upgrades from 4.0.1 or later to a higher version, not for $OMS_VERSION to $to"
  [[ -f $OMS_ARCHIVES/oms_$to.tar.gz ]] || die "there is no archive $OMS_ARCHIVES/oms_$to.tar.gz"
  [[ ! -f $data/https_crt ]] || die "this OMS has certificate mounts (OMS_HTTPS), which this script does not know"
  ! docker container inspect "$new" >/dev/null 2>&1 ||
    die "there is a container $new already: this OMS has been upgraded. Back: hack/bench/runbook.sh --rollback, then docker rm $new; or from the beginning: hack/devenv.sh oms start $OMS_VERSION"
  running "$old" || die "the container $old does not run: hack/devenv.sh oms start $OMS_VERSION"
  rm -rf -- "$work"
  (umask 077 && mkdir -p "$work")
  printf '%s\n' "$to" >"$work/to"

  ha_off "$work/ha.config"
  step '1    HA recorded and switched off'

  t1=$EPOCHREALTIME
  down_since=$t1
  docker stop "$old" >/dev/null
  step "2.1  $old stopped"

  mysql_ -D "$OMS_CM_HB_DB" <<'SQL'
CREATE TABLE IF NOT EXISTS `heatbeat_sequence_bak` (
`id` bigint(20) NOT NULL AUTO_INCREMENT COMMENT 'PK',
`gmt_created` datetime NOT NULL,
`gmt_modified` datetime NOT NULL,
PRIMARY KEY (`id`)
) DEFAULT CHARSET=utf8 COMMENT='Heartbeat sequence table';
INSERT INTO heatbeat_sequence_bak SELECT `id`,`gmt_created`,`gmt_modified` FROM heatbeat_sequence ORDER BY `id` DESC LIMIT 1;
ALTER TABLE `heatbeat_sequence` RENAME TO `heatbeat_sequence_bak2`;
ALTER TABLE `heatbeat_sequence_bak` RENAME TO `heatbeat_sequence`;
DROP TABLE heatbeat_sequence_bak2;
SQL
  step '2.2  heatbeat_sequence compacted'

  for name in "$OMS_RM_DB" "$OMS_CM_DB" "$OMS_CM_HB_DB"; do
    dump --triggers=false "$name" >"$work/$name.sql"
    [[ -s $work/$name.sql ]] || die "the dump of $name is empty"
    step "2.3  $name dumped"
  done

  cp -p "$config" "$work/config.yaml"
  step '2.4  config.yaml copied'

  docker load -q -i "$OMS_ARCHIVES/oms_$to.tar.gz" >/dev/null
  step "3    image oms:$to loaded"

  split_meta_keys "$work/config.yaml" >"$work/config-$to.yaml"
  cat "$work/config-$to.yaml" >"$config"
  docker inspect "$old" | grep -A5 Binds >"$work/binds.txt"
  image=$(docker images -q --no-trunc "oms:$to")
  [[ -n $image ]] || die "there is no image oms:$to after the load"
  step '4    config.yaml modified; mounts and image looked at'

  docker run -dit --net host \
    -v "$config:/home/admin/conf/config.yaml" \
    -v "$data/oms_logs:/home/admin/logs" \
    -v "$data/oms_store:/home/ds/store" \
    -v "$data/oms_run:/home/ds/run" \
    -e OMS_HOST_IP="$OMS_HOST_IP" \
    -e IS_UPGRADE=true \
    --privileged=true \
    --pids-limit -1 \
    --ulimit nproc=65535:65535 \
    --name "$new" \
    "oms:$to" >/dev/null
  wait_until 60 "supervisord in $new" docker exec "$new" supervisorctl pid || die "$new did not start"
  step "5    $new started"

  docker exec "$new" sh /root/docker_upgrade.sh >"$work/docker_upgrade.log" 2>&1 ||
    die "docker_upgrade.sh failed, see $work/docker_upgrade.log; way back: hack/bench/runbook.sh --rollback"
  step '6    docker_upgrade.sh run'

  ha_on
  t2=$EPOCHREALTIME
  down_since=
  step '7    HA switched on'
  printf '\nT2 - T1 = %s s\n' "$(seconds "$t1" "$t2")"
  printf '{"direction":"upgrade","from":"%s","to":"%s","downtimeSeconds":%s}\n' \
    "$OMS_VERSION" "$to" "$(seconds "$t1" "$t2")" >"$work/result.json"
  wait_healthy
  step '     healthy'
}

rollback() {
  local t3 t4 name
  for name in "$OMS_RM_DB" "$OMS_CM_DB" "$OMS_CM_HB_DB"; do
    [[ -s $work/$name.sql ]] || die "no dump $work/$name.sql: nothing to restore"
  done
  ! running "$old" || die "the container $old runs: this OMS has gone back already, or was never stopped"

  ha_off "$work/ha.config.before-rollback"
  step '8.1  HA switched off'

  t3=$EPOCHREALTIME
  down_since=$t3
  # None where the upgrade ended before it was made.
  if running "$new"; then docker stop "$new" >/dev/null; fi
  step "8.2  $new stopped"

  for name in "$OMS_RM_DB" "$OMS_CM_DB" "$OMS_CM_HB_DB"; do
    printf 'drop database `%s`;\ncreate database `%s`;\n' "$name" "$name"
  done | mysql_
  step '8.3  databases dropped and created'

  for name in "$OMS_RM_DB" "$OMS_CM_DB" "$OMS_CM_HB_DB"; do
    mysql_ -e "source $work/$name.sql" -D"$name"
    step "8.4  $name restored"
  done

  cat "$work/config.yaml" >"$config"
  docker restart "$old" >/dev/null
  step "8.5  $old restarted"

  ha_on
  t4=$EPOCHREALTIME
  down_since=
  step '8.6  HA switched on'
  printf '\nT3 to HA on = %s s\n' "$(seconds "$t3" "$t4")"
  wait_healthy
  step '     healthy'
  printf '{"direction":"rollback","from":"%s","to":"%s","downtimeSeconds":%s,"healthySeconds":%s}\n' \
    "$to" "$OMS_VERSION" "$(seconds "$t3" "$t4")" "$(seconds "$t3" "$EPOCHREALTIME")" >"$work/result-rollback.json"
}

$direction

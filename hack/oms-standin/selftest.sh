#!/usr/bin/env bash
# What the stand-in promises (README.md), tried on the local environment, as an
# instance of its own: hack/oms-standin/selftest.sh. OMS_METADB=mariadb for MariaDB.
set -euo pipefail

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"
export OMS_INSTANCE=${OMS_INSTANCE:-selftest}
unset OMS_HTTPS OMS_OAT
passed=0
failed=0
old=oms_${OMS_INSTANCE}_430
new=oms_${OMS_INSTANCE}_431
newest=oms_${OMS_INSTANCE}_432

# check "sentence" COMMAND...
check() {
  local what=$1
  shift
  if "$@" >/dev/null 2>&1; then
    passed=$((passed + 1))
    printf 'ok      %s\n' "$what"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n' "$what"
  fi
}

devenv() { "$HACK/devenv.sh" "$@"; }
sql() { mariadb --defaults-file="$defaults" -N -e "$1"; }
health() { curl -fsS --max-time 4 "http://$OMS_HOST_IP:$OMS_NGINX_PORT/oms/health" | jq -r .data.healthy; }
healthy() { [[ $(health) == true ]]; }
unhealthy() { [[ $(health) == false ]]; }
soon() { wait_until 15 "$*" "$@"; }
state() { [[ $(docker exec "$1" supervisorctl status "$2" | awk '{print $2}') == "$3" ]]; }
faults() { printf '%s\n' "$1" >"$OMS_DATA/oms_run/standin-faults.json"; }
runs() { grep -c "$1 *docker_upgrade.sh" "$OMS_DATA/oms_logs/standin-runs.log"; }
fails() { if "$@"; then return 1; fi; }
equals() { [[ $1 == "$2" ]]; }

start_old() {
  devenv oms start 4.3.0
  # shellcheck disable=SC1090,SC1091
  . "$DEVENV_DIR/oms-$OMS_INSTANCE/instance.env"
  defaults=$METADB_DEFAULTS
  if [[ ${OMS_METADB:-} == mariadb && $METADB_KIND != mariadb ]]; then defaults=$METADB_MARIADB_DEFAULTS; fi
}

# new_container [CONFIG [FROM TO VERSION]]: the old one stopped, 4.3.1 started for an upgrade.
new_container() {
  local old=${2:-$old} new=${3:-$new}
  docker stop "$old" >/dev/null
  docker run -dit --net host -v "${1:-$OMS_DATA/config-new.yaml}:/home/admin/conf/config.yaml" \
    -v "$OMS_DATA/oms_logs:/home/admin/logs" -v "$OMS_DATA/oms_store:/home/ds/store" \
    -v "$OMS_DATA/oms_run:/home/ds/run" -e OMS_HOST_IP="$OMS_HOST_IP" -e IS_UPGRADE=true \
    --privileged=true --pids-limit -1 --ulimit nproc=65535:65535 --name "$new" "oms:${4:-4.3.1}" >/dev/null
  soon docker exec "$new" supervisorctl pid
}

new_config() {
  sed -E -e '/^"oms_meta_/{s/oms_meta_(.*)/oms_rm_meta_\1/;p;s/oms_rm_meta_/oms_cm_meta_/}' \
    "$OMS_DATA/config.yaml" >"$OMS_DATA/config-new.yaml"
}

upgrade_script() { docker exec "${1:-$new}" sh /root/docker_upgrade.sh; }

# objects DATABASE: its tables, views, triggers and routines, in one line.
objects() {
  sql "select group_concat(n order by n separator ' ') from (
    select table_name n from information_schema.tables where table_schema='$1'
    union all select trigger_name from information_schema.triggers where trigger_schema='$1'
    union all select routine_name from information_schema.routines where routine_schema='$1') o"
}
charset() { sql "select concat(default_character_set_name, ' ', default_collation_name) from information_schema.schemata where schema_name='$1'"; }
has() { [[ " $(objects "$1") " == *" $2 "* ]]; }
lacks() { ! has "$@"; }

exports=$(devenv env)
eval "$exports"
# What stands outside of a check is taken for granted; where it fails, this ends.
finished=
ended() {
  local code=$?
  [[ -n $finished ]] ||
    say "ended in the middle ($passed passed, $failed failed); its OMS is left to look at: OMS_INSTANCE=$OMS_INSTANCE hack/devenv.sh oms reset"
  exit "$code"
}
trap ended EXIT
start_old
check '4.3.0 is healthy' healthy
check 'its host is ONLINE' equals "$(sql "select host_status from $OMS_CM_DB.host")" ONLINE
check 'it has no docker_upgrade.sh' fails docker exec "$old" test -e /root/docker_upgrade.sh
before=$(sql "select max(id) from $OMS_CM_HB_DB.heatbeat_sequence")
beats() { (($(sql "select max(id) from $OMS_CM_HB_DB.heatbeat_sequence") > before)); }
check 'the heartbeat moves' soon beats
check 'docker_init.sh on a schema that is ours changes nothing and ends with its mark' \
  grep -q '^\[Completed\] All initialization steps are executed' <(docker exec "$old" sh /root/docker_init.sh)

faults '{"nginx": {"health": false}}'
check 'fault: health false' unhealthy
faults '{"nginx": {"healthStatus": 404}}'
check 'fault: no /oms/health' fails health
faults '{"nginx": {"health": false, "versions": ["4.3.1"]}}'
check 'a fault for another version does not count' healthy
api() {
  curl -fsS --max-time 4 -u "${2:-admin:Standin-api-1}" -H 'Content-Type: application/json' -d "${3:-null}" \
    "http://$OMS_HOST_IP:$OMS_NGINX_PORT/api/v2?Action=$1"
}
first_task=np_0000005a1b00
api_says() { equals "$(api "$1" '' "$2" | jq -r "$3")" "$4"; }
check 'the task API lists all migrations' api_says ListProjects '{"type":"MIGRATION","pageSize":150}' \
  '(.data | length), .totalCount' $'48\n48'
check 'and pages of them' api_says ListProjects '{"type":"MIGRATION","pageSize":10,"pageNumber":5}' '.data | length' 8
check 'and the steps of a task' api_says DescribeProjectSteps "{\"id\":\"$first_task\"}" '.data[-1] | .name, .status' \
  $'REVERSE_INCR_TRANSFER\nRUNNING'
check 'and its current step' api_says DescribeProjectProgress "{\"id\":\"$first_task\"}" .data.currentStep REVERSE_INCR_TRANSFER
check 'and how its ends are connected' api_says DescribeProject "{\"id\":\"$first_task\"}" \
  '.data[0].sinkConnectInfo.connExtraAttributes.useLogProxy' false
check 'it knows no other user' fails api ListProjects admin:x
faults '{"task_api": {"tasks": {"np_0000005a1b00": {"useLogProxy": true, "steps": {"REVERSE_INCR_TRANSFER": "INIT"}}}}}'
check 'fault: a task reads by oblogproxy' api_says DescribeProject "{\"id\":\"$first_task\"}" \
  '.data[0].sourceConnectInfo.connExtraAttributes.useLogProxy' true
check 'fault: a step of a task' api_says DescribeProjectSteps "{\"id\":\"$first_task\"}" '.data[-1].status' INIT
faults '{"task_api": {"status": 404}}'
check 'fault: no task API' fails api ListProjects
faults '{"oms_drc_cm": {"hostStatus": "OFFLINE"}}'
offline() { equals "$(sql "select host_status from $OMS_CM_DB.host")" OFFLINE; }
check 'fault: host OFFLINE' soon offline
faults '{}'

docker load -q -i "$OMS_ARCHIVES/oms_4.3.1.tar.gz" >/dev/null
new_container "$OMS_DATA/config.yaml"
check '4.3.1 refuses the old keys' fails upgrade_script
check 'and changes nothing' equals "$(sql "select value from $OMS_RM_DB.oms_counter")" 0
docker rm -f "$new" >/dev/null

new_config
faults '{"docker_upgrade.sh": {"exitCode": 7, "at": "start", "times": 1}}'
new_container
check 'IS_UPGRADE holds the console back' state "$new" oms_console STOPPED
check 'and is not healthy' unhealthy
check 'fault: exit code 7 at the start' equals "$(upgrade_script >/dev/null; echo $?)" 7
check 'used up after one time: the script runs' grep -q '^\[Completed\] OMS upgrade to 4.3.1 is executed' <(upgrade_script)
check 'then 4.3.1 is healthy' soon healthy
check 'the console runs' state "$new" oms_console RUNNING
check 'a second run fails' fails upgrade_script
check 'and is counted' equals "$(sql "select value from $OMS_RM_DB.oms_counter")" 2
check 'the journal has a line for each start and end' equals "$(runs start) $(runs end)" '4 4'
docker restart "$new" >/dev/null
check 'after a restart the console is not held back' soon healthy
docker stop "$new" >/dev/null
docker start "$old" >/dev/null
check '4.3.0 does not run on the schema of 4.3.1' soon state "$old" oms_console FATAL

start_old
new_config
charsets="$(charset "$OMS_RM_DB"), $(charset "$OMS_CM_DB"), $(charset "$OMS_CM_HB_DB")"
check 'the databases do not all have the same default' test \
  "$(for name in "$OMS_RM_DB" "$OMS_CM_DB" "$OMS_CM_HB_DB"; do charset "$name"; done | sort -u | wc -l)" -ge 2
new_container
upgrade_script >/dev/null || true
check '4.3.1 drops a table' lacks "$OMS_CM_DB" crawler
check 'whose rows another one has' equals "$(sql "select count(*) from $OMS_CM_DB.store_instance")" 60
check 'and a function' lacks "$OMS_RM_DB" f_step_count
check 'and makes a view' has "$OMS_RM_DB" v_verify_project
docker load -q -i "$OMS_ARCHIVES/oms_4.3.2.tar.gz" >/dev/null
new_container '' "$new" "$newest" 4.3.2
check '4.3.2 on top of it' grep -q '^\[Completed\] OMS upgrade to 4.3.2 is executed' <(upgrade_script "$newest")
check 'is healthy' soon healthy
for gone in oms_operation_audit v_running_project trg_project_status p_clean_task_log; do
  check "and has no $gone" lacks "$OMS_RM_DB" "$gone"
done
for made in oms_operation_log v_project_overview trg_sync_status p_clean_operation_log; do
  check "but $made" has "$OMS_RM_DB" "$made"
done
check 'rows are changed in place' equals "$(sql "select max(checkpoint) > 1e15, min(labels like 'v432%') from $OMS_RM_DB.oms_project")" $'1\t1'
check 'and gone' equals "$(sql "select count(*) from $OMS_RM_DB.oms_project_step where step_status='INIT'")" 0
check 'the defaults of the databases are those before' equals \
  "$(charset "$OMS_RM_DB"), $(charset "$OMS_CM_DB"), $(charset "$OMS_CM_HB_DB")" "$charsets"
docker stop "$newest" >/dev/null
docker start "$new" >/dev/null
check '4.3.1 does not run on the schema of 4.3.2' soon state "$new" oms_console FATAL

start_old
new_config
faults '{"docker_upgrade.sh": {"exitCode": 3, "at": "middle"}, "nginx": {}}'
new_container
check 'fault: exit code 3 in the middle' equals "$(upgrade_script >/dev/null; echo $?)" 3
check 'leaves a half-migrated schema' equals "$(sql "select version from $OMS_RM_DB.oms_version")/$(sql "select checkpoint > 1e12 from $OMS_RM_DB.oms_project limit 1")" 4.3.0/1
docker stop "$new" >/dev/null
docker start "$old" >/dev/null
check 'which the 4.3.0 console refuses' soon state "$old" oms_console FATAL

start_old
new_config
faults '{"docker_upgrade.sh": {"noCompletionLine": true}, "oms_console": {"dieAtStart": true, "versions": ["4.3.1"]}}'
new_container
check 'fault: a console that dies at its start fails the script' fails upgrade_script
check 'and is FATAL' state "$new" oms_console FATAL

start_old
new_config
faults '{"docker_upgrade.sh": {"noCompletionLine": true}}'
new_container
check 'fault: no completion line' fails grep -q Completed <(upgrade_script)
check 'with everything done' soon healthy

start_old
new_config
faults '{"docker_upgrade.sh": {"hang": true, "at": "end"}}'
new_container
docker exec -d "$new" sh /root/docker_upgrade.sh
check 'fault: a hang at the end, OMS healthy meanwhile' soon healthy
check 'seen in the process list' grep -q docker_upgrade.sh <(docker top "$new")
check 'the journal has a start and no end' fails runs end
SECONDS=0
docker stop "$new" >/dev/null
check 'a stop takes less than 6 s even then' test "$SECONDS" -lt 6

faults '{"docker_cmd.sh": {"exitCode": 5}}'
docker start "$old" >/dev/null
exited() { equals "$(docker inspect -f '{{.State.Status}}/{{.State.ExitCode}}' "$old")" exited/5; }
check 'fault: the container dies at its start' soon exited

devenv oms start 3.4.0
old=oms_${OMS_INSTANCE}_340
# shellcheck disable=SC1090,SC1091
. "$DEVENV_DIR/oms-$OMS_INSTANCE/instance.env"
new_config
check '3.4.0 has no /oms/health' fails health
check 'and no groups of resources' lacks "$OMS_CM_DB" resource_group
new_container "$OMS_DATA/config-new.yaml" "$old" "$new"
jar() {
  docker exec -w /root "$new" /opt/alibaba/java/bin/java -jar correction-1.0-SNAPSHOT-jar-with-dependencies.jar \
    -mupgrade -y/home/admin/conf/config.yaml -ltrue
}
metadata() { docker exec -w /root "$new" python -m omsflow.scripts.units.oms_cluster_manager add_resource; }
check 'from 3.4.0 the script refuses before the jar' fails upgrade_script
check 'add_resource too' fails metadata
check 'and nothing is changed' has "$OMS_RM_DB" oms_workflow_step
check 'the jar corrects the schema' jar
check 'the old table is gone' lacks "$OMS_RM_DB" oms_workflow_step
check 'a second run is refused' fails jar
check 'and counted' equals "$(sql "select value from $OMS_RM_DB.oms_counter where name='correction_runs'")" 2
check 'the script refuses before add_resource' fails upgrade_script
check 'add_resource' metadata
check 'then the script runs' grep -q '^\[Completed\]' <(upgrade_script)
check 'and 4.3.1 is healthy' soon healthy

OMS_NODES=2 start_old
old=oms_${OMS_INSTANCE}_430
first=$OMS_DATA
second=oms_${OMS_INSTANCE}_n2_431
second_healthy() { [[ $(OMS_HOST_IP=$OMS_NODE2_HOST_IP && health) == true ]]; }
check 'two nodes: the first is healthy' healthy
check 'and the second' second_healthy
check 'both are ONLINE' equals "$(sql "select count(*) from $OMS_CM_DB.host where host_status='ONLINE'")" 2
check 'both beat' equals "$(sql "select count(*) from $OMS_CM_HB_DB.heart_beat where task_name='supervisor'")" 2
check 'each file lists both' equals "$(cat "$OMS_DATA/config.yaml" "$OMS_NODE2_DATA/config.yaml" | grep -c '^- "127')" 4
docker stop "$old" >/dev/null
OMS_DATA=$OMS_NODE2_DATA OMS_HOST_IP=$OMS_NODE2_HOST_IP
new_config
new_container '' "$OMS_NODE2_CONTAINER" "$second"
check 'the console of the second is held back' state "$second" oms_console STOPPED
OMS_DATA=$first OMS_HOST_IP=127.0.0.1
new_config
new_container
check 'the script on the first' grep -q '^\[Completed\]' <(upgrade_script)
check 'leaves the second held back' state "$second" oms_console STOPPED
docker restart "$second" >/dev/null
soon docker exec "$second" supervisorctl pid
check 'over a restart too' state "$second" oms_console STOPPED
docker exec "$second" sed -i 's/autostart = false/autostart = true/g' /etc/supervisor/conf.d/oms_console.ini
docker exec "$second" supervisorctl start oms_console >/dev/null
check 'until it is let go by hand' soon second_healthy
docker restart "$second" >/dev/null
check 'which stays over a restart' soon second_healthy

devenv oms reset
check 'reset leaves no container' equals "$(docker ps -aq --filter "name=oms_${OMS_INSTANCE}_")" ''
check 'reset leaves no database' equals "$(sql "show databases like '${OMS_INSTANCE}\\_%'")" ''
finished=1
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))

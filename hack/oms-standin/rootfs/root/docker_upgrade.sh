#!/bin/sh
# Brings the three databases to this version and starts the console. Once: a second run fails, and
# leaves traces (oms_counter.upgrade_runs, oms_project.checkpoint).
. /opt/oms-standin/lib.sh

upgrade() {
    standin fault docker_upgrade.sh start || return $?
    supervisord_answers || { echo "[Error] supervisord is not running" >&2; return 1; }
    echo "[Step 1/4] check /home/admin/conf/config.yaml"
    standin check-config || return $?
    echo "[Step 2/4] upgrade the databases"
    standin migrate docker_upgrade.sh || return $?
    standin check-schema || return $?
    echo "[Step 3/4] add resource labels and groups"
    standin add-resource || return $?
    echo "[Step 4/4] start the console"
    start_console || return 1
    date >/root/init_flag.txt
    standin fault docker_upgrade.sh end || return $?
    standin fault-flag docker_upgrade.sh noCompletionLine ||
        echo "[Completed] OMS upgrade to $(standin version) is executed"
}

run_script docker_upgrade.sh upgrade

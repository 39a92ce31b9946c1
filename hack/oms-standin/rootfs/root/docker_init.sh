#!/bin/sh
# The five steps of OMS's own script. Brings the three databases to this version where they are not.
. /opt/oms-standin/lib.sh

units=omsflow.scripts.units

step() {
    echo "[Step $1/5] $2"
}

init() {
    standin fault docker_init.sh start || return $?
    supervisord_answers || { echo "[Error] supervisord is not running" >&2; return 1; }
    step 1 "check /home/admin/conf/config.yaml"
    python -m $units.oms_cluster_config --check /home/admin/conf/config.yaml || return $?
    step 2 "initialize the databases"
    python -m $units.oms_init_manager --init-db || return $?
    step 3 "write the components' configuration"
    python -m $units.oms_init_manager --init-config-file || return $?
    step 4 "restart the services"
    supervisorctl restart oms_drc_cm oms_drc_supervisor
    start_console || return 1
    supervisorctl status
    step 5 "add resource labels and groups"
    python -m $units.oms_cluster_manager add_resource || return $?
    date >/root/init_flag.txt
    standin fault docker_init.sh end || return $?
    standin fault-flag docker_init.sh noCompletionLine ||
        echo "[Completed] All initialization steps are executed"
}

run_script docker_init.sh init

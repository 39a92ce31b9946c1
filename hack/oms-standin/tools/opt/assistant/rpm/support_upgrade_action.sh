#!/bin/sh
# Run in the component container, in the folder that the assistant has filled. Once: a second run
# fails, and leaves a trace (standin-runs.log).
. /opt/oms-standin/lib.sh

act() {
    standin fault support_upgrade_action.sh start || return $?
    supervisord_answers || { echo "[Error] supervisord is not running" >&2; return 1; }
    [ -s oms-component.rpm ] || { echo "[Error] there is no package in $(pwd)" >&2; return 1; }
    if [ -e /opt/oms-standin/component_version ]; then
        echo "[Error] the component was upgraded to $(cat /opt/oms-standin/component_version) before" >&2
        return 1
    fi
    cp oms-component.rpm /opt/oms-standin/component_version
    supervisorctl restart oms_drc_supervisor || return 1
    standin fault support_upgrade_action.sh end || return $?
    echo "[Completed] the component is upgraded to $(cat /opt/oms-standin/component_version)"
}

run_script support_upgrade_action.sh act

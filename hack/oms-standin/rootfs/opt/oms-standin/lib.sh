# shellcheck shell=sh
# Shared by the scripts in /root. Source it.
export PYTHONPATH=/opt/oms-standin PYTHONUNBUFFERED=1

standin() { python3 -m oms_standin.cli "$@"; }

# run_script NAME FUNCTION: journal lines around it, its output also in a log file of its own.
run_script() {
    script_name=$1
    export OMS_STANDIN_IN_SCRIPT="$script_name"
    python3 -m oms_standin.journal start "$script_name" $$
    code_file=$(mktemp)
    echo 1 >"$code_file"
    log=/home/admin/logs/${script_name%.sh}.log.$(date +%Y-%m-%d.%H:%M:%S)
    {
        "$2"
        echo $? >"$code_file"
    } 2>&1 | tee -a "$log"
    code=$(cat "$code_file")
    rm -f "$code_file"
    python3 -m oms_standin.journal end "$script_name" $$ "$code"
    return "$code"
}

# start_console: lifts the hold that IS_UPGRADE put on it, now and for later starts.
start_console() {
    sed -i 's/autostart = false/autostart = true/g' /etc/supervisor/conf.d/oms_console.ini
    supervisorctl start oms_console
    supervisorctl status oms_console | grep -q RUNNING
}

supervisord_answers() { supervisorctl pid >/dev/null 2>&1; }

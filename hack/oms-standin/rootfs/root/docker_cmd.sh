#!/bin/sh
# Entry point of the image. With IS_UPGRADE=true the console is held back until the upgrade (or
# init) script has run in this container, or somebody has set its autostart by hand, as the guide
# says for the other nodes: so it is held once, at the container's first start, and what was set
# stays over the next one.
. /opt/oms-standin/lib.sh

version=$(standin version)
mkdir -p /home/admin/logs /home/ds/run /home/ds/store
python3 -m oms_standin.journal start docker_cmd.sh $$
echo "OMS $version (stand-in) starts on ${OMS_HOST_IP:-<no OMS_HOST_IP>}, IS_UPGRADE=${IS_UPGRADE:-false}"
standin fault docker_cmd.sh start || exit $?
if [ -z "$OMS_HOST_IP" ]; then
    echo "OMS_HOST_IP is not set" >&2
    exit 1
fi
if [ "$OMS_VERSION" != "$version" ]; then
    echo "OMS_VERSION=$OMS_VERSION is another image's: the environment of another container was kept" >&2
    exit 1
fi
if [ "$IS_UPGRADE" = true ] && [ ! -s /root/init_flag.txt ] && ! standin fault-flag docker_cmd.sh noHold; then
    [ -e /root/console_held.txt ] ||
        sed -i 's/autostart = true/autostart = false/g' /etc/supervisor/conf.d/oms_console.ini
    : >/root/console_held.txt
fi
# The component container of a separated deployment has no console.
if [ "$OMS_STANDIN_ROLE" = component ]; then
    rm -f /etc/supervisor/conf.d/oms_console.ini /etc/supervisor/conf.d/oms_nginx.ini
fi
exec /usr/bin/supervisord -n -c /etc/supervisor/supervisord.conf

#!/bin/sh
# Entry point of the upgrade assistant's image: puts its packages into the folder that is mounted at
# /root/rpm, and ends.
set -e
to=/root/rpm
cp /opt/assistant/rpm/* "$to"
sync "$to" 2>/dev/null || sync
echo "packages of OMS $(cat /opt/assistant/rpm/oms-component.rpm) are in $to"

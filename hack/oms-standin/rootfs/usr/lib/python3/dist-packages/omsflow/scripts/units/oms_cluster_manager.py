"""python -m omsflow.scripts.units.oms_cluster_manager add_resource

On its own it is a script of the upgrade like the others: journal, faults and all. docker_init.sh
calls it as its fifth step and keeps the journal itself.
"""
import os
import sys

sys.path.insert(0, "/opt/oms-standin")
from oms_standin import cli, faults, journal  # noqa: E402


def main():
    if sys.argv[1:2] != ["add_resource"]:
        sys.exit("usage: oms_cluster_manager add_resource")
    if os.environ.get("OMS_STANDIN_IN_SCRIPT"):
        return cli.main(["add-resource"])
    journal.write("start", "add_resource", os.getpid())
    code = 1
    try:
        code = faults.act("add_resource", "start") or cli.main(["add-resource"])
        code = code or faults.act("add_resource", "end")
    finally:
        journal.write("end", "add_resource", os.getpid(), code)
    return code


if __name__ == "__main__":
    sys.exit(main())

"""python -m omsflow.scripts.units.oms_init_manager --init-db | --init-config-file"""
import sys

sys.path.insert(0, "/opt/oms-standin")
from oms_standin import cli  # noqa: E402

if __name__ == "__main__":
    if sys.argv[1:2] == ["--init-db"]:
        sys.exit(cli.main(["init-db", "docker_init.sh"]))
    if sys.argv[1:2] == ["--init-config-file"]:
        sys.exit(cli.main(["check-config"]))
    sys.exit("usage: oms_init_manager --init-db | --init-config-file")

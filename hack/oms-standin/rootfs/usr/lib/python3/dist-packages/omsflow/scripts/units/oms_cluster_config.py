"""python -m omsflow.scripts.units.oms_cluster_config --check FILE"""
import sys

sys.path.insert(0, "/opt/oms-standin")
from oms_standin import cli  # noqa: E402

if __name__ == "__main__":
    if sys.argv[1:2] != ["--check"]:
        sys.exit("usage: oms_cluster_config --check FILE")
    sys.exit(cli.main(["check-config"]))

"""A separated deployment whose tasks keep running (OMS_SEPARATED=1): the component container goes on, upgraded in place."""

import json
import os
import re
from pathlib import Path

from harness import LATE, SOON, Oms, containers, devenv, docker, inspect, main, run, say, sql, until
from rollback_test import Before, GoingBack

OLD, NEW, COMPONENT, ASSISTANT = "oms_430", "oms_431", "oms_n2_430", "oms-upgrade-tool"
TOOLS = "oms-upgrade-tools:4.3.1"


class ComponentTest(GoingBack):
    """The tests share an OMS only where one has left it as it was, which an upgraded component never is."""

    def fresh_oms(self):
        # Often enough that a dump, however quick, is never between two beats.
        devenv("oms", "start", "4.3.0", env={"OMS_NODES": "2", "OMS_SEPARATED": "1", "OMS_BEAT_SECONDS": "0.05"})
        docker("update", "--restart", "always", OLD, COMPONENT)
        docker("rmi", "-f", TOOLS, check=False)
        self.oms = Oms()
        self.before = Before(self.oms)
        self.sequence = self.oms.sequence()
        self.data = Path(self.oms.env["OMS_NODE2_DATA"])
        (self.data / "oms_run").mkdir(exist_ok=True)
        self.component = inspect(COMPONENT)
        self.ip = self.oms.env["OMS_NODE2_HOST_IP"]

    def entries(self):
        endpoint = {"endpoint": os.environ["DOCKER_HOST"]}
        return {"nodes": [{"name": "oms-1", "role": "Management", "engine": endpoint, "container": {"name": OLD}},
                          {"name": "oms-2", "role": "Component", "engine": endpoint, "container": {"name": COMPONENT}}],
                "deployment": {"keepTasksRunning": True, "assistant": {
                    "reference": TOOLS, "archive": f"{os.environ['OMS_ARCHIVES']}/oms_upgrade_tools_4.3.1.tar.gz"}}}

    def component_runs(self):
        log = self.data / "oms_logs" / "standin-runs.log"
        return re.findall(r" (start|end) +support_upgrade_action\.sh ", log.read_text())

    def beats(self):
        """The highest id that the component itself has taken."""
        rows = sql(f"select sequence_id from heart_beat where host_ip='{self.ip}'", self.oms.cm_hb)
        return int(rows[0][0])

    def assert_component(self, stopped=False):
        now = inspect(COMPONENT)
        self.assertEqual(now["Id"], self.component["Id"])
        self.assertTrue(now["State"]["Running"])
        self.assertEqual(now["HostConfig"]["RestartPolicy"], self.component["HostConfig"]["RestartPolicy"])
        started = self.component["State"]["StartedAt"]
        (self.assertNotEqual if stopped else self.assertEqual)(now["State"]["StartedAt"], started)
        mounts = lambda c: sorted((m["Destination"], m["Source"]) for m in c["Mounts"])
        self.assertEqual(mounts(now), mounts(self.component))
        self.assertEqual(sql(f"select host_status from host where ip='{self.ip}'", self.oms.cm), [["ONLINE"]])

    def test_goes_on_while_the_management_container_is_upgraded_and_is_stopped_only_to_go_back(self):
        first = self.beats()
        resource = self.begin("component", self.entries())
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        say(f"        the console was down for {resource.status()['downtime']}")
        self.assert_component()
        self.assertEqual(self.component_runs(), ["start", "end"])
        self.assertEqual(docker("exec", COMPONENT, "cat", "/opt/oms-standin/component_version").strip(), "4.3.1")
        self.assertEqual(sorted(name for name, _ in containers().values()), sorted((OLD, NEW, COMPONENT)),
                         "neither the assistant nor a helper is left over")
        self.assertNotEqual(run("docker", "image", "inspect", TOOLS, check=False).returncode, 0, "nor its image")
        self.assertEqual(self.oms.script_runs(), (1, 1))
        self.assertGreater(self.beats(), first, "it has beaten all the while, and its ids went on")
        self.assertEqual([], sql("select table_name from information_schema.tables "
                                 f"where table_schema='{self.oms.cm_hb}' and table_name like 'heatbeat_sequence_%'"))
        self.assertLess(self.oms.sequence()["rows"], self.sequence["rows"] // 2, "compacted")
        self.assertEqual(resource.condition("ComponentUpgraded")["status"], "True")
        status = resource.status()
        place = Path(status["backups"][0]["place"])
        manifest = json.loads((place / "manifest.json").read_text())
        moving = {t["name"] for d in manifest["databases"] for t in d["digest"]["tables"] if t.get("moving")}
        self.assertIn("heart_beat", moving)
        self.assertNotIn("oms_project", moving)
        self.assertIn(f"docker stop {COMPONENT}", (place / "RESTORE.md").read_text())

        self.revert()
        self.wait_rolled_back()
        self.assert_component(stopped=True)
        self.assertEqual(self.component_runs(), ["start", "end"])
        self.assertEqual(sorted(containers().values()), sorted(((OLD, "running"), (COMPONENT, "running"))))
        self.assertEqual(sql("select version from oms_version", self.oms.rm), [["4.3.0"]])
        self.assert_ha_back(self.before, "NewStarting")
        self.assertTrue(any("no rollback of a component" in f for f in resource.status()["followUps"]))
        self.assert_no_secret(resource, self.main)

    def test_a_script_that_fails_in_the_component_leaves_oms_running(self):
        (self.data / "oms_run" / "standin-faults.json").write_text(
            json.dumps({"support_upgrade_action.sh": {"at": "end", "exitCode": 3}}))
        resource = self.begin("half", self.entries())
        until("the component's script to fail", lambda: self.stalled("ScriptFailed"), LATE)
        self.assertIn("no rollback of a component", resource.condition("Stalled")["message"])
        self.assertEqual(self.component_runs(), ["start", "end"])
        self.assert_component()
        self.assertTrue(inspect(OLD)["State"]["Running"])
        self.assertEqual(inspect(OLD)["State"]["StartedAt"], self.before.old["State"]["StartedAt"])
        self.revert()
        self.wait_rolled_back()
        self.assert_component()
        self.assertEqual(self.oms.ha_raw(), self.before.ha_raw)


if __name__ == "__main__":
    main()

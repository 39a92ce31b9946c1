"""From below 4.0.1 (the guide's second part): the correction jar, add_resource and the upgrade script, in this order and
each once; and what must hold before them. The stand-in's scripts refuse any other order, and a second run."""

import json
import os
import re

from harness import LATE, SOON, Oms, devenv, docker, inspect, main, run, sql, until
from rollback_test import Before, GoingBack

NEW_NODE = [{"name": "oms-1", "engine": {"endpoint": os.environ.get("DOCKER_HOST")}, "container": {"name": "oms_340"}}]
# What preflight waits for from below 4.0.1.
SEEN_TO = ["NoFullImportRunning", "NoOblogproxyTasks", "TasksSettled"]
# IS_UPGRADE does not hold the console of this image back, so it runs when the jar is to be begun.
CONSOLE_RUNS = {"docker_cmd.sh": {"noHold": True, "versions": ["4.3.1"]},
                "oms_console": {"hang": True, "times": 1, "versions": ["4.3.1"]}}


class LegacyTest(GoingBack):
    def fresh_oms(self):
        devenv("oms", "start", "3.4.0")
        self.oms = Oms()
        docker("update", "--restart", "always", "oms_340")
        self.oms_name = "oms_340"

    def upgrade(self, name, changes=None, faults=None):
        return self.begin(name, {"nodes": NEW_NODE, "acknowledge": SEEN_TO, **(changes or {})}, faults)

    def healthy(self):
        """3.4.0 has no /oms/health."""
        container = "oms_431" if inspect("oms_431") else "oms_340"
        status = run("docker", "exec", container, "supervisorctl", "status", check=False).stdout
        return status.count("RUNNING") == 6 or None

    def runs(self):
        """Of the scripts in the new container, in order."""
        log = (self.oms.data / "oms_logs" / "standin-runs.log").read_text()
        return re.findall(r" start (correction\.jar|add_resource|docker_upgrade\.sh) ", log)

    def wait_stalled(self, reason):
        return until(f"Stalled, {reason}", lambda: self.stalled(reason) and self.resource.condition("Stalled"), LATE)

    def test_from_3_4_0_to_4_3_1_and_back_once_no_two_tasks_have_the_same_name(self):
        names = dict(sql("select id, project_name from oms_project where id in (1, 2)", self.oms.rm))
        sql("update oms_project set project_name='the same' where id in (1, 2)", self.oms.rm)
        resource = self.upgrade("legacy", faults=CONSOLE_RUNS)
        stalled = self.wait_stalled("DuplicateTaskNames")
        self.assertIn("'the same' in oms_project (ids 1, 2)", stalled["message"])
        self.assertIn("UPDATE oms_project SET project_name='<new name>' WHERE id=2", stalled["message"])
        self.assertTrue(inspect("oms_340")["State"]["Running"])
        self.assertIsNone(inspect("oms_431"))
        generation = resource.get()["metadata"]["generation"]
        sql(f"update oms_project set project_name='{names['2']}' where id=2", self.oms.rm)
        before = Before(self.oms, "oms_340")

        until("the upgrade to go on by itself", lambda: not self.stalled("DuplicateTaskNames"), SOON)
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assertEqual(resource.get()["metadata"]["generation"], generation, "the resource was not touched")
        self.assertEqual(self.runs(), ["correction.jar", "add_resource", "docker_upgrade.sh"])
        for script in self.runs():
            self.assertEqual(self.oms.script_runs(script), (1, 1), script)
        self.assertEqual(self.oms.upgrade_runs(), 1)
        self.assertEqual(sql("select value from oms_counter where name='correction_runs'", self.oms.rm), [["1"]])
        log = (self.oms.data / "oms_logs" / "supervisord.log").read_text()
        self.assertIn("stopped: oms_console", log, "it was stopped for the jar")
        self.assertEqual(resource.status()["currentVersion"], "4.3.1")
        self.assertTrue(self.healthy(), "the console runs again")
        for condition in ("SchemaCorrected", "MetadataInitialized", "UpgradeScriptRun"):
            self.assertEqual(resource.condition(condition)["message"], "exit code 0, attempt 1")

        self.revert("3.4.0")
        self.wait_rolled_back()
        self.assert_back(before, "NewStarting", "3.4.0")
        self.assert_upgraded_state_kept("oms_verify_project")
        self.assert_no_secret(resource, self.main)

    def test_a_jar_that_fails_in_its_middle_is_not_run_again_and_the_way_back_works(self):
        before = Before(self.oms, "oms_340")
        resource = self.upgrade("half", faults={"correction.jar": {"at": "middle", "exitCode": 3}})
        stalled = self.wait_stalled("ScriptFailed")
        self.assertIn("the correction jar ended with exit code 3", stalled["message"])
        self.assertEqual(resource.condition("SchemaCorrected")["reason"], "ScriptFailed")
        self.main.kill()
        self.main.start()
        self.wait_stalled("ScriptFailed")
        self.assertEqual(self.runs(), ["correction.jar"])
        self.revert("3.4.0")
        until("the stall to be over", lambda: not self.stalled("ScriptFailed"), SOON)
        self.wait_rolled_back()
        self.assert_back(before, "NewStarting", "3.4.0")

    def test_changed_black_regions_wait_for_the_acknowledgement_and_the_plan_names_the_jar(self):
        sql("update config_job set value='3' where `key`='sourceFile.blackRegionNo' limit 1", self.oms.cm)
        resource = self.upgrade("regions", {"mode": "Plan"})
        stalled = self.wait_stalled("BlackRegionNoChanged")
        self.assertIn("sourceFile.blackRegionNo = 3, and cm_location is 2", stalled["message"])
        resource.patch({"spec": {"legacy": {"dataSourceUsedAtBothEnds": False}}})
        ready = until("the plan", lambda: next((c for c in [resource.condition("Ready")] if c.get(
            "reason") == "Planned"), None), LATE)
        self.assertEqual(ready["status"], "False")
        steps = json.dumps(resource.status()["plan"]["steps"])
        self.assertIn("correction-1.0-SNAPSHOT-jar-with-dependencies.jar -mupgrade", steps)
        self.assertIn("oms_cluster_manager add_resource", steps)
        self.assertTrue(inspect("oms_340")["State"]["Running"])


if __name__ == "__main__":
    main()

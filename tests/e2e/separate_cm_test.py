"""rm on OceanBase, cm and cm_hb on MariaDB (OMS_SEPARATE_CM=1): each database is looked at, dumped and brought back on
its own server, by what is right for that kind of server."""

import json
import os
from pathlib import Path

import snapshot
from harness import (LATER, MetaDb, Oms, Resource, containers, devenv, docker, inspect, kubectl, main, say, sql, until,
                     until_acting)
from rollback_test import Before, GoingBack, any_sql

WORD = "TasksReadyForSeparateCM"
API = {"taskAPI": {"secretRef": {"name": "console-user"}}}


class SeparateCmTest(GoingBack):
    """From 4.3.1, the first version whose config.yaml can say so, to 4.3.2."""

    def fresh_oms(self):
        devenv("oms", "start", "4.3.1", env={"OMS_SEPARATE_CM": "1"})
        docker("update", "--restart", "always", "oms_431")
        MetaDb.choose(None, separate_cm=True)
        self.oms = Oms()
        self.before = Before(self.oms, "oms_431")
        self.sequence_before = self.oms.sequence()

    def ask(self, name, words):
        self.main = self.controller()
        self.resource = Resource(name)
        node = {"name": "oms-1", "engine": {"endpoint": os.environ["DOCKER_HOST"]}, "container": {"name": "oms_431"}}
        self.resource.apply("4.3.2", {"nodes": [node], "acknowledge": words, "backup": {"image": False}})
        return self.resource

    def assert_on_both_servers(self, resource):
        """The upgraded world, and what was kept of the one before."""
        status = resource.status()
        self.assertEqual(status["currentVersion"], "4.3.2")
        self.assertTrue(inspect("oms_432")["State"]["Running"])
        self.assertFalse(inspect("oms_431")["State"]["Running"])
        self.assertEqual(self.oms.script_runs(), (1, 1))
        sequence = self.oms.sequence()
        self.assertGreaterEqual(sequence["min"], self.sequence_before["max"], "the last row was kept, and ids went on")
        self.assertLess(sequence["rows"], self.sequence_before["rows"] // 2, "compacted on the server of CM")
        self.assertNotEqual([], snapshot.differences(self.before.databases, snapshot.take(self.oms)))
        place = Path(status["backups"][0]["place"])
        manifest = json.loads((place / "manifest.json").read_text())
        servers = {d["name"]: (d["server"], d["oceanbase"]) for d in manifest["databases"]}
        rm = f"{os.environ['METADB_HOST']}:{os.environ['METADB_PORT']}"
        cm = f"{os.environ['METADB_MARIADB_HOST']}:{os.environ['METADB_MARIADB_PORT']}"
        self.assertEqual(servers, {self.oms.rm: (rm, True), self.oms.cm: (cm, False), self.oms.cm_hb: (cm, False)})
        restore = (place / "RESTORE.md").read_text()
        for prefix in ("METADB", "METADB_MARIADB"):
            self.assertIn(f"-P {os.environ[prefix + '_PORT']}", restore)
        self.assert_row()

    def assert_row(self):
        """One row for both, on the server of RM, with nobody left in it."""
        self.assertEqual((self.oms.row()["operation_id"], self.oms.still_registered()), ("", []))
        beside = f"/* where {self.oms.cm} lies */"
        if sql("select 1 from information_schema.tables where table_schema='oms_upgrade_controller' " + beside):
            self.assertEqual(sql(f"select oms from oms_upgrade_controller.ownership where oms='{self.oms.rm}' {beside}"), [])

    def assert_all_back(self):
        self.assert_back(self.before, "NewStarting", "4.3.1", "4.3.2", "oms_432")
        self.assert_row()

    # --- tests

    def assert_waits(self, reason, *words):
        stalled = until(f"Stalled with {reason}",
                        lambda: (s := self.resource.condition("Stalled")).get("reason") == reason and s, LATER)
        for word in words:
            self.assertIn(word, stalled["message"])
        self.assertEqual(list(containers().values()), [("oms_431", "running")], "nothing is touched")
        self.assertEqual(inspect("oms_431")["State"]["StartedAt"], self.before.old["State"]["StartedAt"])
        self.assertEqual(self.oms.ha_raw(), self.before.ha_raw)
        self.assertFalse(any_sql())

    def test_waits_for_its_tasks_then_is_upgraded_and_goes_back_after_success(self):
        resource = self.ask("separate", [])
        self.assert_waits("AcknowledgementNeeded", f"spec.acknowledge: [{WORD}]", "reverse increment step")

        # OMS itself is asked, and one task has not come far enough: no word helps.
        self.addCleanup(kubectl, "delete", "secret", "console-user", "--ignore-not-found")
        kubectl("apply", "-f", "-", text=json.dumps({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "console-user", "namespace": "default"},
            "stringData": {"username": "admin", "password": "Standin-api-1"}}))
        task = sql("select project_id from oms_project where enable_reverse_incr_transfer=1 and enable_incr_transfer=1 "
                   "and project_status='RUNNING' order by id limit 1", self.oms.rm)[0][0]
        self.oms.faults({"task_api": {"tasks": {task: {"currentStep": "INCR_TRANSFER",
                                                       "steps": {"REVERSE_INCR_TRANSFER": "INIT"}}}}})
        resource.patch({"spec": {"acknowledge": [WORD], **API}})
        self.assert_waits("TasksNotReady", task, "has not entered the reverse increment step")

        # Once it has, nobody has to say so.
        resource.patch({"spec": {"acknowledge": []}})
        self.assert_waits("TasksNotReady", task)
        self.oms.faults({})
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        say(f"        downtime {resource.status()['downtime']}")
        self.assert_on_both_servers(resource)

        self.revert("4.3.1")
        self.wait_rolled_back()
        self.assert_all_back()
        self.assert_upgraded_state_kept("oms_operation_log")
        self.assert_no_secret(resource, self.main)

    def test_with_the_word_and_killed_in_the_dump_and_in_the_restore_goes_on_on_both(self):
        resource = self.ask("separate-killed", [WORD])
        until_acting(self.main, "BackUpDatabases", any_sql)
        self.main.kill()
        self.main.start()
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assert_on_both_servers(resource)

        self.revert("4.3.1")
        until_acting(self.main, "RestoreDatabases")
        self.main.kill()
        self.main.start()
        self.wait_rolled_back()
        self.assert_all_back()


if __name__ == "__main__":
    main()

"""OMS itself fails: what may not be run twice is not, and a person is told what to do."""

import re

from harness import LATE, LATER, Resource, World, inspect, kubectl, main, run, until


class FaultTest(World):
    def upgrade_with(self, name, faults, changes=None):
        self.controller_ = self.controller()
        resource = Resource(name)
        resource.apply("4.3.0", changes)
        resource.wait_ready()
        self.oms.faults(faults)
        resource.upgrade()
        return resource

    def assert_stalled(self, resource, reason, step):
        stalled = resource.wait("Stalled")
        whole = resource.get()
        self.assertEqual(stalled["reason"], reason, stalled)
        self.assertEqual(resource.condition("Ready", whole)["status"], "False")
        self.assertEqual(resource.condition("Reconciling", whole)["status"], "False")
        self.assertEqual(resource.condition(step, whole)["status"], "False")
        self.assertIn("4.3.0", stalled["message"], "tells the way back")
        until("an event", lambda: any(e["reason"] == reason and e["type"] == "Warning" for e in resource.events()))
        self.assertIs(self.oms.ha()["enable"], False, "HA stays off while OMS is half done")
        old = inspect("oms_430")
        self.assertEqual(old["Id"], self.before.old["Id"], "the way back is there")
        self.assertFalse(old["State"]["Running"])
        backups = whole["status"]["backups"]
        self.assertEqual({b["database"] for b in backups}, {self.oms.rm, self.oms.cm, self.oms.cm_hb})
        return stalled

    def again(self, resource):
        """One more look, by another process."""
        self.controller_.kill()
        self.controller_.start()
        self.looked_again(resource)

    def second_resource_is_refused(self):
        """For an OMS that another has under way; it can be deleted, and the first one's row stays."""
        row = self.oms.row()
        second = Resource("second")
        second.apply("4.3.1")
        refused = second.wait("Stalled")
        self.assertEqual(refused["reason"], "OwnedByAnother", refused)
        self.assertIn("default/script", refused["message"])
        self.assertNotIn("operation", second.status())
        kubectl("delete", "omsupgrade", "second", f"--timeout={LATER}s")
        self.assertEqual(self.oms.row(), row)

    def reset(self, resource):
        kubectl("annotate", "omsupgrade", resource.name, "oms.oceanbase.com/resetAt=now", "--overwrite")

    def looked_again(self, resource):
        # An edit of the resource makes a pass; its end is counted.
        def reconciles():
            text = run("curl", "-fsS", f"{self.controller_.address()}/metrics").stdout
            return sum(float(n) for n in re.findall(r"(?m)^controller_runtime_reconcile_total\{.*\} (\S+)$", text))
        resource.patch({"metadata": {"annotations": {"e2e/look": str(reconciles())}}})
        before = reconciles()
        until("another look", lambda: reconciles() >= before + 1, LATER)

    def test_a_script_that_failed_is_not_run_a_second_time(self):
        resource = self.upgrade_with("script", {"docker_upgrade.sh": {"exitCode": 3, "versions": ["4.3.1"]}})
        stalled = self.assert_stalled(resource, "ScriptFailed", "UpgradeScriptRun")
        self.assertIn("exit code 3", stalled["message"])
        self.assertEqual(self.oms.script_runs(), (1, 1))
        self.again(resource)
        self.assert_stalled(resource, "ScriptFailed", "UpgradeScriptRun")
        self.assertEqual(self.oms.script_runs(), (1, 1), "one run is all it ever gets")
        self.second_resource_is_refused()
        # A token means to go back, data and all, and to begin anew.
        first = resource.status()["operation"]["id"]
        self.oms.faults({})
        self.reset(resource)
        ready = until("the second upgrade", lambda: (c := resource.condition("Ready")).get("reason") == "Succeeded" and c,
                      LATE)
        self.assertEqual(ready["status"], "True")
        self.assertNotEqual(resource.status()["operation"]["id"], first)
        self.assertEqual([h["outcome"] for h in resource.status()["history"]], ["Succeeded", "RolledBack"])
        self.assertEqual(self.oms.script_runs(), (2, 2), "once in each operation")
        self.assertEqual(self.oms.upgrade_runs(), 1, "the first run's changes are gone")

    def test_a_new_container_that_dies_is_not_started_again(self):
        resource = self.upgrade_with("died", {"docker_cmd.sh": {"exitCode": 7, "versions": ["4.3.1"]}})
        stalled = self.assert_stalled(resource, "NewContainerDied", "ContainersStarted")
        self.assertIn("exit code 7", stalled["message"])
        started = inspect("oms_431")["State"]["StartedAt"]
        self.again(resource)
        self.assert_stalled(resource, "NewContainerDied", "ContainersStarted")
        self.assertEqual(inspect("oms_431")["State"]["StartedAt"], started)
        self.assertEqual(inspect("oms_431")["RestartCount"], 0)
        self.assertEqual(self.oms.script_runs(), (0, 0))

    def test_services_that_do_not_get_healthy_are_waited_for_as_long_as_the_spec_says(self):
        resource = self.upgrade_with("sick", {"nginx": {"health": False, "versions": ["4.3.1"]}},
                                     {"strategy": {"timeouts": {"healthy": "15s"}}})
        self.assert_stalled(resource, "ServicesNotHealthy", "ServicesHealthy")
        self.assertEqual(self.oms.script_runs(), (1, 1))
        # Mended by hand, it goes on to its end by itself.
        self.oms.faults({})
        resource.wait_ready()
        self.assert_upgraded(resource)


if __name__ == "__main__":
    main()

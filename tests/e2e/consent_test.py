"""Nothing begins unasked, and nothing is forgotten unasked: annotations and finalizers that others take away."""

import json

from harness import LATE, LATER, Resource, World, docker, inspect, kubectl, main, until

RESET_AT = "oms.oceanbase.com/resetAt"
PROTECT = "oms.oceanbase.com/protect"


class ConsentTest(World):
    """One OMS; what each part leaves is what the next one begins with."""

    def test_what_others_take_away(self):
        self.main = self.controller()
        self.resource = Resource("consent")
        with self.subTest("a token that is taken away begins nothing"):
            self.a_token_that_is_taken_away()
        with self.subTest("a replace in the middle forgets nothing"):
            self.a_replace_in_the_middle()
        with self.subTest("an idle resource goes without a controller"):
            self.an_idle_resource()

    def finalizers(self):
        return self.resource.get()["metadata"].get("finalizers", [])

    def annotate(self, word):
        kubectl("annotate", "omsupgrade", self.resource.name, word, "--overwrite")

    def a_token_that_is_taken_away(self):
        self.oms.faults({"docker_upgrade.sh": {"at": "start", "exitCode": 1, "versions": ["4.3.1"]}})
        self.resource.apply("4.3.0", {"image": {"archive": None}, "strategy": {"onFailure": "Rollback"},
                                      "backup": {"image": False}})
        self.annotate(f"{RESET_AT}=an-earlier-one")
        self.resource.wait_ready()
        self.resource.upgrade()
        self.resource.wait_stalled("RolledBackAfterFailure", LATE)
        runs = self.oms.script_runs()
        operation = self.resource.status()["operation"]["id"]
        self.annotate(f"{RESET_AT}-")
        # A request is seen to have been looked at: by then the missing token has been, too.
        self.annotate("oms.oceanbase.com/requestedAt=look")
        until("the request was seen",
              lambda: self.resource.status().get("lastHandled", {}).get("requestedAt") == "look", LATER)
        self.assertEqual(self.resource.status()["operation"]["id"], operation, "another operation was begun")
        self.assertEqual(self.oms.script_runs(), runs)
        self.assertEqual(self.resource.condition("Stalled")["reason"], "RolledBackAfterFailure")
        self.assertTrue(inspect("oms_430")["State"]["Running"])
        self.assertNotIn(PROTECT, self.finalizers(), "nothing is open")

    def a_replace_in_the_middle(self):
        self.oms.faults({"docker_upgrade.sh": {"at": "middle", "hang": True, "versions": ["4.3.1"]}})
        self.annotate(f"{RESET_AT}=begin-anew")
        until("the script runs", lambda: any(
            p["name"] == "UpgradeScriptRun" and p["state"] == "Running"
            for p in self.resource.status().get("phases") or []), LATE)
        self.assertIn(PROTECT, self.finalizers())
        whole = self.resource.get()
        for field in ("finalizers", "resourceVersion", "managedFields"):
            whole["metadata"].pop(field, None)
        kubectl("replace", "-f", "-", text=json.dumps(whole))
        until("the finalizer is put back", lambda: PROTECT in self.finalizers(), LATER)
        kubectl("delete", "omsupgrade", self.resource.name, f"--timeout={LATE}s")
        self.assertTrue(inspect("oms_430")["State"]["Running"], "OMS was left as it was in the middle")
        self.assertNotIn("oms_431", docker("ps", "-a", "--format", "{{.Names}}").split())
        self.assertTrue(self.oms.ha()["enable"])

    def an_idle_resource(self):
        self.oms.faults({})
        self.resource.apply("4.3.0", {"image": {"archive": None}})
        self.resource.wait_ready()
        self.resource.patch({"metadata": {"finalizers": [PROTECT]}})  # As a controller before this one left it.
        until("the finalizer is taken off", lambda: PROTECT not in self.finalizers(), LATER)
        self.main.stop()
        kubectl("delete", "omsupgrade", self.resource.name, f"--timeout={LATER}s")


if __name__ == "__main__":
    main()

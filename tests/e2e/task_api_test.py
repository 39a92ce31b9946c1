"""OMS's task API answers how its tasks stand: a task that is not ready is waited for, by its name, with nothing touched, and the
upgrade begins by itself once it is ready."""

import json
import os
import re
from pathlib import Path

from harness import LATER, Resource, World, kubectl, main, until

PASSWORD = "Standin-api-1"
READY, NOT_READY = "np_0000005a1ed1", {"tasks": {"np_0000005a1ed1": {"useLogProxy": True}}}


class TaskApiTest(World):
    sample_rows = 2000

    def setUp(self):
        super().setUp()
        self.addCleanup(kubectl, "delete", "secret", "console-user", "--ignore-not-found")

    def secret(self, password):
        kubectl("apply", "-f", "-", text=json.dumps({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "console-user", "namespace": "default"},
            "stringData": {"username": "admin", "password": password}}))

    def stalls(self, resource, reason, *words):
        found = until(f"Stalled with {reason}", lambda: (s := resource.condition("Stalled")).get("reason") == reason and s,
                      LATER)
        for word in words:
            self.assertIn(word, found["message"])
        self.assert_untouched()

    def test_a_task_that_is_not_ready_is_waited_for_and_nothing_tells_the_password(self):
        controller = self.controller()
        resource = Resource("tasks")
        self.secret("wr0ng-password")
        resource.apply("4.3.1", {"taskAPI": {"secretRef": {"name": "console-user"}}})
        self.stalls(resource, "TaskAPIDenied", "correct the Secret default/console-user")

        self.oms.faults({"task_api": {"body": "<html>a login page</html>"}})
        self.secret(PASSWORD)
        self.stalls(resource, "TaskAPIAnswerInvalid", "ListProjects is not JSON")

        self.oms.faults({"task_api": NOT_READY})
        self.stalls(resource, "TasksNotReady", READY, "reads through oblogproxy")
        generation = resource.get()["metadata"]["generation"]
        self.oms.faults({})
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assertEqual(resource.get()["metadata"]["generation"], generation, "without an edit")
        self.assert_upgraded(resource)

        told = [e["message"] for e in resource.events() if e["reason"] == "SeeToItFirst"]
        self.assertEqual(len(told), 1, "what the tasks show to hold is not told")
        self.assertRegex(told[0], r"OMS reports: np_\w+ '")
        texts = json.dumps(resource.get()) + json.dumps(resource.events()) + controller.log.read_text()
        for path in Path(os.environ["OMS_BACKUPS"]).rglob("*.json"):
            texts += path.read_text()
        self.assertIsNone(re.search(f"{PASSWORD}|wr0ng-password|YWRtaW46", texts))


if __name__ == "__main__":
    main()

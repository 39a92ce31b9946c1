"""An upgrade by editing one field, and everything that must be true afterwards."""

import json
import os
import re
import time
from pathlib import Path

from harness import (LATE, STEPS, WITH_LEASE, Resource, SecretWatch, World, docker, kubectl, main, run, say, sql,
                     until)

WRITES = re.compile(r'^apiserver_request_total\{(.*)\} (\S+)$', re.M)


def api_writes():
    """Requests that may change something, by verb and resource, without those that are not the controller's
    work on resources (its Lease) or anybody's (the API server's own)."""
    counts = {}
    for labels, count in WRITES.findall(kubectl("get", "--raw", "/metrics").stdout):
        found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if found["verb"] in ("POST", "PUT", "PATCH", "DELETE", "APPLY") and \
                (found["group"] == "oms.oceanbase.com" or found["resource"] in ("events", "secrets")):
            key = (found["verb"], found["resource"], found.get("subresource", ""))
            counts[key] = counts.get(key, 0) + float(count)
    return counts


class UpgradeTest(World):
    def test_editing_the_version_carries_oms_there_and_nothing_is_written_afterwards(self):
        controller = self.controller("main", *WITH_LEASE)
        resource = Resource("upgrade")
        resource.apply("4.3.0")
        self.assertEqual(resource.wait_ready()["reason"], "UpToDate")
        self.assertEqual(resource.status()["currentVersion"], "4.3.0")
        self.assert_untouched()

        watch = SecretWatch(controller.pid, os.environ["METADB_PASSWORD"])
        watch.start()
        begun = time.monotonic()
        resource.upgrade()
        ready = resource.wait_ready()
        say(f"4.3.0 -> 4.3.1 in {time.monotonic() - begun:.1f} s, downtime {resource.status()['downtime']}")
        watch.end()
        self.assertEqual(ready["reason"], "Succeeded", ready)
        self.assert_upgraded(resource)
        # What is started and then written down is acted on twice.
        self.assertEqual(list(dict.fromkeys(controller.acted())), STEPS, "each step was acted on, in order")

        with self.subTest("conditions"):
            conditions = {c["type"]: c for c in resource.status()["conditions"]}
            self.assertEqual(conditions["Reconciling"]["status"], "False")
            self.assertEqual(conditions["Stalled"]["status"], "False")
            generation = resource.get()["metadata"]["generation"]
            self.assertEqual({c["observedGeneration"] for c in conditions.values()}, {generation})
            self.assertEqual([p["name"] for p in resource.status()["phases"] if p["state"] not in ("Done", "Skipped")], [])

        with self.subTest("events"):
            resource.wait_event("UpgradeSucceeded")
            reasons = {e["reason"] for e in resource.events()}
            self.assertLessEqual({"UpgradeStarted", "UpgradeSucceeded"}, reasons)
            # A look at its health that took too long is told, and no failure.
            self.assertEqual([e["message"] for e in resource.events()
                              if e["type"] == "Warning" and e["reason"] != "OMSUnhealthy"], [])

        with self.subTest("metrics"):
            metrics = run("curl", "-fsS", f"{controller.address()}/metrics").stdout
            self.assertRegex(metrics, r'(?m)^controller_runtime_reconcile_total\{.*\} [1-9]')

        with self.subTest("no secret is told"):
            self.assert_no_secret(resource, controller)
            self.assertEqual(watch.found, set())
            # The watch did look at something: the dump tool is a child that needs the password.
            self.assertTrue(any("dumper" in name or "mysqldump" in name for name in watch.seen), watch.seen)

        with self.subTest("kubectl explain teaches"):
            explained = kubectl("explain", "omsupgrade.spec", "--recursive").stdout
            for field in ("version", "image", "nodes", "endpoint", "passwordSecretRef", "onFailure", "suspend"):
                self.assertRegex(explained, rf"(?m)^\s+{field}\s+<")
            self.assertIn("DESCRIPTION", kubectl("explain", "omsupgrade.spec.version").stdout)

        with self.subTest("kubectl get and describe tell"):
            line = kubectl("get", "omsu", resource.name, "--no-headers").stdout
            for word in ("4.3.1", "True", "100%"):
                self.assertIn(word, line)
            self.assertIn("UpgradeSucceeded", kubectl("describe", "omsupgrade", resource.name).stdout)

        self.idle(resource)

    def idle(self, resource):
        """A minute with nothing to do: nothing is written to the API server, the MetaDB, the engine or the disk."""
        def world():
            files = {str(p): p.stat().st_mtime_ns for p in Path(os.environ["OMS_BACKUPS"]).rglob("*")}
            return {"resource": resource.get()["metadata"]["resourceVersion"], "row": self.oms.row(),
                    "events": sorted(e["metadata"]["resourceVersion"] for e in resource.events()),
                    "writes": api_writes(), "files": files,
                    "tables": sql("select table_name from information_schema.tables "
                                  "where table_schema='oms_upgrade_controller'")}
        # Events are sent on a thread of their own; the last may still be on its way.
        last = {}
        def still():
            now = repr(sorted(world().items()))
            same, last["seen"] = last.get("seen") == now, now
            return same
        until("the world to come to rest", still, 30, 1)
        first, since = world(), int(time.time())
        end = time.monotonic() + 65  # One look of the controller at an idle resource is in it.
        until("an idle minute", lambda: time.monotonic() > end, 80, 1)
        self.assertEqual(first, world())
        acts = docker("events", "--since", str(since), "--until", str(int(time.time())), "--format", "{{.Type}} {{.Action}}")
        changes = [a for a in acts.splitlines() if a.split()[1] in
                   ("create", "start", "stop", "kill", "die", "destroy", "update", "rename", "load", "pull", "tag", "delete")]
        self.assertEqual(changes, [])


if __name__ == "__main__":
    main()

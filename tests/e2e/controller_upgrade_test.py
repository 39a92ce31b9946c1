"""The controller itself is upgraded: an earlier release begins an operation and is killed in its middle, once after each
point that it writes down before an act. The new one reads that record and ends the operation."""

import json
import os
from pathlib import Path

from harness import LATER, REPO, Resource, inspect, main, run, say, until, until_acting
from rollback_test import Before, GoingBack

UPGRADE = (
    ("HADisabling", "DisableHA", lambda t: t.oms.ha()["enable"] is False),
    ("Stopping", "StopContainers", lambda t: inspect("oms_430")["HostConfig"]["RestartPolicy"]["Name"] == "no"),
    ("NewStarting", "StartContainers", lambda t: inspect("oms_431")["State"]["Running"]),
    ("ScriptStarting", "RunUpgradeScript", lambda t: t.oms.script_runs() == (1, 0)),
)
WAY_BACK = (
    ("RollbackStopping", "StopNewContainers", None),
    ("FirstDrop", "RestoreDatabases", None),
    ("OldStarting", "StartOldContainers", lambda t: inspect("oms_430")["State"]["Running"]),
)


class Replaced(GoingBack):
    def earlier(self):
        binary = run(REPO / "hack" / "lib" / "earlier_release.sh", timeout=None).stdout.strip()
        return self.controller("main", binary=binary)

    def newer(self):
        """In the earlier one's place, as a Deployment does it: the same name, log and volume."""
        self.main = self.controller("main")
        return self.main

    def records(self):
        """Of all operations, as the controllers have written them; the newest of each operation last."""
        files = sorted(Path(os.environ["OMS_BACKUPS"]).glob("*/*/record/*.json"),
                       key=lambda p: (p.stat().st_mtime_ns, int(p.stem)))
        return [json.loads(p.read_text()) for p in files]

    def passed(self, point):
        return any(p["point"] == point for record in self.records() for p in record["points"])

    def dies_after(self, controller, point, step, seen):
        until_acting(controller, step)
        until(f"the point {point}", lambda: self.passed(point), LATER, 0.005)
        if seen:
            until(f"the act after {point}", lambda: seen(self), LATER, 0.005)
        controller.kill()
        record = self.records()[-1]
        self.assertEqual(record["outcome"], "Open", "killed in the middle, and not later")
        say(f"        killed after {point}; the record has format {record['format']}")
        return record

    def each(self, rows, play):
        for number, (point, step, seen) in enumerate(rows):
            with self.subTest(point):
                if number:
                    self.clean()
                    self.fresh_oms()
                play(f"replaced-{number}", point, step, seen)


class ControllerUpgradeTest(Replaced):
    def test_an_upgrade_that_an_earlier_release_began_is_ended_by_this_one(self):
        self.each(UPGRADE, self.upgrade)

    def upgrade(self, name, point, step, seen):
        earlier = self.earlier()
        self.main, self.resource = earlier, Resource(name)
        self.resource.apply("4.3.0")
        self.resource.wait_ready()
        self.resource.upgrade()
        begun = self.dies_after(earlier, point, step, seen)
        newer = self.newer()
        self.assertEqual(self.resource.wait_ready()["reason"], "Succeeded")
        self.assertEqual(self.records()[-1]["id"], begun["id"], "no second operation was begun")
        self.assert_upgraded(self.resource)
        self.assert_no_secret(self.resource, newer)


class ControllerUpgradeUndoTest(Replaced):
    def test_a_way_back_that_an_earlier_release_began_is_ended_by_this_one(self):
        self.each(WAY_BACK, self.undo)

    def undo(self, name, point, step, seen):
        before = Before(self.oms)
        earlier = self.earlier()
        self.main, self.resource = earlier, Resource(name)
        self.resource.apply("4.3.0", {"backup": {"image": False}})
        self.resource.wait_ready()
        self.resource.upgrade()
        self.assertEqual(self.resource.wait_ready()["reason"], "Succeeded")
        self.revert()
        begun = self.dies_after(earlier, point, step, seen)
        newer = self.newer()
        self.wait_rolled_back()
        self.assertEqual(self.records()[-1]["id"], begun["id"], "no second operation was begun")
        self.assert_back(before, "NewStarting")
        self.assert_no_secret(self.resource, newer)


if __name__ == "__main__":
    main()

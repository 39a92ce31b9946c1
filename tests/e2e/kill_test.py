"""kill -9 of the controller in each step: the next one goes on to the same end."""

import os
import time
from pathlib import Path

from harness import STEPS, Resource, World, inspect, main, say, until_acting


class Killed(World):
    def kill_in(self, steps, resource, erase=False, under_way=None):
        """kill -9 in each step, in one upgrade; each time another process goes on. At the first line of the step, or
        where `under_way` has a probe for it, once that has seen the act in the world."""
        controller = self.controller()
        resource.apply("4.3.0")
        resource.wait_ready()
        begun = time.monotonic()
        resource.upgrade()
        killed, operation = [], None
        for step in steps:
            until_acting(controller, step, (under_way or {}).get(step))
            controller.kill()
            killed.append(controller.acted()[-1])
            say(f"{time.monotonic() - begun:6.1f} s  killed in {killed[-1]}")
            shown = resource.status().get("operation", {}).get("id")
            if shown:
                operation = operation or shown
                self.assertEqual(shown, operation, "no second operation was begun")
            if erase:
                resource.erase_status()
                self.assertNotIn("operation", resource.status())
            controller.start()
        self.assertEqual(killed, steps, "died in each of them, and not later")
        ready = resource.wait_ready()
        say(f"{time.monotonic() - begun:6.1f} s  ready; downtime {resource.status()['downtime']}")
        self.assertEqual(ready["reason"], "Succeeded", ready)
        self.assertEqual(resource.status()["operation"]["id"], operation or resource.status()["operation"]["id"])
        self.assert_upgraded(resource)
        self.assert_no_secret(resource, controller)


class KillTest(Killed):
    def test_killed_once_in_each_step_the_upgrade_ends_the_same(self):
        self.kill_in(STEPS, Resource("killed"))


class EraseTest(Killed):
    def test_killed_in_the_middle_of_steps_and_its_status_erased_the_upgrade_ends_the_same(self):
        backups = Path(os.environ["OMS_BACKUPS"])
        self.kill_in(STEPS, Resource("erased"), erase=True, under_way={
            "SaveOldImage": lambda: any(p.stat().st_size for p in backups.rglob("images/*")),
            "StopContainers": lambda: inspect("oms_430")["HostConfig"]["RestartPolicy"]["Name"] == "no",
            "BackUpDatabases": lambda: any(".sql" in p.name for p in backups.rglob("*")),
            "StartContainers": lambda: inspect("oms_431")["State"]["Running"],
            "RunUpgradeScript": lambda: self.oms.script_runs() == (1, 0),
        })


if __name__ == "__main__":
    main()

"""What the controller did not make it leaves alone, and what cannot be helped holds nothing up: a person's own files,
a link, a container that the engine cannot remove, or that somebody has removed or started in the middle."""

import os
import subprocess
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness import DAYS, LATER, Resource, World, docker, inspect, main, run, until, until_acting

MINE = "# mine: prepared by a person\n"

# A dump that does not end before its controller does.
DUMPS_ON = """#!/bin/sh
case "$*" in *--outputdir=*) exec sleep 3600 ;; esac
exec /usr/bin/mydumper "$@"
"""


class LeftAloneTest(World):
    def resource(self, name, **spec):
        resource = Resource(name)
        resource.apply("4.3.0", spec)
        self.assertEqual(resource.wait_ready()["reason"], "UpToDate")
        return resource

    def up(self, resource):
        resource.upgrade()
        return self.succeeds(resource)

    def succeeds(self, resource):
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")

    def back(self, resource):
        resource.upgrade("4.3.0")
        self.is_back(resource)

    def is_back(self, resource):
        self.assertEqual(resource.wait_ready()["reason"], "RolledBackByRequest")
        self.assertTrue(inspect("oms_430")["State"]["Running"])

    def holding(self):
        """A controller whose dump does not end."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        program = Path(folder.name) / "mydumper"
        program.write_text(DUMPS_ON)
        program.chmod(0o755)
        return self.controller(tools=folder.name)

    def into_the_downtime(self, resource, controller):
        """OMS is stopped, the new container made and not started, and nobody works on it. The next process dumps."""
        resource.upgrade()
        until_acting(controller, "BackUpDatabases")
        controller.kill()
        controller.tools = None
        self.assertEqual(inspect("oms_431")["State"]["Status"], "created")
        self.assertFalse(inspect("oms_430")["State"]["Running"])

    def immovable(self):
        """A file in the container's own layer that nobody can remove; until the test's end."""
        upper = Path(inspect("oms_431")["GraphDriver"]["Data"]["UpperDir"])
        (upper / "immovable").touch()
        run("chattr", "+i", upper / "immovable")

        def mend():
            subprocess.run(["chattr", "-i", upper / "immovable"], check=False, capture_output=True)
            docker("rm", "-f", "oms_431", check=False)
        self.addCleanup(mend)
        return upper / "immovable"

    # --- files of the host

    def test_a_file_that_a_person_prepared_is_told_before_anything_is_written(self):
        self.controller()
        new = self.oms.data / "config-4.3.1.yaml"
        resource = self.resource("prepared")
        new.write_text(MINE)
        resource.upgrade()
        found = resource.wait_stalled("ConfigFileExists")
        self.assertIn(str(new), found["message"])
        self.assertEqual(resource.condition("PreflightPassed")["status"], "False")
        self.assertEqual(new.read_text(), MINE)
        self.assertEqual(sorted(p.name for p in self.oms.data.glob("*.yaml")), ["config-4.3.1.yaml", "config.yaml"])
        self.assertEqual([p.name for p in self.oms.data.glob(".*")], [])
        self.assert_untouched()
        # Moved away, it goes on by itself.
        new.rename(self.oms.data / "mine.yaml")
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assertIn("oms_rm_meta_host", new.read_text())
        # What somebody changes in ours is kept.
        with new.open("a") as file:
            file.write("# a change since\n")
        changed = new.read_text()
        self.back(resource)
        self.assertFalse(new.exists())
        copy = Path(resource.status()["operation"]["folder"]) / "rollback" / "oms-1" / "config-4.3.1.yaml"
        self.assertEqual(copy.read_text(), changed)
        self.assertEqual(copy.stat().st_mode & 0o077, 0)
        resource.wait_event("ConfigFileKept")
        self.assertEqual((self.oms.data / "mine.yaml").read_text(), MINE)

    def test_a_file_of_ours_that_a_person_changes_before_the_stop_is_told_and_written_again_once_it_is_gone(self):
        self.controller()
        new = self.oms.data / "config-4.3.1.yaml"
        resource = self.resource("changed")
        far = DAYS[(datetime.now(timezone.utc) + timedelta(days=3)).weekday()]
        resource.patch({"spec": {"maintenanceWindow": {"days": [far], "start": "00:00", "end": "00:01",
                                                       "timeZone": "UTC"}}})
        resource.upgrade()
        until("it is held", lambda: resource.condition("Ready").get("reason") == "OutsideWindow", LATER)
        written = new.read_text()
        new.write_text(written + "# more\n")
        resource.patch({"metadata": {"annotations": {"oms.oceanbase.com/requestedAt": "look"}}})
        found = resource.wait_stalled("ConfigFileExists")
        self.assertIn(str(new), found["message"])
        self.assertEqual(new.read_text(), written + "# more\n")
        self.assertTrue(inspect("oms_430")["State"]["Running"])
        new.unlink()
        until("the file to be written again", lambda: new.is_file() and new.read_text() == written, LATER)
        resource.patch({"spec": {"maintenanceWindow": None}})
        self.succeeds(resource)

    def test_a_link_is_refused_in_place_and_works_beside(self):
        config = self.oms.data / "config.yaml"
        managed = Path(os.environ["DEVENV_DIR"]) / "omscfg" / "config.yaml"
        managed.parent.mkdir(exist_ok=True)
        managed.write_bytes(config.read_bytes())
        config.unlink()
        config.symlink_to("../omscfg/config.yaml")
        docker("restart", "oms_430")
        self.before.old = inspect("oms_430")
        self.controller()
        resource = self.resource("link", deployment={"config": "InPlace"})
        resource.upgrade()
        found = resource.wait_stalled("ConfigIsLink")
        for word in ("../omscfg/config.yaml", "Beside"):
            self.assertIn(word, found["message"])
        self.assert_untouched()
        resource.patch({"spec": {"deployment": {"config": "Beside"}}})
        self.succeeds(resource)
        self.back(resource)
        self.assertEqual(os.readlink(config), "../omscfg/config.yaml")
        self.assertEqual(managed.read_bytes(), self.before.config)

    def test_an_edit_in_place_that_a_person_makes_by_hand_is_taken(self):
        controller = self.holding()
        resource = self.resource("by-hand", deployment={"config": "InPlace"})
        self.into_the_downtime(resource, controller)
        config = self.oms.data / "config.yaml"
        lines = []
        for line in config.read_text().splitlines(keepends=True):
            old = line.lstrip('"').startswith("oms_meta_")
            lines += [line.replace("oms_meta_", f"oms_{server}_meta_") for server in ("rm", "cm")] if old else [line]
        config.write_text("".join(lines))
        by_hand = config.read_bytes()
        self.assertNotEqual(by_hand, self.before.config)
        controller.start()
        self.succeeds(resource)
        self.assertEqual(config.read_bytes(), by_hand)
        self.back(resource)
        self.assertEqual(config.read_bytes(), self.before.config, "the copy is put back")

    # --- a container that the engine cannot remove

    def test_a_new_container_that_cannot_be_removed_holds_up_no_return_before_its_start_or_after_success(self):
        def is_told():
            self.assertTrue(inspect("oms_431")["State"]["Dead"])
            self.assertTrue([text for text in resource.status()["followUps"] if "docker rm oms_431" in text])

        controller = self.holding()
        resource = self.resource("dead")
        self.into_the_downtime(resource, controller)
        file = self.immovable()
        resource.upgrade("4.3.0")
        controller.start()
        self.is_back(resource)
        is_told()
        resource.wait_event("ContainerNotRemoved")
        # What it says helps, and the next upgrade has the name.
        run("chattr", "-i", file)
        docker("rm", "oms_431")
        self.up(resource)
        self.immovable()
        self.back(resource)
        is_told()
        self.assertTrue(controller.alive())

    # --- somebody's hand in the middle

    def test_an_old_container_that_is_pruned_in_the_downtime_is_told_and_a_revert_goes_back(self):
        controller = self.holding()
        resource = self.resource("pruned")
        self.into_the_downtime(resource, controller)
        docker("container", "prune", "-f")
        self.assertIsNone(inspect("oms_430"))
        controller.start()
        resource.wait_stalled("OldContainerGone")
        self.assertIsNone(inspect("oms_430"))
        self.assertEqual(self.oms.script_runs(), (0, 0))
        self.back(resource)

    def test_a_new_container_that_somebody_starts_is_told_and_made_again(self):
        controller = self.holding()
        resource = self.resource("started")
        self.into_the_downtime(resource, controller)
        docker("start", "oms_431")
        self.assertTrue(inspect("oms_431")["State"]["Running"])
        controller.start()
        found = resource.wait_stalled("NewContainerStarted")
        self.assertIn("docker rm -f oms_431", found["message"])
        self.assertEqual(self.oms.script_runs(), (0, 0))
        first = inspect("oms_431")["Id"]
        docker("rm", "-f", "oms_431")
        until("the container to be made again, and started in its turn",
              lambda: (c := inspect("oms_431")) and c["Id"] != first and c["State"]["Running"], LATER)
        self.succeeds(resource)
        self.assertEqual(self.oms.script_runs(), (1, 1))


if __name__ == "__main__":
    main()

"""Version and image are two fields that change together: where one was forgotten, or a name means another image than
the archive's, nothing is stopped for it, and nothing is called a version that it is not."""

import json
import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness import ALONE, DAYS, LATER, Oms, Resource, World, devenv, docker, inspect, main, run, until


def image_id(reference):
    done = run("docker", "image", "inspect", "-f", "{{.Id}}", reference, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def archive_of(version):
    return f"{os.environ['OMS_ARCHIVES']}/oms_{version}.tar.gz"


def id_in_archive(version):
    """The id that Docker shows for it, as the stand-in's build wrote it down."""
    return json.loads((Path(os.environ["OMS_ARCHIVES"]) / "image-ids.json").read_text())[f"oms:{version}"]


class ImageWorld(World):
    version = None  # Of the OMS that runs.

    def fresh_oms(self):
        self.old_name = f"oms_{self.version.replace('.', '')}"
        self.forget_images()
        devenv("oms", "start", self.version)
        self.oms = Oms()
        docker("update", "--restart", "always", self.old_name)
        self.old = inspect(self.old_name)
        self.ha_raw = self.oms.ha_raw()
        self.runs = self.oms.script_runs()
        self.archives = Path(os.environ["DEVENV_DIR"]) / "image-archives"
        self.archives.mkdir(exist_ok=True)
        self.addCleanup(shutil.rmtree, self.archives, ignore_errors=True)
        self.addCleanup(self.forget_images)

    def forget_images(self):
        """The names that these tests give; and what upgrades have made."""
        devenv("oms", "reset")
        for name in ("oms:latest", "oms:site", "oms:kept", "oms:4.3.1", "oms:4.3.2"):
            docker("image", "rm", "-f", name, check=False)

    def controller(self, name="main", *args, binary=None):
        return super().controller(name, *ALONE, "--allow-archive-dir", str(self.archives), *args, binary=binary)

    def resource(self, name, reference, archive, **spec):
        """Of what runs, so that only an edit begins something."""
        resource = Resource(name)
        changes = {"nodes": [{"name": "oms-1", "engine": {"endpoint": os.environ["DOCKER_HOST"]},
                              "container": {"name": self.old_name}}],
                   "image": {"reference": reference, "archive": archive}, **spec}
        resource.apply(self.version, changes)
        self.assertEqual(resource.wait_ready()["reason"], "UpToDate")
        return resource

    def saved_as(self, version, reference):
        """An archive that holds the image of that version under another name, which nobody else has afterwards."""
        before = image_id(reference)
        docker("load", "-i", archive_of(version))
        if before:
            docker("tag", before, "oms:kept")
        docker("tag", id_in_archive(version), reference)
        path = self.archives / f"{reference.replace(':', '_')}.tar"
        docker("save", "-o", path, reference)
        docker("image", "rm", reference, check=False)
        docker("image", "rm", f"oms:{version}", check=False)
        if before:
            docker("tag", "oms:kept", reference)
            docker("image", "rm", "oms:kept")
        return str(path)

    def assert_runs_untouched(self, new_name="oms_432"):
        now = inspect(self.old_name)
        self.assertTrue(now["State"]["Running"])
        self.assertEqual((now["Id"], now["State"]["StartedAt"], now["HostConfig"]["RestartPolicy"]),
                         (self.old["Id"], self.old["State"]["StartedAt"], self.old["HostConfig"]["RestartPolicy"]))
        self.assertIsNone(inspect(new_name))
        self.assertEqual(self.oms.ha_raw(), self.ha_raw)
        self.assertEqual(self.oms.script_runs(), self.runs)

    def assert_upgraded_to(self, resource, version, reference):
        new = inspect(f"oms_{version.replace('.', '')}")
        self.assertTrue(new["State"]["Running"])
        self.assertEqual(new["Image"], id_in_archive(version))
        self.assertEqual(new["Config"]["Image"], reference, "docker ps shows the image by its name")
        self.assertFalse(inspect(self.old_name)["State"]["Running"])
        self.assertEqual(self.oms.script_runs(), (self.runs[0] + 1, self.runs[1] + 1))
        self.assertEqual(resource.status()["currentVersion"], version)


class ImageTest(ImageWorld):
    """An OMS of 4.3.1: its docker_upgrade.sh runs again on its own schemas, where nobody looks at the image."""
    version = "4.3.1"

    def test_a_version_that_was_edited_alone_is_refused_by_the_images_name(self):
        self.controller()
        resource = self.resource("tag", "oms:4.3.1", archive_of("4.3.1"))
        resource.patch({"spec": {"version": "4.3.2"}})
        found = resource.wait_stalled("ImageVersionDiffers")
        for word in ("4.3.2", "oms:4.3.1", "spec.image", "ImageNamesAnotherVersion"):
            self.assertIn(word, found["message"])
        self.assert_runs_untouched()

    def test_a_version_that_was_edited_alone_is_refused_by_the_image_that_runs(self):
        self.controller()
        with self.subTest("that is there"):
            resource = self.resource("present", "oms:4.3.1", None)
            resource.patch({"spec": {"version": "4.3.2"}})
            found = resource.wait_stalled("ImageIsTheOldOne")
            for word in ("oms:4.3.1", "oms_431", "4.3.2"):
                self.assertIn(word, found["message"])
            self.assert_runs_untouched()
            resource.remove()
        with self.subTest("and in the archive"):
            resource = self.resource("archived", "oms:4.3.1", archive_of("4.3.1"),
                                     acknowledge=["ImageNamesAnotherVersion"])
            resource.patch({"spec": {"version": "4.3.2"}})
            resource.wait_stalled("ImageIsTheOldOne")
            self.assert_runs_untouched()
            # What was forgotten is written: it goes on by itself.
            resource.upgrade("4.3.2")
            self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
            self.assert_upgraded_to(resource, "4.3.2", "oms:4.3.2")

    def test_an_archive_that_lacks_the_name_is_refused_with_the_names_that_it_has(self):
        self.controller()
        resource = self.resource("lacks", "oms:4.3.1", archive_of("4.3.1"), acknowledge=["ImageNamesAnotherVersion"])
        resource.patch({"spec": {"version": "4.3.2", "image": {"archive": archive_of("4.3.2")}}})
        found = resource.wait_stalled("ImageNotInArchive")
        for word in ("oms:4.3.1", "oms:4.3.2", "spec.image.reference"):
            self.assertIn(word, found["message"])
        self.assert_runs_untouched()
        self.assertIsNone(image_id("oms:4.3.2"), "nothing was loaded")

    def test_a_new_archive_under_a_name_that_the_engine_has_is_loaded(self):
        archive = self.saved_as("4.3.2", "oms:4.3.1")
        self.assertEqual(image_id("oms:4.3.1"), self.old["Image"])
        self.controller()
        resource = self.resource("same-name", "oms:4.3.1", archive_of("4.3.1"),
                                 acknowledge=["ImageNamesAnotherVersion"])
        resource.patch({"spec": {"version": "4.3.2", "image": {"archive": archive}}})
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assert_upgraded_to(resource, "4.3.2", "oms:4.3.1")

    def test_a_name_that_moves_means_the_image_of_the_archive(self):
        docker("tag", "oms:4.3.1", "oms:latest")
        data = self.oms.data
        docker("rm", "-f", self.old_name)
        docker("run", "-dit", "--net", "host", "--privileged=true", "--pids-limit", "-1",
               "--ulimit", "nproc=65535:65535", "--restart", "always",
               "-v", f"{data}/config.yaml:/home/admin/conf/config.yaml", "-v", f"{data}/oms_logs:/home/admin/logs",
               "-v", f"{data}/oms_store:/home/ds/store", "-v", f"{data}/oms_run:/home/ds/run",
               "-e", f"OMS_HOST_IP={self.oms.env['OMS_HOST_IP']}", "--name", self.old_name, "oms:latest")
        self.old = inspect(self.old_name)
        archive = self.saved_as("4.3.2", "oms:latest")
        self.controller()
        resource = self.resource("latest", "oms:latest", archive, deployment={"currentVersion": "4.3.1"})
        resource.patch({"spec": {"version": "4.3.2"}})
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assert_upgraded_to(resource, "4.3.2", "oms:latest")
        # And back: the old container's own image has no name any more.
        resource.patch({"spec": {"version": "4.3.1"}})
        self.assertEqual(resource.wait_ready()["reason"], "RolledBackByRequest")
        self.assertTrue(inspect(self.old_name)["State"]["Running"])

    def test_what_is_pruned_while_the_window_is_awaited_is_brought_back(self):
        self.controller()
        resource = self.resource("pruned", "oms:4.3.1", archive_of("4.3.1"))
        far = (datetime.now(timezone.utc) + timedelta(days=3)).weekday()
        resource.patch({"spec": {"maintenanceWindow": {"days": [DAYS[far]], "start": "00:00", "end": "00:01",
                                                       "timeZone": "UTC"}}})
        resource.upgrade("4.3.2")
        until("it is held with the new container made",
              lambda: resource.condition("Ready").get("reason") == "OutsideWindow" and inspect("oms_432"), LATER)
        docker("system", "prune", "-af")
        self.assertIsNone(inspect("oms_432"))
        self.assertIsNone(image_id("oms:4.3.2"))
        # Whatever looks at it next; an edit would do as well.
        resource.patch({"metadata": {"annotations": {"oms.oceanbase.com/requestedAt": "after the prune"}}})
        until("image and container to be back",
              lambda: (made := inspect("oms_432")) and made["Image"] == id_in_archive("4.3.2"), LATER)
        self.assertEqual(resource.condition("Stalled")["status"], "False", resource.condition("Stalled"))
        resource.patch({"spec": {"maintenanceWindow": None}})
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assert_upgraded_to(resource, "4.3.2", "oms:4.3.2")


class ImageOfAVersionBetweenTest(ImageWorld):
    """From 4.3.0 to 4.3.2, with the image of 4.3.1: image, script and databases would be 4.3.1's."""
    version = "4.3.0"

    def test_the_image_of_a_version_between_is_refused_by_its_name(self):
        self.controller()
        resource = self.resource("between", "oms:4.3.0", archive_of("4.3.0"))
        resource.patch({"spec": {"version": "4.3.2",
                                 "image": {"reference": "oms:4.3.1", "archive": archive_of("4.3.1")}}})
        found = resource.wait_stalled("ImageVersionDiffers")
        self.assertIn("4.3.1", found["message"])
        self.assertIn("4.3.2", found["message"])
        self.assert_runs_untouched()

    def test_the_script_of_a_version_between_is_no_upgrade_to_the_one_that_is_asked_for(self):
        archive = self.saved_as("4.3.1", "oms:site")
        self.controller()
        resource = self.resource("script", "oms:4.3.0", archive_of("4.3.0"))
        resource.patch({"spec": {"version": "4.3.2", "image": {"reference": "oms:site", "archive": archive}}})
        found = resource.wait_stalled("ScriptFailed")
        self.assertIn("4.3.1", found["message"])
        self.assertIn("4.3.2", found["message"])
        self.assertEqual(resource.condition("UpgradeScriptRun")["status"], "False")
        self.assertEqual(resource.condition("Ready")["status"], "False")
        resource.patch({"spec": {"version": "4.3.0", "image": {"reference": "oms:4.3.0",
                                                               "archive": archive_of("4.3.0")}}})
        self.assertEqual(resource.wait_ready()["reason"], "RolledBackByRequest")
        self.assertTrue(inspect(self.old_name)["State"]["Running"])


if __name__ == "__main__":
    main()

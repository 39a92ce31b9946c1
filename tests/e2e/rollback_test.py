"""Going back: spec.version is reverted in each step, after a failure, and after success. What counts is what OMS has
in the end, not what the status says: schemas, rows, config.yaml, containers, HA (snapshot.py has the rules)."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Callable, Optional

import snapshot
from harness import (LATE, LATER, SOON, Resource, World, containers, docker, inspect, kubectl, main, run, say, until,
                     until_acting)

# What the guide asks for after a rollback; everything else of ha.config comes back as it was.
SET_BY_THE_GUIDE = {"enable", "perceiveStoreClientCheckpoint"}
# In the order of work (reconcilers/model/steps.h), those that act where an upgrade is taken back after success.
WAY_BACK = ("VerifyBackups SwitchHAOff StopNewContainers CompareDatabases SaveUpgradedState RestoreDatabases "
            "StartOldContainers AwaitOldHealth RestoreHA").split()
ROLLBACK_CONDITIONS = ("RollbackNeeded BackupsVerified NewContainersStopped UpgradedStateSaved DatabasesRestored "
                       "ConfigRestored OldContainersRestarted RollbackCompleted").split()
SICK = {"nginx": {"health": False, "versions": ["4.3.1"]}}


class Before:
    """What must be there again. Taken before spec.version is edited."""

    def __init__(self, oms, container="oms_430", config="config.yaml"):
        self.container = container
        self.old = inspect(container)
        self.config_path = oms.data / config
        self.config = self.config_path.read_bytes()
        self.config_stat = self.config_path.stat()
        self.ha_raw = oms.ha_raw()
        self.databases = snapshot.take(oms)


@dataclasses.dataclass
class Row:
    """One revert. The controller is killed in `step` and finds the revert when it comes again; or, with `seen`, it is
    left alive, and reverted under its hands when `seen` is so. `passed`: the last point passed, as the status calls it."""
    name: str
    passed: str
    step: Optional[str] = None
    under_way: Optional[Callable] = None
    seen: Optional[Callable] = None
    faults: Optional[dict] = None
    suspended: bool = False
    meanwhile: Optional[Callable] = None


class GoingBack(World):
    def begin(self, name, changes=None, faults=None):
        """A controller, and a resource that asks for 4.3.1; `faults` wait for that version."""
        changes = changes or {}
        # Each upgrade would save the old image again, some seconds each; rows that want it say so.
        changes.setdefault("backup", {}).setdefault("image", False)
        self.main = self.controller()
        self.resource = Resource(name)
        self.oms.faults(faults or {})
        self.resource.apply("4.3.1", changes)
        return self.resource

    def forget(self):
        """Everything of the last operation but OMS itself: as if the next one were the first."""
        self.oms.faults({})
        self.clean()

    def phase(self, name, state="Running"):
        phases = self.resource.status().get("phases") or []
        return any(p["name"] == name and p["state"] == state for p in phases)

    def stalled(self, reason):
        condition = self.resource.condition("Stalled")
        return condition.get("status") == "True" and condition.get("reason") == reason

    def revert(self, version="4.3.0"):
        """As a reverted commit does: version and image."""
        self.resource.upgrade(version)

    def wait_rolled_back(self, seconds=LATE):
        begun = time.monotonic()
        def ended():
            condition = self.resource.condition("Stalled")
            whole = self.resource.get()
            if condition.get("status") == "True" and \
                    condition.get("observedGeneration") == whole["metadata"]["generation"]:
                raise AssertionError(f"Stalled on the way back: {condition['reason']}: {condition['message']}")
            if not self.main.alive():
                raise AssertionError("the controller ended by itself")
            ready = self.resource.condition("Ready", whole)
            if ready.get("status") != "True" or ready.get("observedGeneration") != whole["metadata"]["generation"]:
                return None
            if ready["reason"] != "RolledBackByRequest":  # A person who waits for Ready would be misled.
                raise AssertionError(f"Ready=True before OMS is back: {json.dumps(ready)}")
            return ready
        try:
            ready = until("Ready=True after the way back", ended, seconds, 0.3)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.story()}") from None
        say(f"        back in {time.monotonic() - begun:.1f} s")
        return ready

    def story(self):
        status = self.resource.status()
        phases = [f"{p['name']}={p['state']}" for p in status.get("phases") or []]
        lines = [f"{l.get('level', '')} {l.get('step', '')} {l.get('msg', '')} {l.get('error', '')}"
                 for l in self.main.lines()[-25:]]
        return "\n".join([f"status.message: {status.get('message')}", " ".join(phases), *lines])

    # --- what must be true

    def assert_back(self, before, passed, from_version="4.3.0", to_version="4.3.1", new="oms_431"):
        """The world of `before`, and an account of what has been."""
        status = self.resource.status()
        operation = status["operation"]
        started = passed == "NewStarting"
        wrong = []

        @contextlib.contextmanager
        def look(at):
            """All of it is told, not only what is wrong first; and the row fails as a whole."""
            try:
                yield
            except AssertionError as e:
                wrong.append(f"{at}: {e}")
        with look("data"):
            self.assertEqual([], snapshot.differences(before.databases, snapshot.take(self.oms)))
        with look("config.yaml"):
            if from_version < "4.3.1":
                beside = before.config_path.with_name(f"config-{to_version}.yaml")
                self.assertFalse(beside.exists(), f"{beside} holds a password and is left over")
            now = before.config_path.stat()
            self.assertEqual(before.config_path.read_bytes(), before.config)
            self.assertEqual((now.st_mode, now.st_uid, now.st_gid),
                             (before.config_stat.st_mode, before.config_stat.st_uid, before.config_stat.st_gid))
        with look("containers"):
            old = inspect(before.container)
            self.assertEqual(old["Id"], before.old["Id"])
            self.assertTrue(old["State"]["Running"])
            self.assertEqual(old["HostConfig"]["RestartPolicy"], before.old["HostConfig"]["RestartPolicy"])
            if passed == "None":
                self.assertEqual(old["State"]["StartedAt"], before.old["State"]["StartedAt"], "it was never stopped")
            self.assertIsNone(inspect(new), "the new container is gone")
            self.assertEqual([n for n, state in containers().values() if state == "running"], [before.container])
            self.assertNotEqual(docker("images", "-q", f"oms:{to_version}").strip(), "", "the new image stays")
            until("OMS to be healthy", self.healthy, SOON)
        with look("HA"):
            self.assert_ha_back(before, passed)
        with look("status"):
            ready = self.resource.condition("Ready")
            self.assertEqual(ready["reason"], "RolledBackByRequest", ready)
            self.assertEqual(status["currentVersion"], from_version)
            self.assertEqual(status["history"][0]["outcome"], "RolledBack")
            # An undo is an operation of its own: T1 is that of the upgrade which it undoes.
            turned = passed != "None" and not operation.get("undoes")
            self.assertTrue("t1" in operation or not turned, "T1 where OMS was stopped")
            self.assertEqual("t3" in operation, started, "T3 where the new one was")
            if turned:
                self.assertLessEqual(operation["t1"], operation["t2"])
            if started:
                self.assertLessEqual(operation["t3"], operation["t2"])
            conditions = {c["type"]: c["status"] for c in status["conditions"]}
            self.assertEqual((conditions["Reconciling"], conditions["Stalled"]), ("False", "False"))
            must = ROLLBACK_CONDITIONS if started else ("RollbackNeeded", "RollbackCompleted")
            self.assertEqual({c: conditions.get(c) for c in must}, {c: "True" for c in must})
            unfinished = [p["name"] for p in status.get("phases") or [] if p["state"] not in ("Done", "Skipped")]
            self.assertEqual(unfinished, [])
        with look("row"):
            self.assertEqual((self.oms.row()["operation_id"], self.oms.still_registered()), ("", []))
        if wrong:
            self.fail("\n".join(wrong) + "\n" + self.story())

    def healthy(self):
        port = self.oms.env["OMS_NGINX_PORT"]
        done = run("curl", "-fsS", "--max-time", "4", f"http://{self.oms.env['OMS_HOST_IP']}:{port}/oms/health",
                   check=False)
        with contextlib.suppress(ValueError, KeyError):
            return json.loads(done.stdout)["data"]["healthy"] is True
        return False

    def assert_ha_back(self, before, passed):
        if passed == "None":
            self.assertEqual(self.oms.ha_raw(), before.ha_raw, "byte for byte, as OMS was never down")
            return
        was, now = json.loads(before.ha_raw), self.oms.ha()
        self.assertEqual(list(now), list(was), "keys and their order")
        self.assertEqual({k: v for k, v in now.items() if k not in SET_BY_THE_GUIDE},
                         {k: v for k, v in was.items() if k not in SET_BY_THE_GUIDE})
        self.assertIs(now["enable"], was["enable"])
        self.assertIs(now["perceiveStoreClientCheckpoint"], True, "what the guide asks for after a rollback")

    def upgraded_files(self):
        folder = Path(self.resource.status()["operation"]["folder"]) / "upgraded"
        return [p for p in folder.rglob("*") if p.is_file()]

    def assert_upgraded_state_kept(self, table):
        """The dump of what was there before the drop: whole, and with what only the new version has."""
        files = self.upgraded_files()
        self.assertTrue(any(table in p.name or table.encode() in p.read_bytes() for p in files if ".sql" in p.name),
                        f"{table} is in none of {[p.name for p in files]}")
        for sums in (p for p in files if p.name == "SHA256SUMS"):
            run("sh", "-c", 'cd "$1" && sha256sum -c --quiet --strict SHA256SUMS', "sh", sums.parent)

    def backups_of(self, database):
        """The data files of the backup's dump."""
        folder = Path(self.resource.status()["operation"]["folder"]) / "dump"
        return sorted(p for p in folder.rglob("*") if p.is_file() and ".sql" in p.name and database in str(p)
                      and "schema" not in p.name and p.stat().st_size)


# --- the table --------------------------------------------------------------------------------

def any_sql():
    return any(".sql" in p.name for p in Path(os.environ["OMS_BACKUPS"]).rglob("*"))


def kill_the_script(test):
    """Script and wrapper, at once: nobody is left to write an exit code down."""
    until("the script to be half done", lambda: test.oms.script_runs()[0] > test.runs[0], LATER, 0.05)
    lines = docker("top", "oms_431", "-eo", "pid,args").splitlines()[1:]
    ours = [int(line.split()[0]) for line in lines
            if re.search(r"oms-upgrade-script|docker_upgrade\.sh|oms_standin.*migrate", line)]
    test.assertTrue(ours, lines)
    for pid in ours:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


ROWS = (
    Row("7 ConfigBackedUp", "None", step="BackUpConfig"),
    Row("8 ConfigRewritten", "None", step="RewriteConfig"),
    Row("3 while the new container is made", "None", step="CreateContainers"),
    Row("3 HADisabled", "None", step="DisableHA"),
    Row("4 ContainersStopped", "Stopping", step="StopContainers",
        under_way=lambda t: inspect("oms_430")["HostConfig"]["RestartPolicy"]["Name"] == "no"),
    Row("5 HeartbeatCompacted", "Stopping", step="CompactHeartbeat"),
    Row("6 DatabasesBackedUp", "Stopping", step="BackUpDatabases", under_way=lambda t: any_sql()),
    Row("6 suspended in the middle of the dump", "Stopping", step="BackUpDatabases", suspended=True),
    Row("9 ContainersStarted", "NewStarting", step="StartContainers",
        under_way=lambda t: inspect("oms_431")["State"]["Running"]),
    Row("12 UpgradeScriptRun, while it runs", "NewStarting", step="RunUpgradeScript",
        faults={"docker_upgrade.sh": {"at": "middle", "delaySeconds": 6, "versions": ["4.3.1"]}},
        under_way=lambda t: t.oms.script_runs()[0] > t.runs[0]),
    Row("12 UpgradeScriptRun, after it failed", "NewStarting",
        faults={"docker_upgrade.sh": {"at": "middle", "exitCode": 3, "versions": ["4.3.1"]}},
        seen=lambda t: t.stalled("ScriptFailed")),
    Row("12 UpgradeScriptRun, its outcome unknown", "NewStarting",
        faults={"docker_upgrade.sh": {"at": "middle", "hang": True, "versions": ["4.3.1"]}},
        meanwhile=kill_the_script, seen=lambda t: t.stalled("ScriptOutcomeUnknown")),
    Row("13 ServicesHealthy, while they are not", "NewStarting", faults=SICK, seen=lambda t: t.phase("ServicesHealthy")),
    Row("14 HAEnabled", "NewStarting", step="EnableHA"),
    Row("after success", "NewStarting", seen=lambda t: t.resource.condition("Ready").get("reason") == "Succeeded"),
)


class Table(GoingBack):
    """The rows share an OMS; only after one that failed is a new one made."""

    def go_through(self, rows):
        only = os.environ.get("OMS_ROLLBACK_ROWS")  # For work on one of them: words of its name, with commas.
        clean = True
        for number, row in enumerate(rows):
            if only and not any(word.strip() in row.name for word in only.split(",")):
                continue
            with self.subTest(row.name):
                if not clean:
                    self.forget()
                    self.fresh_oms()
                clean = False
                begun = time.monotonic()
                self.revert_in(row, f"row-{number}")
                say(f"{time.monotonic() - begun:6.1f} s  {row.name}")
                self.forget()
                clean = True

    def revert_in(self, row, name):
        # How the whole saves the old image is seen once; config.yaml and image are no part of a turn.
        after_success = row.name == "after success"
        before, self.runs = Before(self.oms), self.oms.script_runs()
        resource = self.begin(name, {"backup": {"image": after_success}, "strategy": {"timeouts": {"healthy": "60s"}}},
                              row.faults)
        if row.meanwhile:
            row.meanwhile(self)
        if row.step:
            under_way = row.under_way and (lambda: row.under_way(self))
            until_acting(self.main, row.step, under_way)
            self.main.kill()
            if row.suspended:
                resource.patch({"spec": {"suspend": True}})
                self.main.start()
                until("the hold", lambda: resource.condition("Ready").get("reason") == "Suspended", SOON)
            self.revert()
            if not row.suspended:
                self.main.start()
        else:
            until(row.name, lambda: row.seen(self), LATE)
            self.revert()
        self.wait_rolled_back()
        self.assert_back(before, row.passed)
        starts, ends = self.oms.script_runs()
        self.assertLessEqual(starts - self.runs[0], 1, "the script was not run a second time")
        operation = resource.status()["operation"]
        self.assertEqual(operation["pointOfNoReturn"], "RollbackStopping" if row.passed == "NewStarting" else row.passed)
        if after_success:
            self.assertTrue(operation["undoes"], "an operation of its own")
            self.assertEqual([h["outcome"] for h in resource.status()["history"][:2]], ["RolledBack", "Succeeded"])
            self.assert_upgraded_state_kept("oms_verify_project")
            self.assert_no_secret(resource, self.main)


class RollbackTest(Table):
    def test_a_revert_in_each_step_and_after_success_brings_back_what_was_there(self):
        self.go_through(ROWS)


class RollbackMariaDBTest(Table):
    metadb = "mariadb"

    def test_a_revert_on_mariadb_brings_back_what_was_there(self):
        self.go_through([r for r in ROWS if r.name in ("6 DatabasesBackedUp", "after success")])


# --- dying on the way back --------------------------------------------------------------------

class RollbackKillTest(GoingBack):
    def test_killed_once_in_each_step_back_and_its_status_erased_it_ends_the_same(self):
        before = Before(self.oms)
        resource = self.begin("killed-back")
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        folders = {p.name for p in self.folders()}
        self.revert()
        under_way = {
            "SaveUpgradedState": lambda: any(".sql" in p.name for p in self.folder_of_the_undo(folders).rglob("upgraded/**/*")),
            "RestoreDatabases": lambda: any("FirstDrop" in p.read_text()
                                            for p in self.folder_of_the_undo(folders).glob("record/*.json")),
            "StartOldContainers": lambda: inspect("oms_430")["State"]["Running"],
        }
        killed = []
        for step in WAY_BACK:
            until_acting(self.main, step, under_way.get(step))
            self.main.kill()
            killed.append(self.main.acted()[-1])
            say(f"        killed in {killed[-1]}")
            operation = str(self.folder_of_the_undo(folders))  # One: no second operation was begun.
            if step != WAY_BACK[0]:  # There the status may not have been written yet.
                self.assertEqual(resource.status()["operation"]["folder"], operation)
            if step == "RestoreDatabases":
                resource.erase_status()
                self.assertNotIn("operation", resource.status())
            self.main.start()
            if step == "RestoreDatabases":
                until("the operation to be shown again",
                      lambda: resource.status().get("operation", {}).get("folder") == operation, SOON)
        self.assertEqual(killed, WAY_BACK, "died in each of them, and not later")
        self.wait_rolled_back()
        self.assertEqual(resource.status()["operation"]["folder"], operation)
        self.assert_back(before, "NewStarting")
        self.assert_upgraded_state_kept("oms_verify_project")
        self.assert_no_secret(resource, self.main)

    def folders(self):
        return [p.parent for p in Path(os.environ["OMS_BACKUPS"]).glob("*/*/record")]

    def folder_of_the_undo(self, before):
        found = [p for p in self.folders() if p.name not in before]
        self.assertEqual(len(found), 1, "one operation more")
        return found[0]


# --- a backup that is damaged -----------------------------------------------------------------

class BackupCorruptTest(GoingBack):
    def test_a_damaged_backup_stops_the_way_back_before_anything_is_dropped(self):
        before = Before(self.oms)
        resource = self.begin("corrupt", {"strategy": {"timeouts": {"healthy": "60s"}}}, SICK)
        until("OMS 4.3.1 to be waited for", lambda: self.phase("ServicesHealthy"), LATE)
        upgraded = snapshot.take(self.oms)
        new = inspect("oms_431")["Id"]
        file = self.backups_of(self.oms.rm)[0]
        whole = file.read_bytes()
        file.write_bytes(whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:])

        self.revert()
        stalled = resource.wait("Stalled")
        self.assertEqual(stalled["reason"], "BackupCorrupt", stalled)
        self.assertIn(file.name, stalled["message"], "names the file")
        self.assertEqual([], snapshot.differences(upgraded, snapshot.take(self.oms)), "nothing was dropped")
        self.assertEqual(inspect("oms_431")["Id"], new)
        self.assertTrue(inspect("oms_431")["State"]["Running"])
        self.assertFalse(inspect("oms_430")["State"]["Running"])
        self.assertNotIn("FirstDrop", json.dumps(resource.status()["operation"]))

        # Another process comes to the same, and does no more.
        self.main.kill()
        self.main.start()
        self.assertEqual(resource.wait("Stalled")["reason"], "BackupCorrupt")
        self.assertEqual([], snapshot.differences(upgraded, snapshot.take(self.oms)))

        file.write_bytes(whole)
        kubectl("annotate", "omsupgrade", resource.name, "oms.oceanbase.com/resetAt=mended", "--overwrite")
        until("another try", lambda: not self.stalled("BackupCorrupt"), SOON)
        self.wait_rolled_back()
        self.assert_back(before, "NewStarting")


# --- upgrade after upgrade --------------------------------------------------------------------

class TwoUpgradesTest(GoingBack):
    def test_after_two_upgrades_one_step_back_works_and_two_are_refused(self):
        resource = self.begin("twice")
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        before = Before(self.oms, "oms_431", "config-4.3.1.yaml")
        resource.upgrade("4.3.2")
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assertEqual(resource.status()["currentVersion"], "4.3.2")
        newest = inspect("oms_432")
        self.assertTrue(newest["State"]["Running"])

        with self.subTest("two steps"):
            upgraded = snapshot.take(self.oms)
            self.revert("4.3.0")
            stalled = resource.wait("Stalled")
            self.assertEqual(stalled["reason"], "DowngradeRefused", stalled)
            self.assertIn("4.3.1", stalled["message"], "says what is possible")
            self.assertEqual([], snapshot.differences(upgraded, snapshot.take(self.oms)), "nothing was touched")
            now = inspect("oms_432")
            self.assertEqual((now["Id"], now["State"]["StartedAt"]), (newest["Id"], newest["State"]["StartedAt"]))

        with self.subTest("one step"):
            self.revert("4.3.1")
            until("the refusal to be over", lambda: not self.stalled("DowngradeRefused"), SOON)
            self.wait_rolled_back()
            self.assert_back(before, "NewStarting", "4.3.1", "4.3.2", "oms_432")
            self.assertFalse(inspect("oms_430")["State"]["Running"])
            self.assert_upgraded_state_kept("oms_operation_log")


if __name__ == "__main__":
    main()

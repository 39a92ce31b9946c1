"""Two controllers; the leader is stopped in mid-dump and goes on after the other has taken over."""

import contextlib
import os
import signal
import stat
import tempfile
from pathlib import Path

from harness import LATE, SOON, STEPS, WITH_LEASE, Resource, World, main, say, sql, until


def with_exit_code(folder):
    """A script that runs the controller and keeps its exit code and pid: nobody else would see them."""
    binary = os.environ["OMS_CONTROLLER_BIN"]
    script = Path(folder) / "controller"
    script.write_text(f"""#!/bin/sh
'{binary}' "$@" &
child=$!
echo $child >'{folder}/pid'
trap 'kill -TERM $child' TERM
wait $child
code=$?
# A trap ends the first wait.
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
echo $code >'{folder}/exit.tmp' && mv '{folder}/exit.tmp' '{folder}/exit'
exit $code
""")
    script.chmod(stat.S_IRWXU)
    return script


def go_on(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def connections():
    """All connections to the MetaDB but the one that asks: id -> the rest of the row."""
    return {int(row[0]): row[1:] for row in sql("show full processlist") if "processlist" not in "\t".join(row)}


class TakeoverTest(World):
    def test_a_leader_that_was_stopped_in_mid_dump_does_nothing_more_when_it_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            self.take_over(Path(folder))

    def take_over(self, folder):
        first = self.controller("first", *WITH_LEASE, binary=with_exit_code(folder))
        resource = Resource("takeover")
        resource.apply("4.3.0")
        resource.wait_ready()
        # More than lies between the server and a dump that nobody reads from, whatever the kernel makes of its buffers.
        sql("create table wide (t longtext)", self.oms.rm)
        sql("insert into wide values (repeat('x', 1000000))", self.oms.rm)
        for _ in range(7):
            sql("insert into wide select t from wide", self.oms.rm)
        second = self.controller("second", *WITH_LEASE)
        child = int((folder / "pid").read_text())
        self.addCleanup(go_on, child)
        resource.upgrade()

        backups = Path(os.environ["OMS_BACKUPS"])
        def in_mid_dump():
            return "BackUpDatabases" in first.acted() and any(
                ".wide." in p.name and "-schema" not in p.name and p.stat().st_size for p in backups.rglob("*"))
        until("data of a dump", in_mid_dump, LATE, 0.005)
        os.kill(child, signal.SIGSTOP)
        self.assertEqual([], list(backups.rglob("manifest.json")), "the dump was over; give it more rows")
        self.half_made = {p.parent.parent for p in backups.rglob("*.sql*") if p.is_file()}
        # OMS is down, so all of them are the first one's, or its dump's. Those of the dump are in the row, and the
        # server refuses them every write.
        held, registered = connections(), self.oms.registered()
        readers = {c["id"] for c in registered if c.get("reads")}
        writers = {c["id"] for c in registered} - readers
        self.assertTrue(readers & held.keys())
        # OceanBase keeps one that it sends rows to which nobody reads: no KILL ends that.
        sent_to = {i for i in readers if held.get(i, [""] * 4)[3] == "Query"}
        self.assertTrue(sent_to)

        until("a step of the second", second.acted, LATE)
        left = connections()
        self.assertEqual({i: left[i] for i in writers if i in left}, {}, "they are gone before the second acts")
        until("of those that only read, too, the end of what can be ended",
              lambda: readers & connections().keys() <= sent_to, SOON)
        self.assertTrue(readers & connections().keys(), "what cannot stays")
        say(f"stopped with {len(held)} connections; {len(writers)} registered as writers, {len(readers)} as readers; "
            f"of {len(sent_to)} readers one or more stay")
        ready = resource.wait_ready()
        self.assertEqual(ready["reason"], "Succeeded", ready)
        self.assert_upgraded(resource, readers)
        resource.wait_event("UpgradeSucceeded")
        world = self.world(resource)

        os.kill(child, signal.SIGCONT)
        until("the first to exit", (folder / "exit").exists, SOON)
        self.assertNotEqual((folder / "exit").read_text().strip(), "0", "it knows that it lost, and says so")
        # It is gone, so what it could have done is done.
        until("the end of what only read", lambda: not held.keys() & connections().keys(), SOON)
        self.assertEqual([], [key for key, value in self.world(resource).items() if value != world[key]])
        self.assert_upgraded(resource, readers)
        self.assertEqual(resource.condition("Ready")["status"], "True")
        self.assert_no_secret(resource, first, second)

        done = STEPS[STEPS.index("BackUpDatabases"):]
        self.assertEqual([s for s in dict.fromkeys(second.acted()) if s in done], done)
        self.assertEqual([s for s in first.acted() if s in done], ["BackUpDatabases"])

    def world(self, resource):
        whole = resource.get()
        # The folder of the try that was cut off is nobody's any more; its tool may still empty a buffer there.
        files = {str(p): p.stat().st_mtime_ns for p in Path(os.environ["OMS_BACKUPS"]).rglob("*")
                 if p.is_file() and not self.half_made & set(p.parents)}
        return {"resource": whole["metadata"]["resourceVersion"], "row": self.oms.row(), "ha": self.oms.ha_raw(),
                "files": files, "events": sorted(e["reason"] for e in resource.events()),
                "runs": (self.oms.script_runs(), self.oms.upgrade_runs())}


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What hack/quickstart.sh decides: run as it is, between a hack/devenv.sh, a kubectl and a docker that only
write down what they are asked. The real ones are tried by a person."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HACK = Path(__file__).resolve().parents[1]

# One world as JSON in $WORLD, and each call as a line of $WORLD.calls.
WORLD = '#!%s -IS\n' % sys.executable + r'''
import json, os, sys
path = os.environ["WORLD"]
world = json.load(open(path))
name, args = os.path.basename(sys.argv[0]), sys.argv[1:]
state = os.path.dirname(path)
devenv = os.environ.get("DEVENV_DIR", "")

def save():
    json.dump(world, open(path + ".new", "w"))
    os.replace(path + ".new", path)

with open(path + ".calls", "a") as calls:
    marks = " [kubeconfig %s]" % os.environ.get("KUBECONFIG") if name == "kubectl" else ""
    marks += " [OMS_INSTANCE]" if "OMS_INSTANCE" in os.environ else ""
    calls.write(" ".join([name] + args) + marks + "\n")

def settle():
    """As a controller would."""
    item = world["item"]
    version = item["spec"]["version"]
    if world["controller"] and version != world.get("stuck"):
        container = "oms_" + version.replace(".", "")
        world["containers"] = {c: "exited" for c in world["containers"]}
        world["containers"][container] = "running"
        item["status"] = {
            "observedGeneration": item["metadata"]["generation"], "currentVersion": version, "direction": "None",
            "nodes": [{"container": container}], "operation": {"id": "1", "downtime": "9s"}, "followUps": [],
            "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "well"}]}
    elif version == world.get("stuck"):
        item["status"] = {"observedGeneration": item["metadata"]["generation"], "currentVersion": "4.3.0",
                          "conditions": [{"type": "Stalled", "status": "True", "reason": "DiskLow", "message": "no room"}]}
    save()

if name == "devenv.sh":
    verb = " ".join(args[:2])
    if args[0] == "env":
        if not world["up"]:
            sys.exit("no environment")
        for key, value in {"KUBECONFIG": devenv + "/kubeconfig", "DOCKER_HOST": "unix:///own", "METADB_DEFAULTS": "/dev/null",
                           "OMS_ARCHIVES": "/archives"}.items():
            print("export %s=%s" % (key, value))
    elif args[0] == "packages":
        os.makedirs(devenv + "/logs", exist_ok=True)
        open(devenv + "/.oms-devenv", "w").close()
    elif args[0] == "check":
        sys.exit("error: no right to mount" if world.get("no_engine") else 0)
    elif args[0] == "up":
        os.makedirs(devenv + "/state", exist_ok=True)
        open(devenv + "/state/engine", "w").write("own\n")
        world["up"] = True
        save()
    elif verb == "oms start":
        os.makedirs(devenv + "/oms", exist_ok=True)
        open(devenv + "/oms/instance.env", "w").write(
            "OMS_CONTAINER=oms_430\nOMS_RM_DB=rm_430\nOMS_HOST_IP=127.0.0.1\nOMS_NGINX_PORT=20000\n")
        world["containers"] = {"oms_430": "running"}
        save()
    elif verb == "oms containers":
        for container, what in world["containers"].items():
            print("%s\t%s\toms" % (container, what))
    elif verb == "controller start":
        world["controller"] = int(os.environ["CONTROLLER"])
        save()
        if world["item"]:
            settle()
    elif verb == "controller pid":
        if not world["controller"]:
            sys.exit("does not run")
        print(world["controller"])
elif name == "kubectl":
    args = [a for i, a in enumerate(args) if a != "-n" and (i == 0 or args[i - 1] != "-n")]
    if "--raw" in args or args[0] in ("describe", "explain"):
        pass
    elif args[0] == "apply":
        text = open(args[args.index("-f") + 1]).read()
        take = lambda key: [l.split(": ")[1] for l in text.splitlines() if l.strip().startswith(key + ": ")][0]
        world["item"] = {"metadata": {"name": "oms", "generation": 1},
                         "spec": {"version": take("version"), "backup": {"directory": take("directory")}}}
        settle()
    elif args[0] == "patch":
        world["item"]["spec"].update(json.loads(args[args.index("-p") + 1])["spec"])
        world["item"]["metadata"]["generation"] += 1
        if world.get("dies"):
            world["controller"] = 0
            save()
        else:
            settle()
    elif args[:2] == ["get", "omsupgrade"]:
        if not world["item"]:
            sys.exit("Error from server (NotFound)")
        print(json.dumps(world["item"]), flush=True)
    elif args[:2] == ["get", "omsupgrades"]:
        print("NAME CURRENT")
elif name == "docker" and args[0] == "start":
    world["containers"][args[1]] = "running"
    save()
elif name == "mariadb":
    print('{"enable": true}')
elif name == "curl":
    print('{"data": {"healthy": true}}')
'''


class Quickstart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        hack = self.root / "hack"
        (hack / "lib").mkdir(parents=True)
        shutil.copy(HACK / "quickstart.sh", hack)
        for name in ("common.sh", "follow.py"):
            shutil.copy(HACK / "lib" / name, hack / "lib")
        (self.root / "bin").mkdir()
        for path in [hack / "devenv.sh", hack / "build.sh"] + [self.root / "bin" / n for n in ("kubectl", "docker", "mariadb", "curl")]:
            path.write_text(WORLD)
            path.chmod(0o755)
        self.world = self.root / "world.json"
        self.set(up=False, item=None, containers={}, controller=0)
        self.person = self.root / "persons-kubeconfig"

    def get(self):
        return json.loads(self.world.read_text())

    def set(self, **changes):
        world = self.get() if self.world.exists() else {}
        self.world.write_text(json.dumps({**world, **changes}))

    def environment(self, **env):
        return {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": str(self.root), "WORLD": str(self.world),
                "DEVENV_DIR": f"{self.root}/env", "KUBECONFIG": str(self.person), "CONTROLLER": str(os.getpid()), **env}

    def run_it(self, *args, **env):
        """(exit code, what it printed, the calls of this run)."""
        calls = Path(f"{self.world}.calls")
        calls.write_text("")
        done = subprocess.run(["bash", self.root / "hack" / "quickstart.sh", *args], capture_output=True, text=True,
                              check=False, timeout=120, stdin=subprocess.DEVNULL, env=self.environment(**env))
        told = calls.read_text().splitlines()
        # Never the cluster that a person's own shell speaks to.
        self.assertEqual([c for c in told if str(self.person) in c], [])
        return done.returncode, done.stdout + done.stderr, told

    def up(self):
        code, out, _ = self.run_it()
        self.assertEqual(code, 0, out)

    def test_from_nothing_to_the_new_version_and_then_nothing_to_do(self):
        code, out, calls = self.run_it("--engine", "own")
        self.assertEqual(code, 0, out)
        self.assertEqual(self.get()["item"]["spec"]["version"], "4.3.1")
        self.assertIn("devenv.sh up --engine own", calls)
        self.assertIn("devenv.sh oms start 4.3.0", calls)
        self.assertLess(calls.index("devenv.sh check --engine own"), calls.index("devenv.sh packages build"))
        self.assertIn("-  version: 4.3.0\n+  version: 4.3.1\n", out)
        code, out, calls = self.run_it()
        self.assertEqual(code, 0, out)
        self.assertIn("Nothing to do: OMS runs 4.3.1", out)
        self.assertFalse([c for c in calls if c.startswith(("devenv.sh up", "build.sh")) or " patch " in c], calls)

    def test_the_way_back_and_forward_again(self):
        self.up()
        code, out, _ = self.run_it("--rollback")
        self.assertEqual(code, 0, out)
        self.assertIn("OMS runs 4.3.0 again", out)
        code, out, calls = self.run_it("--rollback")
        self.assertEqual(code, 0, out)
        self.assertIn("Nothing to do: OMS runs 4.3.0", out)
        self.assertFalse([c for c in calls if " patch " in c])
        code, out, calls = self.run_it()
        self.assertEqual(code, 0, out)
        self.assertEqual(self.get()["item"]["spec"]["version"], "4.3.1")
        self.assertNotIn("devenv.sh oms start 4.3.0", calls)

    def test_nothing_to_go_back_from(self):
        self.set(item={"metadata": {"name": "oms", "generation": 3}, "spec": {"version": "4.3.1"}})
        code, out, calls = self.run_it("--rollback")
        self.assertEqual(code, 1)
        self.assertIn("nothing to roll back", out)
        self.assertFalse([c for c in calls if c.startswith("kubectl")], calls)

    def test_somebody_elses_resource_of_that_name_is_left_alone(self):
        theirs = {"metadata": {"name": "oms", "generation": 3},
                  "spec": {"version": "4.3.0", "backup": {"directory": "/var/lib/oms-upgrade/backups"}}}
        self.up()
        for args in ([], ["--rollback"]):
            self.set(item=theirs)
            code, out, _ = self.run_it(*args)
            self.assertEqual(code, 1, out)
            self.assertIn("not of this environment; it is left alone", out)
            self.assertEqual(self.get()["item"], theirs)

    def test_what_a_person_exported_for_another_oms_does_not_count(self):
        code, out, calls = self.run_it(OMS_INSTANCE="byhand")
        self.assertEqual(code, 0, out)
        self.assertFalse([c for c in calls if "[OMS_INSTANCE]" in c])

    def test_after_a_reboot_it_starts_what_was_stopped(self):
        self.up()
        self.set(up=False, controller=0, containers={"oms_430": "exited", "oms_431": "exited"})
        code, out, calls = self.run_it()
        self.assertEqual(code, 0, out)
        self.assertIn("docker start oms_431", calls)
        self.assertFalse([c for c in calls if " patch " in c or "oms start" in c])

    def test_an_oms_that_is_gone_is_said_to_be(self):
        self.up()
        (self.root / "env" / "oms" / "instance.env").unlink()
        self.set(containers={})
        code, out, _ = self.run_it()
        self.assertEqual(code, 1)
        self.assertIn("its OMS is gone", out)

    def test_a_controller_that_dies_is_told_from_one_that_is_slow(self):
        self.set(dies=True)
        code, out, _ = self.run_it()
        self.assertEqual(code, 1)
        self.assertIn("The controller has ended", out)
        self.assertIn("controller start", out)

    def test_a_stalled_upgrade_says_why_and_what_to_do(self):
        self.set(stuck="4.3.1")
        code, out, _ = self.run_it()
        self.assertEqual(code, 1)
        self.assertIn("DiskLow: no room", out)
        self.assertIn("resetAt", out)

    def test_what_keeps_it_from_an_engine_is_said_before_the_build(self):
        self.set(no_engine=True)
        code, out, calls = self.run_it()
        self.assertNotEqual(code, 0)
        self.assertIn("no right to mount", out)
        self.assertFalse([c for c in calls if c.startswith(("build.sh", "devenv.sh packages"))])

    def test_an_interrupt_says_how_to_go_on_and_ends_the_build_beside_it(self):
        # The build of Kubernetes hangs, and so does that of the controller.
        hang = "#!/bin/bash\n[[ ${1:-} == kube-build || $0 == */build.sh ]] || exec %s \"$@\"\necho $$ >>%s\nexec sleep 300\n"
        pids = self.root / "pids"
        pids.touch()
        (self.root / "devenv").mkdir()
        shutil.move(self.root / "hack" / "devenv.sh", self.root / "devenv" / "devenv.sh")
        for name in ("devenv.sh", "build.sh"):
            (self.root / "hack" / name).write_text(hang % (self.root / "devenv" / "devenv.sh", pids))
            (self.root / "hack" / name).chmod(0o755)
        process = subprocess.Popen(["bash", self.root / "hack" / "quickstart.sh"], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.STDOUT, start_new_session=True, env=self.environment())
        end = time.monotonic() + 60
        while len(pids.read_text().split()) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, out)
        self.assertIn("continues from here", out)
        for pid in pids.read_text().split():
            while time.monotonic() < end and Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
                time.sleep(0.05)
            self.assertLess(time.monotonic(), end, f"process {pid} still runs")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: quickstart.sh asks for root")
        sys.exit(77)
    unittest.main(verbosity=1)

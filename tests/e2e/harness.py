"""What the e2e tests stand on: the environment of hack/devenv.sh, seen from Python.

Everything is real: API server, engine, MetaDB, the built controller with the rights of manifests/.
Only the standard library is used, and the same command line tools that a person would use.

A test class is one World. It begins with a fresh OMS 4.3.0 and no trace of an earlier operation,
and ends with its controllers stopped and its resources gone. Nothing here sleeps for a fixed time:
what is waited for is looked at until a deadline.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DEVENV = REPO / "hack" / "devenv.sh"
NEEDED = ("DEVENV_DIR KUBECONFIG DOCKER_HOST METADB_HOST METADB_PORT METADB_PASSWORD METADB_DEFAULTS OMS_ARCHIVES "
          "OMS_ROOT OMS_BACKUPS OMS_CONTROLLER_BIN").split()
# The machine may be slow; none of these is reached when things go well.
SOON, LATER, LATE = 60, 180, 420
# Where two controllers meet. A leader that cannot renew in time exits, so the times are those of a slow machine.
WITH_LEASE = ("--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "500ms")
# Where there is one, and nobody waits for the Lease of the one that was killed.
ALONE = ("--leader-elect", "false")

# As spec.maintenanceWindow writes them, Monday first.
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# In the order of work (reconcilers/model/steps.h), without Preflight, which acts on nothing.
STEPS = ("LoadImage SaveOldImage BackUpConfig RewriteConfig CreateContainers DisableHA StopContainers "
         "CompactHeartbeat BackUpDatabases StartContainers RunUpgradeScript AwaitHealth EnableHA").split()


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(*command, check=True, text=None, timeout=LATE, env=None):
    done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True, timeout=timeout,
                          env=env, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def until(what, probe, seconds=SOON, pause=0.2):
    """The first answer of `probe` that is true. An AssertionError of probe ends the wait at once."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not seen within {seconds} s: {what}")
        time.sleep(pause)


# --- command line tools -----------------------------------------------------------------------

class MetaDb:
    """Which MetaDB the OMS at hand lies on: the environment's own (OceanBase), or the MariaDB beside it."""
    prefix = "METADB"
    separate_cm = False  # cm and cm_hb alone lie on the MariaDB.

    @classmethod
    def choose(cls, kind, separate_cm=False):
        """None for the environment's own."""
        cls.separate_cm = separate_cm
        cls.prefix = "METADB_MARIADB" if kind == "mariadb" and os.environ.get("METADB_KIND") != "mariadb" else "METADB"
        if f"{cls.prefix}_DEFAULTS" not in os.environ:
            raise AssertionError('no MariaDB beside OceanBase: hack/devenv.sh up --metadb both; '
                                 'eval "$(hack/devenv.sh env)"')

    @classmethod
    def get(cls, what, of=""):
        """`of`: a database, or a statement that names it."""
        cm = cls.separate_cm and re.search(r"\bcm(_hb)?_\d+\b", of)
        return os.environ[f"{'METADB_MARIADB' if cm else cls.prefix}_{what}"]


def devenv(*args, env=None):
    return run(DEVENV, *args, env={**os.environ, **(env or {})}).stdout


def kubectl(*args, text=None, check=True):
    return run("kubectl", *args, text=text, check=check)


def docker(*args, check=True):
    return run("docker", *args, check=check).stdout


def sql(statement, database=None):
    """Rows of text fields. Escapes of the batch format are undone."""
    command = ["mysql", f"--defaults-file={MetaDb.get('DEFAULTS', database or statement)}", "-N", "--raw"]
    if database:
        command += ["-D", database]
    out = run(*command, "-e", statement).stdout
    return [line.split("\t") for line in out.splitlines()]


def root_sql(statement):
    """As root of the MetaDB at hand: for users, and for the settings of the whole server."""
    defaults = Path(MetaDb.get("DEFAULTS")).parent / "root.cnf"
    out = run("mysql", f"--defaults-file={defaults}", "-N", "--raw", text=statement).stdout
    return [line.split("\t") for line in out.splitlines()]


def inspect(container):
    """Of a container; None where there is none of that name."""
    done = run("docker", "container", "inspect", container, check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def containers():
    """Id -> name and state, of all containers, helpers too."""
    lines = docker("ps", "-a", "--no-trunc", "--format", "{{.ID}}\t{{.Names}}\t{{.State}}").splitlines()
    return {line.split("\t")[0]: tuple(line.split("\t")[1:]) for line in lines}


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# --- the controller ---------------------------------------------------------------------------

class Controller:
    """One controller of hack/devenv.sh. Its log is appended to by each process of that name."""

    def __init__(self, name, *args, binary=None, tools=None):
        """tools: a folder of programs that stand before those of the system."""
        self.name, self.args, self.binary, self.tools = name, args, binary, tools
        self.log = Path(os.environ["DEVENV_DIR"]) / "logs" / f"controller-{name}.log"
        self.pid = None
        self.offset = 0  # Of the log, where the process at hand began.

    def start(self):
        self.offset = self.log.stat().st_size if self.log.exists() else 0
        env = {"OMS_LOG_FORMAT": "json"}
        if self.binary:
            env["OMS_CONTROLLER_BIN"] = str(self.binary)
        if self.tools:
            env["PATH"] = f"{self.tools}:{os.environ['PATH']}"
        devenv("controller", "start", "--name", self.name, "--", *self.args, env=env)
        self.pid = int(devenv("controller", "pid", "--name", self.name))
        return self

    def lines(self):
        """Of the process at hand; parsed, and only whole ones."""
        with self.log.open("rb") as file:
            file.seek(self.offset)
            text = file.read()
        text = text[:text.rfind(b"\n") + 1].decode(errors="replace")
        parsed = []
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                parsed.append(json.loads(line))
        return parsed

    def acted(self):
        """The steps that the process at hand has begun to act on, in order."""
        return [line["step"] for line in self.lines() if line.get("msg") == "acting" and "step" in line]

    def alive(self):
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return False
        return state != "Z"

    def kill(self, with_signal=signal.SIGKILL):
        os.kill(self.pid, with_signal)
        if with_signal == signal.SIGKILL:
            until(f"the end of controller {self.name}", lambda: not self.alive(), pause=0.01)

    def stop(self):
        devenv("controller", "stop", "--name", self.name)

    def address(self):
        return devenv("controller", "address", "--name", self.name).strip()


class SecretWatch(threading.Thread):
    """Looks at the arguments and environments of a process's descendants while it lives."""

    def __init__(self, pid, secret):
        super().__init__(daemon=True)
        self.root, self.secret = pid, secret.encode()
        self.found, self.seen = set(), set()
        self._done = threading.Event()

    def run(self):
        while not self._done.wait(0.02):
            parents = {}
            for entry in os.listdir("/proc"):
                if not entry.isdigit():
                    continue
                with contextlib.suppress(OSError, IndexError):
                    parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            for pid in parents:
                at = pid
                while at in parents and at != self.root:
                    at = parents[at]
                if at == self.root:
                    self._look(pid)

    def _look(self, pid):
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            self.seen.add(arguments.split(b"\0")[0].decode(errors="replace"))
            for kind, text in (("arguments", arguments), ("environment", Path(f"/proc/{pid}/environ").read_bytes())):
                if self.secret in text:
                    self.found.add(f"{kind} of {arguments.split(bytes(1))[0].decode(errors='replace')}")

    def end(self):
        self._done.set()
        self.join()


# --- the resource -----------------------------------------------------------------------------

class Api:
    """What is looked at often is asked of the API server itself, on a connection that stays: a kubectl takes a tenth of
    a second of a processor. What a person would write is written by kubectl."""
    connection = None

    @classmethod
    def connect(cls):
        config = json.loads(kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "json").stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        decode = base64.b64decode
        context = ssl.create_default_context(cadata=decode(cluster["certificate-authority-data"]).decode())
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder) / "certificate", Path(folder) / "key"
            certificate.write_bytes(decode(user["client-certificate-data"]))
            key.write_bytes(decode(user["client-key-data"]))
            context.load_cert_chain(certificate, key)
        server = urllib.parse.urlsplit(cluster["server"])
        cls.connection = http.client.HTTPSConnection(server.hostname, server.port, timeout=LATE, context=context)

    @classmethod
    def get(cls, path):
        for attempt in range(2):
            try:
                if not cls.connection:
                    cls.connect()
                cls.connection.request("GET", path)
                answer = cls.connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as e:
                # The server closes one that is idle for long.
                cls.connection = None
                if attempt:
                    raise AssertionError(f"GET {path}: {e}") from None
                continue
            if answer.status != 200:
                raise AssertionError(f"GET {path} answered {answer.status}: {body.decode(errors='replace')}")
            return json.loads(body)


class Resource:
    def __init__(self, name):
        self.name = name

    def manifest(self, version, changes=None):
        archive = f"{os.environ['OMS_ARCHIVES']}/oms_{version}.tar.gz"
        spec = {
            "version": version,
            "image": {"reference": f"oms:{version}", "archive": archive},
            "nodes": [{"name": "oms-1", "engine": {"endpoint": os.environ["DOCKER_HOST"]},
                       "container": {"name": "oms_430"}}],
            "backup": {"directory": f"{os.environ['OMS_BACKUPS']}/{self.name}"},
        }
        merge(spec, changes or {})
        return {"apiVersion": "oms.oceanbase.com/v1alpha1", "kind": "OmsUpgrade",
                "metadata": {"name": self.name, "namespace": "default"}, "spec": spec}

    def apply(self, version, changes=None, check=True):
        return kubectl("apply", "-f", "-", text=json.dumps(self.manifest(version, changes)), check=check)

    def upgrade(self, version="4.3.1"):
        archive = f"{os.environ['OMS_ARCHIVES']}/oms_{version}.tar.gz"
        self.patch({"spec": {"version": version, "image": {"reference": f"oms:{version}", "archive": archive}}})

    def patch(self, patch, *args):
        kubectl("patch", "omsupgrade", self.name, "--type", "merge", "-p", json.dumps(patch), *args)

    def erase_status(self):
        """As somebody would who restores the object from a backup without its status."""
        self.patch({"status": None}, "--subresource=status")

    def get(self):
        return Api.get(f"/apis/oms.oceanbase.com/v1alpha1/namespaces/default/omsupgrades/{self.name}")

    def status(self):
        return self.get().get("status", {})

    def condition(self, kind, whole=None):
        whole = whole or self.get()
        for condition in whole.get("status", {}).get("conditions", []):
            if condition["type"] == kind:
                return condition
        return {}

    def _settled(self, kind, value, not_this):
        whole = self.get()
        generation = whole["metadata"]["generation"]
        if whole.get("status", {}).get("observedGeneration") != generation:
            return None
        other = self.condition(not_this, whole) if not_this else {}
        if other.get("status") == "True" and other.get("observedGeneration") == generation:
            raise AssertionError(f"{not_this}=True while {kind}={value} was waited for: {other['reason']}: "
                                 f"{other['message']}")
        found = self.condition(kind, whole)
        return found if found.get("status") == value and found.get("observedGeneration") == generation else None

    def wait(self, kind, value="True", seconds=LATE, not_this=None):
        """The condition, of the generation at hand."""
        return until(f"{kind}={value} of {self.name}", lambda: self._settled(kind, value, not_this), seconds, 0.5)

    def wait_stalled(self, reason, seconds=LATER):
        """As wait. Another reason may come first, where OMS or the MetaDB answers late."""
        last = {}

        def stalled():
            last["seen"] = self._settled("Stalled", "True", None)
            return last["seen"] if last["seen"] and last["seen"]["reason"] == reason else None
        try:
            return until(f"Stalled with {reason} of {self.name}", stalled, seconds, 0.5)
        except AssertionError as e:
            raise AssertionError(f"{e}; it is {last['seen']}") from None

    def wait_ready(self, seconds=LATE):
        """By kubectl, as a person would; observedGeneration is looked at by kubectl too."""
        try:
            kubectl("wait", "--for=condition=Ready", f"--timeout={seconds}s", f"omsupgrade/{self.name}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{json.dumps(self.status().get('conditions', [])[:3], indent=1)}") from None
        return self.wait("Ready", seconds=SOON)

    def events(self):
        return Api.get(f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{self.name}")["items"]

    def wait_event(self, reason):
        """Events are sent on a thread of their own: the last may still be on its way."""
        until(f"the event {reason}", lambda: any(e["reason"] == reason for e in self.events()))

    def remove(self):
        """With nobody who would look after a finalizer."""
        if kubectl("get", "omsupgrade", self.name, check=False).returncode != 0:
            return
        self.patch({"metadata": {"finalizers": None}})
        kubectl("delete", "omsupgrade", self.name, "--wait=true", "--timeout=30s")


def merge(into, changes):
    for key, value in changes.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def until_acting(controller, step, under_way=None):
    """The controller has begun to act on `step`, and `under_way`, where there is one, has seen it in the world."""
    def acting():
        if step in controller.acted():
            return True
        if not controller.alive():
            raise AssertionError("the controller ended by itself")
        return False
    until(f"the step {step}", acting, pause=0.005, seconds=LATE)
    if under_way:
        until(f"the step {step} to be under way", under_way, pause=0.005)


# --- OMS --------------------------------------------------------------------------------------

class Oms:
    """The stand-in: what it is and what has been done to it."""

    def __init__(self):
        text = (Path(os.environ["OMS_ROOT"]) / "instance.env").read_text()
        self.env = dict(line.split("=", 1) for line in text.splitlines())
        self.rm, self.cm, self.cm_hb = (self.env[f"OMS_{role}_DB"] for role in ("RM", "CM", "CM_HB"))
        self.data = Path(self.env["OMS_DATA"])

    def ha_raw(self):
        rows = sql("select hex(cfg_value) from oms_normal_config where cfg_name='ha.config'", self.rm)
        return bytes.fromhex(rows[0][0]).decode() if rows else None

    def ha(self):
        """Keys with their order."""
        return json.loads(self.ha_raw())

    def sequence(self):
        rows, low, high = sql("select count(*), min(id), max(id) from heatbeat_sequence", self.cm_hb)[0]
        return {"rows": int(rows), "min": int(low), "max": int(high)}

    def script_runs(self, script="docker_upgrade.sh"):
        """(starts, ends) as the script itself wrote them down."""
        log = self.data / "oms_logs" / "standin-runs.log"
        text = log.read_text() if log.exists() else ""
        return (len(re.findall(rf" start {re.escape(script)} ", text)),
                len(re.findall(rf" end +{re.escape(script)} ", text)))

    def upgrade_runs(self):
        return int(sql("select value from oms_counter where name='upgrade_runs'", self.rm)[0][0])

    def faults(self, faults):
        (self.data / "oms_run" / "standin-faults.json").write_text(json.dumps(faults))

    def row(self):
        """Our row for this OMS: a dict, or None."""
        if not sql("select 1 from information_schema.tables where table_schema='oms_upgrade_controller'"):
            return None
        names = ("owner_object", "process", "epoch", "operation_id", "folder", "connections")
        rows = sql(f"select {', '.join(f'hex({n})' if n != 'epoch' else n for n in names)} "
                   f"from oms_upgrade_controller.ownership where oms='{self.rm}'")
        if not rows:
            return None
        return {n: int(v) if n == "epoch" else bytes.fromhex(v).decode() for n, v in zip(names, rows[0])}

    def registered(self):
        """The connections in our row, a dict each."""
        return [json.loads(line) for line in self.row()["connections"].splitlines()]

    def still_registered(self):
        """Those that the server still has. A line may outlive its connection: taking it out is not waited for long."""
        registered = self.registered()
        there = {int(row[0]) for row in sql("show full processlist")} if registered else set()
        return [c for c in registered if c["id"] in there]


class Before:
    """What the world was like before an upgrade, as far as it must stay or come back."""

    def __init__(self, oms):
        self.old = inspect("oms_430")
        self.config = (oms.data / "config.yaml").read_bytes()
        self.ha_raw = oms.ha_raw()
        self.sequence = oms.sequence()


class World(unittest.TestCase):
    """A fresh OMS 4.3.0 for each test, and a resource of the test's own name."""

    sample_rows = None
    metadb = None  # Or "mariadb".
    oms_env = {}  # More for `hack/devenv.sh oms start`.
    maxDiff = None

    def setUp(self):
        missing = [name for name in NEEDED if not os.environ.get(name)]
        if missing:
            self.fail(f"{', '.join(missing)} not set: hack/devenv.sh up; eval \"$(hack/devenv.sh env)\"; "
                      "OMS_CONTROLLER_BIN is the built controller")
        self.addCleanup(MetaDb.choose, None)
        self.addCleanup(self.clean)
        MetaDb.choose(self.metadb)
        self.clean()
        self.fresh_oms()

    def fresh_oms(self):
        env = dict(self.oms_env)
        if self.sample_rows:
            env["OMS_SAMPLE_ROWS"] = str(self.sample_rows)
        if self.metadb:
            env["OMS_METADB"] = self.metadb
        devenv("oms", "start", "4.3.0", env=env)
        self.oms = Oms()
        # Neither the default nor what the new container has meanwhile, so that it shows whether it is put back.
        docker("update", "--restart", "always", "oms_430")
        self.before = Before(self.oms)
        self.oms_name = "oms_430"

    def clean(self):
        """No controller, no resource, no row, no backup."""
        logs = Path(os.environ["DEVENV_DIR"]) / "logs"
        for pid in (Path(os.environ["DEVENV_DIR"]) / "pids").glob("controller-*"):
            devenv("controller", "stop", "--name", pid.name.removeprefix("controller-"))
        if kubectl("get", "crd", "omsupgrades.oms.oceanbase.com", check=False).returncode == 0:
            names = kubectl("get", "omsupgrades", "-o", "name").stdout.split()
            for name in names:
                Resource(name.split("/")[1]).remove()
            kubectl("delete", "events", "--all")
        sql("drop database if exists oms_upgrade_controller")
        for folder in Path(os.environ["OMS_BACKUPS"]).glob("*"):
            shutil.rmtree(folder, ignore_errors=True)
        # In an engine of the tests' own: what a failed one left would hold the image of the next.
        for name, _ in containers().values():
            if name.startswith("oms-upgrade-"):
                docker("rm", "-f", name)
        for log in logs.glob("controller-*.log"):
            # What a failed test leaves for its reader; the next one begins an empty log.
            log.replace(log.with_suffix(".last"))

    def controller(self, name="main", *args, binary=None, tools=None):
        return Controller(name, *(args or ALONE), binary=binary, tools=tools).start()

    # --- asserts of the world

    def assert_upgraded(self, resource, readers=()):
        """Everything that must be true after an upgrade, however it went on its way.

        readers: ids of connections that may still be registered."""
        oms, before = self.oms, self.before
        status = resource.status()
        operation = status["operation"]
        self.assertEqual(status["currentVersion"], "4.3.1")
        self.assert_containers(before, operation)
        self.assert_ha(json.loads(before.ha_raw), oms.ha())
        self.assertEqual(oms.script_runs(), (1, 1), "docker_upgrade.sh starts and ends")
        self.assertEqual(oms.upgrade_runs(), 1)
        sequence = oms.sequence()
        self.assertGreaterEqual(sequence["min"], before.sequence["max"], "the last row was kept, and ids went on")
        self.assertLess(sequence["rows"], before.sequence["rows"] // 2, "heatbeat_sequence was compacted")
        self.assertEqual([], [t for t, in sql(
            "select table_name from information_schema.tables "
            f"where table_schema='{oms.cm_hb}' and table_name like 'heatbeat_sequence%' "
            "and table_name <> 'heatbeat_sequence'")])
        self.assertLess(operation["t1"], operation["t2"])
        self.assert_config(before)
        self.assert_backups(status, operation)
        self.assertEqual(oms.row()["operation_id"], "")
        self.assertEqual([c for c in oms.still_registered() if not (c.get("reads") and c["id"] in readers)], [])

    def assert_containers(self, before, operation):
        old, new = inspect("oms_430"), inspect("oms_431")
        self.assertIsNotNone(new, "container oms_431")
        self.assertEqual(old["Id"], before.old["Id"])
        self.assertFalse(old["State"]["Running"], "the old container is stopped")
        self.assertEqual(old["State"]["StartedAt"], before.old["State"]["StartedAt"], "and was not started again")
        host, was = new["HostConfig"], before.old["HostConfig"]
        self.assertTrue(new["State"]["Running"])
        self.assertEqual(new["RestartCount"], 0)
        self.assertEqual(new["Image"], operation["toImageID"])
        self.assertEqual(host["NetworkMode"], "host")
        self.assertTrue(host["Privileged"])
        # The engine shows the guide's -1 as "none".
        self.assertIn(host["PidsLimit"], (-1, 0, None))
        self.assertEqual([(u["Name"], u["Soft"], u["Hard"]) for u in host["Ulimits"]], [("nproc", 65535, 65535)])
        self.assertEqual(host["RestartPolicy"]["Name"], was["RestartPolicy"]["Name"])
        self.assertEqual(old["HostConfig"]["RestartPolicy"]["Name"], "no", "an engine's restart must not start it")
        self.assertIn("IS_UPGRADE=true", new["Config"]["Env"])
        self.assertIn(f"OMS_HOST_IP={self.oms.env['OMS_HOST_IP']}", new["Config"]["Env"])
        mounts = lambda c: {m["Destination"]: m["Source"] for m in c["Mounts"]}
        expected = mounts(before.old)
        expected["/home/admin/conf/config.yaml"] = str(self.oms.data / "config-4.3.1.yaml")
        self.assertEqual(mounts(new), expected)
        # Helpers and second tries would show here.
        self.assertEqual(sorted(name for name, _ in containers().values()), ["oms_430", "oms_431"])

    def assert_ha(self, before, after):
        self.assertIs(after["enable"], True)
        self.assertIs(after["perceiveStoreClientCheckpoint"], True)
        self.assertEqual(list(after), list(before), "keys and their order")
        changed = {"enable", "perceiveStoreClientCheckpoint"}
        self.assertEqual({k: v for k, v in after.items() if k not in changed},
                         {k: v for k, v in before.items() if k not in changed})
        self.assertIn("vendorNote", after)

    def assert_config(self, before):
        data = self.oms.data
        self.assertEqual((data / "config.yaml").read_bytes(), before.config, "the old file is not touched")
        new = data / "config-4.3.1.yaml"
        self.assertEqual(new.stat().st_mode & 0o777, (data / "config.yaml").stat().st_mode & 0o777)
        keys = re.findall(r'^"?(oms_\w*meta_\w+)"?:', new.read_text(), re.M)
        parts = ("host", "password", "port", "user")
        self.assertEqual(sorted(keys), sorted(f"oms_{db}_meta_{p}" for db in ("rm", "cm") for p in parts))
        rest = lambda text: [l for l in text.splitlines() if not re.match(r'"?oms_\w*meta_', l)]
        self.assertEqual(rest(new.read_text()), rest(before.config.decode()), "comments, quoting and order stay")

    def assert_backups(self, status, operation):
        folder = Path(operation["folder"])
        names = {self.oms.rm, self.oms.cm, self.oms.cm_hb}
        self.assertEqual({b["database"] for b in status["backups"]}, names)
        places = {b["place"] for b in status["backups"]}
        self.assertEqual(len(places), 1)
        place = Path(places.pop())
        self.assertTrue(place.is_relative_to(folder))
        manifest = json.loads((place / "manifest.json").read_text())
        self.assertEqual({d["name"] for d in manifest["databases"]}, names)
        self.assertEqual(manifest["containerID"], self.before.old["Id"])
        self.assertEqual(manifest["startedAt"], self.before.old["State"]["StartedAt"])
        run("sh", "-c", 'cd "$1" && sha256sum -c --quiet --strict SHA256SUMS', "sh", place)
        for database in manifest["databases"]:
            self.assertTrue(database["digest"]["tables"], database["name"])
            for file in database["files"]:
                self.assertEqual((place / file["path"]).stat().st_size, file["bytes"])
        self.assertTrue((place / "RESTORE.md").is_file())
        # One valid backup; whatever tries left behind has no manifest.
        self.assertEqual([p.parent for p in folder.rglob("manifest.json")], [place])
        kept = [p for p in folder.rglob("*") if p.is_file() and p.read_bytes() == self.before.config]
        self.assertTrue(kept, "config.yaml was backed up byte for byte")
        # It holds passwords (config.yaml), and what OMS knows: for the owner alone.
        self.assertEqual(folder.stat().st_mode & 0o077, 0, folder)

    def assert_untouched(self):
        """OMS runs as it did, and nothing has been made or taken."""
        old, now = self.before.old, inspect("oms_430")
        self.assertIsNotNone(now, "container oms_430")
        self.assertEqual(now["Id"], old["Id"])
        self.assertTrue(now["State"]["Running"])
        self.assertEqual(now["State"]["StartedAt"], old["State"]["StartedAt"])
        self.assertEqual(now["HostConfig"]["RestartPolicy"], old["HostConfig"]["RestartPolicy"])
        self.assertEqual(self.oms.ha_raw(), self.before.ha_raw)
        self.assertEqual((self.oms.data / "config.yaml").read_bytes(), self.before.config)
        self.assertGreaterEqual(self.oms.sequence()["rows"], self.before.sequence["rows"])
        self.assertIsNone(inspect("oms_431"))
        backups = Path(os.environ["OMS_BACKUPS"])
        self.assertEqual([], [p for p in backups.rglob("*") if p.name == "manifest.json" or ".sql" in p.name])

    def assert_no_secret(self, resource, *controllers):
        secrets = {MetaDb.get("PASSWORD"), MetaDb.get("PASSWORD", self.oms.cm)}
        texts = {"status": json.dumps(resource.get()), "events": json.dumps(resource.events())}
        for controller in controllers:
            texts[f"log of {controller.name}"] = controller.log.read_text(errors="replace")
            texts[f"metrics of {controller.name}"] = run("curl", "-sS", f"{controller.address()}/metrics", check=False).stdout
        for secret in secrets:
            for where, text in texts.items():
                self.assertFalse(secret in text, f"the MetaDB's password is in the {where}")
            for path in Path(os.environ["OMS_BACKUPS"]).rglob("SHA256SUMS"):
                self.assertNotIn(secret, path.read_text())


def main():
    unittest.main(module="__main__", verbosity=2)

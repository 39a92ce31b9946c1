#!/usr/bin/env python3
"""hack/lib touches nothing of an engine but what is this environment's: each case is an engine in which
somebody else's containers and images are, as far as the scripts ask for them."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LIB = Path(__file__).resolve().parents[1] / "lib"
LABEL = "oms.standin.version"

# The docker client, as far as hack/lib calls it: the engine is a JSON file.
DOCKER = '#!%s -IS\n' % sys.executable + r'''
import json, os, sys
path = os.environ["FAKE_ENGINE"]
engine = json.load(open(path))
args = sys.argv[1:]
host = os.environ.get("DOCKER_HOST")
if args[0] == "-H":
    host, args = args[1], args[2:]
if host not in engine["hosts"]:
    sys.exit("Cannot connect to the Docker daemon at %s" % host)
form = args.pop(args.index("-f") + 1) if "-f" in args and args[0] != "rm" else None
args = [a for a in args if a != "-f" or args[0] == "rm"]

def save():
    json.dump(engine, open(path, "w"))

if args[0] == "version":
    print("20.10.24")
elif args[:2] == ["ps", "-aq"]:
    print("\n".join(c["Id"] for c in engine["containers"]))
elif args[:2] == ["container", "inspect"]:
    found = [c for c in engine["containers"] if c["Id"] in args[2:] or c["Name"][1:] in args[2:]]
    if form is None:
        print(json.dumps(found))
    elif found:
        print({"{{.Id}}": found[0]["Id"], "{{.Config.Image}}": found[0]["Config"]["Image"]}[form])
    sys.exit(len(found) < len(args) - 2)
elif args[:2] == ["rm", "-f"]:
    engine["containers"] = [c for c in engine["containers"] if c["Id"] not in args[2:]]
    save()
elif args[0] == "images":
    label = args[args.index("--filter") + 1].removeprefix("label=")
    for image in engine["images"]:
        if label in image["labels"]:
            print(image["id"], image["reference"])
elif args[:2] == ["image", "inspect"]:
    found = [i for i in engine["images"] if args[2] in (i["id"], i["reference"])]
    if not found:
        sys.exit(1)
    print(found[0]["labels"].get("oms.standin.version", "") if form and "Labels" in form else found[0]["id"])
elif args[:2] == ["image", "rm"]:
    images = [i for i in engine["images"] if args[2] not in (i["id"], i["reference"])]
    gone = [i for i in engine["images"] if i not in images]
    if not gone or any(c["Config"]["Image"] == i["reference"] for i in gone for c in engine["containers"]):
        sys.exit("conflict")
    engine["images"] = images
    save()
else:
    sys.exit("the fake knows no: %s" % " ".join(args))
'''


def container(name, mounts=(), image="oms:4.3.0"):
    return {"Id": (name.encode().hex() + "0" * 64)[:64], "Name": "/" + name, "Mounts": [{"Source": m} for m in mounts],
            "Config": {"Image": image}, "State": {"Status": "running"}}


def image(reference, standin=True, id_of=None):
    return {"id": "sha256:" + ((id_of or reference).encode().hex() + "0" * 64)[:64], "reference": reference,
            "labels": {LABEL: "4.3.0"} if standin else {}}


class Engine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.devenv = self.root / "env"
        self.oms = self.devenv / "oms"
        self.oms.mkdir(parents=True)
        (self.devenv / ".oms-devenv").touch()
        (self.root / "bin").mkdir()
        for name, text in (("docker", DOCKER), ("mariadb", "#!/bin/sh\ncat >/dev/null\n")):
            (self.root / "bin" / name).write_text(text)
            (self.root / "bin" / name).chmod(0o755)
        self.system = "unix:///system.sock"
        self.engine([], [])

    def engine(self, containers, images, hosts=None):
        (self.root / "engine.json").write_text(
            json.dumps({"containers": containers, "images": images, "hosts": hosts or [self.system]}))

    def left(self):
        engine = json.loads((self.root / "engine.json").read_text())
        return ([c["Name"][1:] for c in engine["containers"]], [i["reference"] for i in engine["images"]])

    def call(self, script, settled=None, **env):
        """`script` as hack/devenv.sh would run it. (exit code, stdout, stderr)."""
        source = " ".join(f". {LIB}/{name}.sh;" for name in ("common", "packages", "tls", "kube", "engine", "metadb",
                                                            "controller", "images", "oms"))
        settle = f'remember engine "{settled}";' if settled else ""
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail; {source} {settle} {script}"], capture_output=True, text=True,
            check=False, timeout=60,
            env={"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": str(self.root), "DEVENV_DIR": str(self.devenv),
                 "OMS_CACHE": str(self.root / "cache"), "FAKE_ENGINE": str(self.root / "engine.json"),
                 "METADB_DEFAULTS": "/dev/null", **env})
        return done.returncode, done.stdout, done.stderr

    def ours(self, name, version="4.3.0", folder=None):
        folder = folder or self.oms
        return container(name, [f"{folder}/config.yaml", f"{folder}/oms_logs"], f"oms:{version}")

    # --- what is removed

    def test_a_reset_removes_what_mounts_its_folder_and_nothing_by_its_name(self):
        self.engine([container("oms_430", ["/data/oms/config.yaml"]), container("oms_431"),
                     self.ours("renamed"), self.ours("oms_432", "4.3.2"),
                     container("neighbour", [f"{self.oms}-b/oms_logs"]), container("above", [str(self.devenv)])], [])
        code, _, err = self.call("oms_reset", self.system, DOCKER_HOST=self.system)
        self.assertEqual(code, 0, err)
        self.assertEqual(self.left()[0], ["oms_430", "oms_431", "neighbour", "above"])

    def test_a_start_refuses_a_name_that_is_somebody_elses(self):
        for name in ("oms_430", "oms_431"):
            self.engine([container(name, ["/data/oms/config.yaml"], "registry/oms:feature")], [])
            code, _, err = self.call("oms_refuse_strangers", self.system, DOCKER_HOST=self.system)
            self.assertEqual(code, 1)
            self.assertIn(f"a container {name} that is not this environment's (image registry/oms:feature)", err)
            self.assertIn("up --engine own", err)
            self.assertEqual(self.left()[0], [name])

    def test_a_start_refuses_to_take_a_tag_from_a_real_oms(self):
        for reference in ("oms:4.3.0", "oms:4.3.1"):
            self.engine([], [image(reference, standin=False)])
            code, _, err = self.call("oms_refuse_strangers", self.system, DOCKER_HOST=self.system)
            self.assertEqual(code, 1)
            self.assertIn(f"an image {reference} that is not the stand-in", err)

    def test_a_start_goes_on_beside_what_is_ours(self):
        self.engine([self.ours("oms_430"), container("web")], [image("oms:4.3.0"), image("oms:2.0", standin=False)])
        code, _, err = self.call("oms_refuse_strangers", self.system, DOCKER_HOST=self.system)
        self.assertEqual(code, 0, err)

    def test_only_images_that_came_with_this_environment_are_removed(self):
        before = [image("oms:4.3.0"), image("oms:9.9", standin=False), image("debian:12", standin=False)]
        self.engine([], before)
        code, _, err = self.call("oms_note_images", self.system, DOCKER_HOST=self.system)
        self.assertEqual(code, 0, err)
        # Since then: the controller loaded one, and an older build has lost its tag.
        self.engine([], before + [image("oms:4.3.1"), image("<none>:<none>", id_of="old build"),
                                  image("oms:4.3.2")])
        code, out, err = self.call("oms_note_images; oms_remove_images oms:4.3.2", DOCKER_HOST=self.system)
        self.assertEqual((code, out), (0, ""), err)
        self.assertEqual(self.left()[1], ["oms:4.3.0", "oms:9.9", "debian:12", "oms:4.3.2"])

    def test_down_takes_ours_out_of_a_persons_engine_and_tells_what_stays(self):
        second = Path(f"{self.oms}-b")
        second.mkdir()
        self.engine([], [])
        self.call("oms_note_images", self.system, DOCKER_HOST=self.system)
        self.engine([self.ours("oms_430"), self.ours("oms_b_431", "4.3.1", second), container("oms_999", image="oms:4.3.1"),
                     container("web", image="web:1")],
                    [image("oms:4.3.0"), image("oms:4.3.1"), image("web:1", standin=False)])
        code, _, err = self.call("oms_down")
        self.assertEqual(code, 0, err)
        self.assertEqual(self.left(), (["oms_999", "web"], ["oms:4.3.1", "web:1"]))
        self.assertIn(f"removed from the engine at {self.system}: oms_430 oms_b_431", err)
        self.assertIn("stay in the engine", err)
        self.assertIn("oms:4.3.1", err)

    def test_down_says_so_where_the_engine_does_not_answer(self):
        self.call("oms_note_images", self.system, DOCKER_HOST=self.system)
        self.engine([], [], hosts=["unix:///another"])
        code, _, err = self.call("oms_down")
        self.assertEqual(code, 0, err)
        self.assertIn("does not answer", err)

    # --- which engine

    def choice(self, wanted, settled=None, **env):
        code, out, err = self.call(f"engine_choice {wanted}", settled, **env)
        return out.strip() if code == 0 else err

    def test_an_engine_of_its_own_whatever_else_answers(self):
        self.assertEqual(self.choice("own", DOCKER_HOST=self.system), "own")

    def test_the_engine_that_a_person_names(self):
        self.assertEqual(self.choice("auto", DOCKER_HOST=self.system), self.system)
        self.assertEqual(self.choice("system", DOCKER_HOST=self.system), self.system)
        self.assertEqual(self.choice("system"), "unix:///var/run/docker.sock")

    def test_what_another_environment_exported_is_nobodys_choice(self):
        self.assertNotEqual(self.choice("auto", DOCKER_HOST="unix:///other", OMS_OWN_ENGINE="unix:///other"), "unix:///other")

    def test_an_environment_stays_with_its_engine(self):
        self.assertEqual(self.choice("auto", "own", DOCKER_HOST=self.system), "own")
        self.assertIn("'hack/devenv.sh down' first", self.choice("own", self.system))
        self.assertIn("'hack/devenv.sh down' first", self.choice("system", "own", DOCKER_HOST=self.system))

    def test_an_engine_that_cannot_be_used_is_named(self):
        for host, words in (("tcp://10.1.2.3:2375", "is not on this host"), ("ssh://somebody@host", "is not on this host"),
                            ("unix:///nobody.sock", "no Docker Engine answers at unix:///nobody.sock")):
            code, _, err = self.call(f"engine_usable {host}")
            self.assertEqual(code, 1)
            self.assertIn(words, err)
        code, _, err = self.call(f"engine_usable {self.system}")
        self.assertEqual(code, 0, err)


if __name__ == "__main__":
    if subprocess.run(["sh", "-c", "command -v jq"], capture_output=True, check=False).returncode != 0:
        print("skipped: no jq here (apt-get install jq)")
        sys.exit(77)
    unittest.main(verbosity=1)

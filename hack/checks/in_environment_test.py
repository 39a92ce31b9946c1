#!/usr/bin/env python3
"""hack/lib/in_environment.sh: a test with servers runs in the environment that ctest gave it, alone; and what
`hack/devenv.sh up` says of a network that it cannot have."""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

HACK = Path(__file__).resolve().parents[1]


class InEnvironment(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for number in "1", "2":
            (self.root / f"devenv-{number}").mkdir()
            (self.root / f"{number}.sh").write_text(
                f"export DEVENV_DIR={self.root}/devenv-{number}\nexport METADB_PORT=2{number}\nunset OMS_NETWORK\n")

    def run_in(self, *command, **more):
        env = {"PATH": os.environ["PATH"], "OMS_TEST_ENVIRONMENTS": str(self.root), **more}
        return subprocess.run([HACK / "lib" / "in_environment.sh", *command], env=env, capture_output=True, text=True,
                              check=False)

    def test_the_exports_are_those_of_the_share(self):
        for number in "1", "2":
            done = self.run_in("sh", "-c", "echo $METADB_PORT", CTEST_RESOURCE_GROUP_0_SERVERS=f"id:{number},slots:1")
            self.assertEqual((done.returncode, done.stdout), (0, f"2{number}\n"), done.stderr)

    def test_without_a_share_they_are_those_of_the_shell(self):
        done = self.run_in("sh", "-c", "echo $METADB_PORT", METADB_PORT="7")
        self.assertEqual((done.returncode, done.stdout), (0, "7\n"), done.stderr)

    def test_a_share_that_is_not_there_is_an_error_and_the_test_does_not_run(self):
        done = self.run_in("echo", "ran", CTEST_RESOURCE_GROUP_0_SERVERS="id:3,slots:1")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("ran", done.stdout)

    def test_the_exit_code_is_that_of_the_test(self):
        self.assertEqual(self.run_in("sh", "-c", "exit 7", CTEST_RESOURCE_GROUP_0_SERVERS="id:1,slots:1").returncode, 7)

    def test_two_tests_of_one_environment_wait_for_each_other(self):
        # The second finds the lock taken as long as the first runs, and not in the other environment.
        look = f"flock -n {self.root}/devenv-%s/test.lock true && echo free || echo taken"
        done = self.run_in("sh", "-c", f"{look % 1}; {look % 2}", CTEST_RESOURCE_GROUP_0_SERVERS="id:1,slots:1")
        self.assertEqual(done.stdout, "taken\nfree\n", done.stderr)

    def up(self, *arguments):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root), "DEVENV_DIR": str(self.root / "new")}
        return subprocess.run([HACK / "devenv.sh", "up", *arguments], env=env, capture_output=True, text=True, check=False)

    def test_a_network_of_another_name_is_refused(self):
        done = self.up("--network", "mine")
        self.assertEqual((done.returncode, done.stderr), (1, "error: --network takes host or own, not 'mine'\n"))

    def test_a_network_of_its_own_reaches_no_engine_or_cluster_of_a_person(self):
        if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0:
            self.assertIn("--network own needs root" if os.geteuid() else "no network namespace",
                          self.up("--network", "own").stderr)
            return
        for more in ("--engine", "system"), ("--kubeconfig", "some.yaml"):
            done = self.up("--network", "own", *more)
            self.assertEqual(done.returncode, 1)
            self.assertIn("neither --engine system nor --kubeconfig can be reached from it", done.stderr)


if __name__ == "__main__":
    unittest.main()

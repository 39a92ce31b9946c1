"""What is wrong is said, with what to do about it, before anything is stopped; and nothing is changed."""

import json
import os
import shutil
import socket
import time
from pathlib import Path

from harness import Resource, World, docker, inspect, kubectl, main, run, say, sql, until


def silent_port():
    """A port that nobody listens on: bound for the test's life, never listened on."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


class BadInputTest(World):
    """One OMS for all rows: each leaves it as it was, which is what is tested."""

    def test_bad_input_is_refused_with_a_reason_and_nothing_is_changed(self):
        self.controller_ = self.controller()
        for row in (self.malformed_version, self.lower_version, self.unknown_version, self.no_container,
                    self.no_oms_container, self.missing_mount, self.config_keys_differ, self.host_not_in_config, self.silent_engine, self.engine_not_allowed, self.backup_elsewhere,
                    self.wrong_password, self.no_secret, self.silent_metadb, self.foreign_metadb, self.unlisted_host,
                    self.little_space, self.no_archive, self.archive_checksum, self.suspended, self.image_id,
                    self.auto_remove):
            name = row.__name__.replace("_", "-")
            with self.subTest(name):
                begun = time.monotonic()
                try:
                    row(Resource(name))
                finally:
                    self.tidy(name)
                say(f"{time.monotonic() - begun:5.1f} s  {name}")

    def tidy(self, name):
        """As if the row had never been. An operation that was opened is left by deletionPolicy."""
        resource = Resource(name)
        if kubectl("get", "omsupgrade", name, check=False).returncode == 0:
            opened = "operation" in resource.status()
            if opened:
                # The quick way: nobody acts, then all traces go.
                self.controller_.stop()
            resource.remove()
            if opened:
                sql("drop database if exists oms_upgrade_controller")
                for container in docker("ps", "-aq", "--filter", f"label=oms.oceanbase.com/owner=default.{name}").split():
                    docker("rm", "-f", container)
                docker("image", "rm", "oms:4.3.1", check=False)
                self.controller_.start()
        shutil.rmtree(Path(os.environ["OMS_BACKUPS"]) / name, ignore_errors=True)

    def refused(self, resource, reason, *words, changes=None, version="4.3.1", condition="PreflightPassed", stalls=True):
        """Stalled, or Ready=Unknown where it may pass by itself; with words for a person."""
        resource.apply(version, changes)
        if stalls:
            found = resource.wait_stalled(reason)
            self.assertEqual(resource.condition("Ready")["status"], "False")
        else:
            found = until(f"Ready is not True because of {reason}", lambda: (c := resource.condition("Ready")).get(
                "status") in ("False", "Unknown") and c["reason"] == reason and c, 90)
        self.assertEqual(found["reason"], reason, found)
        for word in words:
            self.assertIn(word, found["message"])
        self.assertNotIn(os.environ["METADB_PASSWORD"], json.dumps(resource.get()))
        if stalls:
            until("an event", lambda: any(e["reason"] == reason for e in resource.events()))
            if condition:
                self.assertEqual(resource.condition(condition)["status"], "False")
        self.assert_untouched()
        return found

    # --- the table

    def malformed_version(self, resource):
        done = resource.apply("4.3.x", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("spec.version", done.stderr)
        self.assertIn("write the version as 4.3.1", done.stderr)
        self.assert_untouched()

    def lower_version(self, resource):
        self.refused(resource, "DowngradeRefused", "4.3.0", "4.2.9", version="4.2.9", condition=None)

    def unknown_version(self, resource):
        self.refused(resource, "UnknownVersion", "9.9.9", "spec.version", version="9.9.9",
                     changes={"image": {"archive": None}})

    def no_container(self, resource):
        self.refused(resource, "ContainerNotFound", "oms_999", "docker ps -a",
                     changes={"nodes": [self.node(container="oms_999")]})

    def no_oms_container(self, resource):
        docker("create", "--name", "bystander", "oms:4.3.0")
        try:
            self.refused(resource, "NotAnOMSContainer", "config.yaml", "spec.nodes",
                         changes={"nodes": [self.node(container="bystander")]})
        finally:
            docker("rm", "-f", "bystander")

    def missing_mount(self, resource):
        data = self.oms.data
        docker("create", "--net", "host", "--privileged=true", "--pids-limit", "-1", "--ulimit", "nproc=65535:65535",
               "-v", f"{data}/config.yaml:/home/admin/conf/config.yaml", "-v", f"{data}/oms_logs:/home/admin/logs",
               "-e", f"OMS_HOST_IP={self.oms.env['OMS_HOST_IP']}", "--name", "mountless", "oms:4.3.0")
        try:
            self.refused(resource, "GuideFlags", "/home/ds/", changes={"nodes": [self.node(container="mountless")]})
        finally:
            docker("rm", "-f", "mountless")

    def with_config(self, resource, old, new, reason, *words):
        """config.yaml is edited in place: the container sees it, and OMS reads it only when it starts."""
        config = self.oms.data / "config.yaml"
        was = self.before.config
        self.assertIn(old, was.decode())
        self.before.config = was.decode().replace(old, new).encode()
        config.write_bytes(self.before.config)
        try:
            found = self.refused(resource, reason, *words)
        finally:
            resource.remove()
            self.before.config = was
            config.write_bytes(was)
        return found

    def config_keys_differ(self, resource):
        found = self.with_config(resource, '"cm_location": "2"', '"cm_location": "2"\noms_rm_meta_user: someone-6418',
                                 "ConfigInvalid", "oms_meta_user and oms_rm_meta_user")
        self.assertNotIn("6418", found["message"])

    def host_not_in_config(self, resource):
        self.with_config(resource, f'- "{self.oms.env["OMS_HOST_IP"]}"', '- "10.9.8.7"', "HostNotInConfig", "cm_nodes")

    def silent_engine(self, resource):
        held, port = silent_port()
        kubectl("create", "secret", "generic", "silent-engine", *self.tls_files())
        try:
            self.refused(resource, "EngineUnreachable", str(port), changes={"nodes": [
                {**self.node(), "engine": {"endpoint": f"tcp://127.0.0.1:{port}", "tls": {"secretRef": {"name": "silent-engine"}}}}]})
        finally:
            held.close()
            kubectl("delete", "secret", "silent-engine")

    def engine_not_allowed(self, resource):
        self.refused(resource, "EngineNotAllowed", "--allow-engine", condition=None, changes={"nodes": [
            {**self.node(), "engine": {"endpoint": "unix:///somewhere/else.sock"}}]})

    def backup_elsewhere(self, resource):
        self.refused(resource, "BackupDirectoryNotAllowed", "--allow-backup-dir", condition=None,
                     changes={"backup": {"directory": "/somewhere/else"}})

    def wrong_password(self, resource):
        kubectl("create", "secret", "generic", "wrong", "--from-literal=password=not-the-password-6417")
        try:
            found = self.refused(resource, "MetaDBDenied", "password", changes={
                "metaDB": {"connect": {"passwordSecretRef": {"name": "wrong"}}}})
            self.assertNotIn("6417", found["message"])
            self.assertNotIn("6417", self.controller_.log.read_text())
        finally:
            kubectl("delete", "secret", "wrong")

    def no_secret(self, resource):
        self.refused(resource, "SecretUnreadable", "default/nowhere", changes={
            "metaDB": {"connect": {"passwordSecretRef": {"name": "nowhere"}}}})

    def silent_metadb(self, resource):
        held, port = silent_port()
        try:
            self.refused(resource, "InvalidSpec", str(port), "spec.metaDB.connect.passwordSecretRef",
                         changes={"metaDB": {"connect": {"port": port}}})
            kubectl("create", "secret", "generic", "silent", "--from-literal=password=another-password-2814")
            self.refused(resource, "MetaDBUnreachable", str(port), changes={
                "metaDB": {"connect": {"port": port, "passwordSecretRef": {"name": "silent"}}}})
        finally:
            held.close()
            kubectl("delete", "secret", "silent", check=False)

    def foreign_metadb(self, resource):
        """config.yaml leads to copies, as it would on a host that was cloned; OMS itself writes elsewhere."""
        copies = {name: f"copy_{name}" for name in (self.oms.rm, self.oms.cm, self.oms.cm_hb)}
        config = self.oms.data / "config.yaml"
        text = self.before.config.decode()
        for name, copy in copies.items():
            text = text.replace(f'"{name}"', f'"{copy}"')
            sql(f"create database {copy} default character set utf8mb4")
            run("sh", "-c", 'mysqldump --defaults-file="$1" --triggers=false "$2" | mysql --defaults-file="$1" -D "$3"',
                "sh", os.environ["METADB_DEFAULTS"], name, copy)
        config.write_text(text)  # In place: the container sees it. OMS reads it only when it starts.
        was, self.before.config = self.before.config, text.encode()
        try:
            self.refused(resource, "NotThisOMS", "spec.metaDB.connect")
        finally:
            resource.remove()
            self.before.config = was
            config.write_bytes(was)
            for copy in copies.values():
                sql(f"drop database {copy}")

    def unlisted_host(self, resource):
        sql("insert into host (ip, host_status, gmt_created, gmt_modified) values ('10.9.8.7', 'ONLINE', now(), now())",
            self.oms.cm)
        try:
            self.refused(resource, "UnlistedHostOnline", "10.9.8.7", "spec.nodes")
        finally:
            resource.remove()  # First, or it goes on as soon as the host is gone.
            sql("delete from host where ip='10.9.8.7'", self.oms.cm)

    def little_space(self, resource):
        folder = Path(os.environ["OMS_BACKUPS"]) / "little-space"
        folder.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder)
        try:
            self.refused(resource, "DiskLow", str(folder), "free some space")
        finally:
            resource.remove()
            until("the volume to be let go", lambda: run("umount", folder, check=False).returncode == 0)

    def no_archive(self, resource):
        self.refused(resource, "ArchiveNotFound", "oms_none.tar.gz",
                     changes={"image": {"archive": f"{os.environ['OMS_ARCHIVES']}/oms_none.tar.gz"}})

    def archive_checksum(self, resource):
        self.refused(resource, "ArchiveChecksumDiffers", "sha256", condition="ImageLoaded",
                     changes={"image": {"sha256": "0" * 64}})

    def image_id(self, resource):
        self.refused(resource, "ImageIDDiffers", "spec.image.id", condition="ImageLoaded",
                     changes={"image": {"id": "sha256:" + "0" * 64}})

    def suspended(self, resource):
        resource.apply("4.3.1", {"suspend": True})
        held = until("suspended", lambda: (c := resource.condition("Ready")).get("reason") == "Suspended" and c)
        self.assertEqual(held["status"], "False")
        self.assertEqual(resource.condition("Stalled")["status"], "False")
        self.assertEqual(resource.condition("PreflightPassed")["status"], "True")
        self.assertIn("spec.suspend", held["message"])
        self.assertNotIn("operation", resource.status())
        self.assert_untouched()

    def auto_remove(self, resource):
        """Last: OMS is started anew, with --rm, as a person who tries it out would."""
        docker("rm", "-f", "oms_430")
        data = self.oms.data
        docker("run", "-dit", "--rm", "--net", "host", "--privileged=true", "--pids-limit", "-1",
               "--ulimit", "nproc=65535:65535",
               "-v", f"{data}/config.yaml:/home/admin/conf/config.yaml", "-v", f"{data}/oms_logs:/home/admin/logs",
               "-v", f"{data}/oms_store:/home/ds/store", "-v", f"{data}/oms_run:/home/ds/run",
               "-e", f"OMS_HOST_IP={self.oms.env['OMS_HOST_IP']}", "--name", "oms_430", "oms:4.3.0")
        self.before.old = inspect("oms_430")
        self.refused(resource, "AutoRemove", "--rm")

    # --- what the rows are made of

    def node(self, container="oms_430"):
        return {"name": "oms-1", "engine": {"endpoint": os.environ["DOCKER_HOST"]}, "container": {"name": container}}

    def tls_files(self):
        """Of the environment's own engine; where that is a user's, any text will do: nobody listens."""
        folder = os.environ.get("OMS_ENGINE_TLS_DIR")
        if not folder:
            return [f"--from-literal={key}=none" for key in ("ca.crt", "tls.crt", "tls.key")]
        return [f"--from-file={key}={folder}/{file}" for key, file in
                (("ca.crt", "ca.pem"), ("tls.crt", "cert.pem"), ("tls.key", "key.pem"))]


if __name__ == "__main__":
    main()

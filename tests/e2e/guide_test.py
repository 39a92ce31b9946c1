"""What the guide asks for beside the plain way: HA in all its forms, an OMS that OAT has deployed, HTTPS."""

import json
import os
from pathlib import Path

from harness import LATER, Resource, World, inspect, kubectl, main, run, sql, until


def set_ha(oms, raw):
    """As the console would; None takes the row away."""
    if raw is None:
        sql("delete from oms_normal_config where cfg_name='ha.config'", oms.rm)
    else:
        sql(f"update oms_normal_config set cfg_value=x'{raw.encode().hex()}' where cfg_name='ha.config'", oms.rm)
    assert oms.ha_raw() == raw


class HaTest(World):
    def upgraded(self, name, raw, changes=None):
        controller = self.controller()
        set_ha(self.oms, raw)
        resource = Resource(name)
        resource.apply("4.3.1", changes)
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assertEqual(self.oms.script_runs(), (1, 1))
        self.assertTrue(inspect("oms_431")["State"]["Running"])
        controller.stop()
        return resource

    def test_off_already_stays_off_and_is_told(self):
        raw = '{"enableHost":true, "enable" : false}'
        resource = self.upgraded("off", raw)
        self.assertEqual(self.oms.ha_raw(), raw)
        self.assertEqual(resource.condition("HADisabled")["reason"], "Skipped")
        self.assertEqual(resource.condition("HAEnabled")["reason"], "Skipped")
        self.assertIn("HA was off before", resource.status()["followUps"][0])

    def test_without_the_row_nothing_is_switched_or_made(self):
        self.upgraded("rowless", None)
        self.assertIsNone(self.oms.ha_raw())

    def test_unknown_and_missing_keys_in_another_order_are_kept_as_they_were_written(self):
        self.upgraded("odd", '{"zulu": [1, {"a": 2.50}],"refetchStoreIntervalMin":"30",  "enable":"true"}')
        self.assertEqual(self.oms.ha_raw(), '{"zulu": [1, {"a": 2.50}],"refetchStoreIntervalMin":"30",  '
                                            '"enable":"true","perceiveStoreClientCheckpoint": true}')

    def test_without_perceiving_the_interval_covers_the_downtime_and_half_an_hour(self):
        self.upgraded("interval", '{"enable":true,"refetchStoreIntervalMin":5}',
                      {"ha": {"perceiveStoreClientCheckpoint": False}})
        ha = self.oms.ha()
        self.assertIs(ha["enable"], True)
        self.assertNotIn("perceiveStoreClientCheckpoint", ha)
        self.assertGreaterEqual(ha["refetchStoreIntervalMin"], 31)
        self.assertLess(ha["refetchStoreIntervalMin"], 45)

    def test_switched_by_hand_it_is_waited_for_told_and_seen_to_happen(self):
        self.controller()
        resource = Resource("by-hand")
        resource.apply("4.3.1", {"ha": {"control": "Manual"}})

        def awaits(word):
            def look():
                ready = resource.condition("Ready")
                return ready.get("reason") == "AwaitingHASwitch" and word in ready["message"]
            until(f"a person is asked: {word}", look, LATER)
        awaits("enable to false")
        self.assertEqual(self.oms.ha_raw(), self.before.ha_raw)
        self.assertTrue(inspect("oms_430")["State"]["Running"], "not stopped before HA is off")
        until("an event", lambda: any(e["reason"] == "AwaitingHASwitch" for e in resource.events()))
        set_ha(self.oms, '{"enable":false,"mine":1}')
        awaits("enable to true")
        self.assertEqual(self.oms.ha_raw(), '{"enable":false,"mine":1}')
        self.assertEqual(resource.condition("ServicesHealthy")["status"], "True")
        set_ha(self.oms, '{"enable":true,"mine":2}')
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assertEqual(self.oms.ha_raw(), '{"enable":true,"mine":2}')


class OatTest(World):
    """Deployed by an OAT before 4.3.2: config.yaml is not to be modified."""
    oms_env = {"OMS_OAT": "1"}

    def test_the_config_of_an_old_oat_is_not_touched(self):
        self.controller()
        resource = Resource("oat")
        refused = resource.apply("4.3.1", {"deployment": {"provisioner": "OAT"}}, check=False)
        self.assertIn("deployment.oatVersion", refused.stderr)
        resource.apply("4.3.1", {"deployment": {"provisioner": "OAT", "oatVersion": "4.3.1"}})
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        self.assertEqual(resource.condition("ConfigRewritten")["reason"], "Skipped")
        self.assertEqual((self.oms.data / "config.yaml").read_bytes(), self.before.config)
        self.assertEqual([p.name for p in self.oms.data.glob("config*")], ["config.yaml"])
        sources = {m["Destination"]: m["Source"] for m in inspect("oms_431")["Mounts"]}
        self.assertEqual(sources["/home/admin/conf/config.yaml"], str(self.oms.data / "config.yaml"))


class HttpsTest(World):
    """The guide's two certificate mounts: OMS speaks HTTPS only, before and after."""
    oms_env = {"OMS_HTTPS": "1"}

    def setUp(self):
        super().setUp()
        self.certificate, self.key = self.oms.data / "https_crt", self.oms.data / "https_key"
        self.ca = Path(os.environ["DEVENV_DIR"]) / "oms-tls" / "ca.pem"

    def self_signed(self, name, *dates):
        """(certificate, key) of another."""
        folder = Path(os.environ["OMS_BACKUPS"]).parent / f"e2e-{name}"
        folder.mkdir(exist_ok=True)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj", f"/CN={name}", "-keyout", folder / "key", "-out", folder / "crt")
        if dates:
            run("openssl", "x509", "-in", folder / "crt", "-signkey", folder / "key", "-days", "-1",
                "-out", folder / "crt")
        return (folder / "crt").read_bytes(), (folder / "key").read_bytes()

    def stalls(self, resource, reason, *words):
        found = resource.wait("Stalled", seconds=LATER)
        self.assertEqual(found["reason"], reason, found)
        for word in words:
            self.assertIn(word, found["message"])
        self.assert_untouched()

    def test_a_mounted_certificate_is_checked_and_health_is_asked_by_it(self):
        controller = self.controller()
        resource = Resource("https")
        certificate, key = self.certificate.read_bytes(), self.key.read_bytes()
        another, key_of_another = self.self_signed("another")
        expired, key_of_expired = self.self_signed("expired", "-1")

        # Each is mended in place, and nothing but the next one is found then.
        self.key.write_bytes(key_of_another)
        resource.apply("4.3.1")
        self.stalls(resource, "KeyOfAnotherCertificate", "/etc/pki/nginx/oms_server.key")
        self.certificate.write_bytes(expired)
        self.key.write_bytes(key_of_expired)
        until("expired", lambda: resource.condition("Stalled").get("reason") == "CertificateExpired", LATER)
        # A pair that belongs together, but is not what nginx holds in memory.
        self.certificate.write_bytes(another)
        self.key.write_bytes(key_of_another)
        until("another", lambda: (s := resource.condition("Stalled")).get("reason") == "OMSUnhealthy" and
              "differs from the certificate that is mounted" in s["message"], LATER)
        self.assert_untouched()
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)

        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")
        mounts = {m["Destination"]: m["Source"] for m in inspect("oms_431")["Mounts"]}
        self.assertEqual(mounts["/etc/pki/nginx/oms_server.crt"], str(self.certificate))
        self.assertEqual(mounts["/etc/pki/nginx/oms_server.key"], str(self.key))
        address = f"{self.oms.env['OMS_HOST_IP']}:{self.oms.env['OMS_NGINX_PORT']}/oms/health"
        self.assertNotEqual(run("curl", "-sf", f"http://{address}", check=False).returncode, 0, "HTTPS alone")
        self.assertIn("true", run("curl", "-sSf", "--cacert", self.ca, f"https://{address}").stdout)
        secret = key.decode().splitlines()[1]
        self.assertNotIn(secret, json.dumps(resource.get()) + controller.log.read_text())
        for path in Path(os.environ["OMS_BACKUPS"]).rglob("*.json"):
            self.assertNotIn(secret, path.read_text(), path)

    def test_a_ca_by_reference_is_believed_for_the_name_it_signed(self):
        self.controller()
        kubectl("create", "secret", "generic", "console-ca", f"--from-file=ca.crt={self.ca}")
        self.addCleanup(kubectl, "delete", "secret", "console-ca")
        resource = Resource("https-ca")
        resource.apply("4.3.1", {"https": {"secretRef": {"name": "console-ca"}, "serverName": "else.example.com"}})
        self.stalls(resource, "OMSUnhealthy", "mismatch")
        resource.patch({"spec": {"https": {"serverName": None}}})
        self.assertEqual(resource.wait_ready()["reason"], "Succeeded")


if __name__ == "__main__":
    main()

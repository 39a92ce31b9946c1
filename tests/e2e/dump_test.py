"""A backup holds what the databases hold, and can be loaded again; where it could not, that is said while OMS still runs.
Once for each of the two servers."""

import json
import tempfile
from pathlib import Path

import snapshot
from harness import LATE, LATER, MetaDb, Resource, World, inspect, main, root_sql, sql, until

# Takes the last row out of one table's file, as a fault of the tool would.
ROW_LESS = r"""#!/bin/sh
/usr/bin/mydumper "$@" || exit
for argument; do case $argument in --outputdir=*) folder=${argument#--outputdir=} ;; esac; done
file=$folder/rm_430.oms_project.sql
[ -e "$file" ] || exit 0
sed -i '$d' "$file" && sed -i '$s/,$/;/' "$file"
"""


class Dumping(World):
    def begin(self, name, changes=None, tools=None):
        self.main = self.controller(tools=tools)
        self.resource = Resource(name)
        changes = changes or {}
        changes.setdefault("backup", {}).setdefault("image", False)
        self.resource.apply("4.3.1", changes)
        return self.resource

    def tools(self, name, text, mode=0o755):
        """A folder with one program in place of the system's."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / name
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        path.chmod(mode)
        Path(folder.name).chmod(0o755)
        return folder.name

    def go_back(self):
        self.resource.upgrade("4.3.0")
        found = self.resource.wait_ready(LATE)
        self.assertEqual(found["reason"], "RolledBackByRequest", found)
        return found

    def manifest(self):
        place = self.resource.status()["backups"][0]["place"]
        return json.loads((Path(place) / "manifest.json").read_text())

    def stalled(self, reason):
        """An upgrade that succeeds is the answer too."""
        def seen():
            ready = self.resource.condition("Ready")
            if ready.get("status") == "True" and ready["reason"] == "Succeeded":
                raise AssertionError(f"Succeeded, where Stalled with {reason} was waited for")
            found = self.resource.condition("Stalled")
            return found if found.get("status") == "True" and found["reason"] == reason else None
        try:
            return until(f"Stalled with {reason}", seen, LATER, 0.5)
        except AssertionError as e:
            raise AssertionError(f"{e}; {self.resource.status().get('message')}") from None

    def assert_refused(self, reason, *words):
        """Before anything was stopped."""
        found = self.stalled(reason)
        for word in words:
            self.assertIn(word, found["message"])
        self.assert_untouched()
        return found

    def assert_stopped_before_the_new_one(self, reason, *words):
        """In the downtime; no new version has been started, so the mere start of the old one goes back."""
        found = self.stalled(reason)
        for word in words:
            self.assertIn(word, found["message"])
        self.assertEqual(self.resource.condition("DatabasesBackedUp")["status"], "False")
        new = inspect("oms_431")
        self.assertEqual(new["State"]["Status"], "created", "it was never started")
        self.go_back()
        old = inspect("oms_430")
        self.assertEqual(old["Id"], self.before.old["Id"])
        self.assertTrue(old["State"]["Running"])


class DumpTest(Dumping):
    def invisible(self):
        sql("create table inv (id int primary key, note varchar(20) invisible default 'd')", self.oms.rm)
        sql("insert into inv (id, note) values (1, 'keep me'), (2, 'me too')", self.oms.rm)

    def test_an_invisible_column_survives_an_upgrade_and_the_way_back(self):
        sql("create table inv (id int primary key, note varchar(20) invisible default 'd')", self.oms.rm)
        sql("insert into inv (id, note) values (1, 'keep me'), (2, 'me too')", self.oms.rm)
        self.begin("invisible", {"backup": {"tool": "mydumper"}})
        self.assert_refused("DumpUnsupported", "rm_430.inv.note", "mysqldump", "Auto")
        self.resource.patch({"spec": {"backup": {"tool": "Auto"}}})
        self.resource.wait_ready()
        self.assertEqual(self.manifest()["tool"], "mysqldump", "mydumper leaves the column out")
        # What the new version has made of it is kept whole too.
        sql("update inv set note = 'of 4.3.1' where id = 2", self.oms.rm)
        self.go_back()
        self.assertEqual(sql("select id, note from inv order by id", self.oms.rm), [["1", "keep me"], ["2", "me too"]])
        folder = Path(self.resource.status()["operation"]["folder"])
        kept = json.loads(next(folder.glob("upgraded/*/manifest.json")).read_text())
        self.assertEqual(kept["tool"], "mysqldump")

    def test_a_dump_that_lacks_a_row_does_not_become_the_way_back(self):
        self.begin("rowless", {"strategy": {"maxRetries": 0}}, tools=self.tools("mydumper", ROW_LESS))
        self.assert_stopped_before_the_new_one("DumpIncomplete", "rm_430.oms_project", "47", "48")

    def test_a_value_that_could_not_be_loaded_again_is_refused_with_the_figure_to_set(self):
        before = root_sql("select @@global.max_allowed_packet")[0][0]
        self.addCleanup(root_sql, f"set global max_allowed_packet = {before}")
        root_sql("set global max_allowed_packet = 16777216")
        sql("create table fat (id int primary key, b longblob)", self.oms.rm)
        sql("insert into fat values (1, repeat(char(0), 9437184))", self.oms.rm)
        value = sql("select length(b), md5(b) from fat", self.oms.rm)
        self.begin("fat")
        self.assert_refused("PacketTooSmall", "rm_430.fat", "9437184", "SET GLOBAL max_allowed_packet = 33554432")
        root_sql("set global max_allowed_packet = 33554432")
        self.resource.wait_ready()  # By itself.
        self.go_back()
        self.assertEqual(sql("select length(b), md5(b) from fat", self.oms.rm), value)

    # --- a site's rights: of the three databases, and of what is the controller's own

    def narrow(self, cm):
        """The user of OMS and of the controller, as a site would have it."""
        user = f"'{MetaDb.get('USER')}'@'%'"
        self.addCleanup(root_sql, f"revoke all privileges, grant option from {user}; "
                                  f"grant all privileges on *.* to {user}")
        root_sql(f"revoke all privileges, grant option from {user}")
        root_sql("".join(f"grant {right} to {user};\n" for right in (
            "process on *.*", "all on `rm_430`.*", f"{cm} on `cm_430`.*", "all on `cm_hb_430`.*",
            r"all on `oms\_upgrade\_%`.*")))
        return user

    def test_the_rights_of_a_site_are_enough_and_what_they_hide_is_refused_while_oms_runs(self):
        root_sql("use cm_430; create trigger dba_audit after update on host for each row set @dba = 1;")
        user = self.narrow(cm="select, insert, update, delete, create, drop, alter, index, references, create view, "
                              "show view, create routine, alter routine, execute, lock tables")
        self.begin("narrow")
        self.assert_refused("MetaDBDenied", "lacks TRIGGER on cm_430", "GRANT TRIGGER ON cm_430.* TO 'oms_meta'@'%'")
        root_sql("create procedure rm_430.dba_report() select 1")
        root_sql(f"grant trigger on cm_430.* to {user}")
        until("the routine is told",
              lambda: "procedure rm_430.dba_report" in self.resource.condition("Stalled")["message"], LATER)
        self.assert_refused("MetaDBDenied", "procedure rm_430.dba_report", "drop it")
        root_sql("drop procedure rm_430.dba_report")
        before = snapshot.take(self.oms)
        self.resource.wait_ready()  # By itself.
        self.go_back()
        # That trigger was another's, and is the controller's user's own now.
        changed = snapshot.differences(before, snapshot.take(self.oms))
        self.assertEqual([], [difference for difference in changed if "TRIGGER dba_audit" not in difference])
        self.assertIn(["dba_audit"], sql("select trigger_name from information_schema.triggers "
                                         f"where trigger_schema = '{self.oms.cm}'"))


class DumpMariaDBTest(DumpTest):
    metadb = "mariadb"

    def test_scheduled_events_are_told_before_the_stop_and_after_the_way_back(self):
        sql("create event oms_purge on schedule every 1 day do delete from heatbeat_sequence "
            "where gmt_created < now() - interval 1 day", self.oms.cm_hb)
        self.begin("events")
        self.resource.wait_ready()
        self.resource.wait_event("SeeToItFirst")
        told = " ".join(e["message"] for e in self.resource.events() if e["reason"] == "SeeToItFirst")
        self.assertIn("cm_hb_430.oms_purge", told)
        self.go_back()
        self.assertTrue(any("cm_hb_430.oms_purge" in left and "again" in left
                            for left in self.resource.status()["followUps"]), self.resource.status()["followUps"])

    def test_a_dump_that_lacks_a_column_does_not_become_the_way_back(self):
        """mydumper 0.10 takes what MySQL 8 says of a default time for a generated column. MariaDB says other words,
        so here it is a mydumper that looks for those."""
        program = Path("/usr/bin/mydumper").read_bytes().replace(b"GENERATED", b"current_t")
        sql("create table stamp (id int primary key, t timestamp not null default current_timestamp "
            "on update current_timestamp)", self.oms.rm)
        sql("insert into stamp values (1, '2020-01-02 03:04:05')", self.oms.rm)
        self.begin("columnless", {"strategy": {"maxRetries": 0}}, tools=self.tools("mydumper", program))
        self.assert_stopped_before_the_new_one("DumpIncomplete", "rm_430.stamp", "t")


if __name__ == "__main__":
    main()

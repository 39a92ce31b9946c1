"""java -jar correction-1.0-SNAPSHOT-jar-with-dependencies.jar -mupgrade -yCONFIG -ltrue

Restructures the schemas of an OMS before 4.0.1. Not to be run twice: a second run is refused with
exit code 1 and counts in oms_counter (correction_runs).
"""
import os
import subprocess
import sys

from . import config, db, faults, journal, schema, version

NAME = "correction.jar"
SQL = "/opt/oms-standin/correction"


def options(arguments):
    """(jar, {"m": ..., "y": ..., "l": ...}); ValueError with what java or the jar would say."""
    if arguments[:1] != ["-jar"] or len(arguments) < 2:
        raise ValueError("usage: java -jar JAR -mupgrade -yCONFIG -ltrue|false")
    jar, given = arguments[1], {}
    if not os.path.isfile(jar) or not os.path.basename(jar).startswith("correction-"):
        raise ValueError("Error: Unable to access jarfile %s" % jar)
    for argument in arguments[2:]:
        if argument[:2] not in ("-m", "-y", "-l"):
            raise ValueError("Unrecognized option: %s" % argument)
        given[argument[1]] = argument[2:]
    if given.get("m", "").upper() != "UPGRADE":
        raise ValueError("-m: the valid value is UPGRADE")
    if not given.get("y", "").startswith("/"):
        raise ValueError("-y: the absolute path of the OMS configuration file")
    if given.get("l") not in ("true", "false"):
        raise ValueError("-l: true or false")
    return given


def console_runs():
    answer = subprocess.run(["supervisorctl", "status", "oms_console"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False, text=True).stdout
    return any(state in answer for state in ("RUNNING", "STARTING"))


def duplicates(rm):
    names = []
    for table in ("oms_project", "oms_sync_project"):
        with rm.cursor() as cursor:
            cursor.execute("SELECT project_name FROM " + table + " WHERE project_status <> 'DELETED'"
                           " GROUP BY project_name HAVING count(*) > 1")
            names += [row[0] for row in cursor.fetchall()]
    return names


def run(given):
    code = faults.act(NAME, "start")
    if code:
        return code
    conf = config.load(version.data(version.own())["metaKeys"], given["y"])
    connections = {role: db.connect(conf, role) for role in ("rm", "cm")}
    rm = connections["rm"]
    if "oms_counter.name" in schema.columns(rm):
        db.execute(rm, "UPDATE oms_counter SET value = value + 1 WHERE name = 'correction_runs'")
    is_version = schema.found(conf)
    if is_version is None or not version.needs_correction(is_version):
        return schema.fail("the schema is of %s; only one before 4.0.1 is corrected" % is_version)
    if "oms_correction.done_at" in schema.columns(rm):
        return schema.fail("the schema has been corrected already: not to be run twice")
    if console_runs():
        return schema.fail("oms_console runs: stop it first")
    names = duplicates(rm)
    if names:
        return schema.fail("tasks with the same name: %s" % ", ".join(names))
    todo = []
    for role in ("rm", "cm"):
        with open("%s/%s.sql" % (SQL, role), encoding="utf-8") as f:
            todo += [(role, s) for s in db.statements(f.read())]
    print("correcting the schema of %s: %d statements" % (is_version, len(todo)), flush=True)
    for number, (role, statement) in enumerate(todo):
        if number == len(todo) // 2:
            code = faults.act(NAME, "middle")
            if code:
                return code
        print("  [%d/%d] %s: %s" % (number + 1, len(todo), role, statement.split("\n")[0][:90]), flush=True)
        db.execute_ddl(connections[role], statement)
    db.execute(rm, "CREATE TABLE oms_correction (done_at datetime NOT NULL, is_last varchar(8) NOT NULL)"
                   " DEFAULT CHARSET=utf8mb4")
    db.execute(rm, "INSERT INTO oms_correction (done_at, is_last) VALUES (now(), %s)", given["l"])
    return faults.act(NAME, "end")


def main(arguments):
    journal.write("start", NAME, os.getpid())
    code = 1
    try:
        code = run(options(arguments))
    except (ValueError, config.ConfigError) as e:
        schema.fail(e)
    except db.DATABASE_ERRORS as e:
        schema.fail("MetaDB: %s" % (e,))
    finally:
        journal.write("end", NAME, os.getpid(), code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What OMS's three databases hold: to be taken before an upgrade, and again after a way back.

Schemas are compared as SHOW CREATE prints them (without AUTO_INCREMENT), rows by COUNT(*) and SUM(CRC32(...)) over all
columns, NULLs told apart from empty texts. A running OMS writes a few things itself, each second; those, and what the
guide changes on purpose, have a rule of their own:

  cm.host                   without host_status and gmt_modified
  cm_hb.heart_beat          without gmt_modified and sequence_id
  cm_hb.heatbeat_sequence   its ids alone: they never go back (the guide cuts the rows but for the last)
  rm.oms_normal_config      without ha.config, which has a comparison to itself
"""

import difflib
import re
import xml.etree.ElementTree

from harness import MetaDb, run, sql

ROLES = ("rm", "cm", "cm_hb")
WITHOUT_COLUMNS = {("cm", "host"): {"host_status", "gmt_modified"},
                   ("cm_hb", "heart_beat"): {"gmt_modified", "sequence_id"}}
WITHOUT_ROWS = {("rm", "oms_normal_config"): "cfg_name <> 'ha.config'"}
IDS_ONLY = ("cm_hb", "heatbeat_sequence")
# When it was made is no property of a trigger.
NOT_OF_THE_OBJECT = {"Created"}


def _quoted(name):
    return "`" + name.replace("`", "``") + "`"


def _results(database, statements):
    """A list of rows (dicts) per statement; texts come whole, with their line breaks."""
    script = "".join(f"{s};\n" for s in statements)
    out = run("mysql", f"--defaults-file={MetaDb.get('DEFAULTS', database)}", "--xml", "-D", database, text=script).stdout
    # One document per statement.
    documents = re.split(r'(?=<\?xml version)', out)
    found = []
    for document in documents:
        if document.strip():
            tree = xml.etree.ElementTree.fromstring(document.strip())
            found.append([{f.get("name"): f.text for f in row.findall("field")} for row in tree.findall("row")])
    if len(found) != len(statements):
        raise AssertionError(f"{len(statements)} statements had {len(found)} results:\n{out[-2000:]}")
    return found


def _objects(database):
    """(kind, name), as SHOW CREATE calls them."""
    found = [("VIEW" if kind == "VIEW" else "TABLE", name) for name, kind in sql(
        f"select table_name, table_type from information_schema.tables where table_schema='{database}'")]
    found += [("TRIGGER", name) for name, in sql(
        f"select trigger_name from information_schema.triggers where trigger_schema='{database}'")]
    found += [(kind, name) for kind, name in sql(
        f"select routine_type, routine_name from information_schema.routines where routine_schema='{database}'")]
    return sorted(found)


def _sum(role, table, columns):
    left_out = WITHOUT_COLUMNS.get((role, table), set())
    names = [_quoted(c) for c in columns if c not in left_out]
    fields = ", ".join([f"ISNULL({n})" for n in names] + names)
    where = WITHOUT_ROWS.get((role, table))
    return (f"SELECT COUNT(*) AS n, SUM(CRC32(CONCAT_WS('#', {fields}))) AS s FROM {_quoted(table)}"
            + (f" WHERE {where}" if where else ""))


def _database(role, database):
    objects = _objects(database)
    created = _results(database, [f"SHOW CREATE {kind} {_quoted(name)}" for kind, name in objects]) if objects else []
    schema = {}
    for (kind, name), rows in zip(objects, created):
        text = "\n".join(f"{k}: {v}" for k, v in rows[0].items() if k not in NOT_OF_THE_OBJECT)
        schema[f"{kind} {name}"] = re.sub(r"\s*AUTO_INCREMENT ?= ?\d+", "", text)
    columns = {}
    for table, column in sql("select table_name, column_name from information_schema.columns "
                             f"where table_schema='{database}' order by table_name, ordinal_position"):
        columns.setdefault(table, []).append(column)
    tables = [name for kind, name in objects if kind == "TABLE" and (role, name) != IDS_ONLY]
    sums = _results(database, [_sum(role, t, columns[t]) for t in tables]) if tables else []
    return {
        "default": sql("select default_character_set_name, default_collation_name from information_schema.schemata "
                       f"where schema_name='{database}'"),
        "schema": schema,
        "rows": {table: (rows[0]["n"], rows[0]["s"]) for table, rows in zip(tables, sums)},
    }


def take(oms):
    found = {role: _database(role, getattr(oms, role)) for role in ROLES}
    found["sequence"] = oms.sequence()
    return found


def differences(before, after):
    """Sentences; none where `after` is what `before` was, by the rules above."""
    found = []
    for role in ROLES:
        was, now = before[role], after[role]
        if was["default"] != now["default"]:
            found.append(f"{role}: default character set and collation {was['default']} -> {now['default']}")
        for name in sorted(set(was["schema"]) | set(now["schema"])):
            a, b = was["schema"].get(name), now["schema"].get(name)
            if a != b:
                found.append(f"{role}: {name} " + ("is gone" if b is None else "is new" if a is None else "differs:\n"
                             + "\n".join(difflib.unified_diff(a.splitlines(), b.splitlines(), "before", "after", n=0))))
        for table in sorted(set(was["rows"]) & set(now["rows"])):
            if was["rows"][table] != now["rows"][table]:
                found.append(f"{role}: rows and sum of {table} {was['rows'][table]} -> {now['rows'][table]}")
    if after["sequence"]["max"] < before["sequence"]["max"]:
        found.append(f"heatbeat_sequence went back: {before['sequence']} -> {after['sequence']}")
    return found

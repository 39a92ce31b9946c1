"""The schemas of rm, cm and cm_hb: which version they are, and bringing them to ours."""
import sys

from . import db, faults, version

ROLES = ("rm", "cm", "cm_hb")


def columns(connection):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lower(table_name), lower(column_name) FROM information_schema.columns"
            " WHERE table_schema = database()"
        )
        return {"%s.%s" % row for row in cursor.fetchall()}


def found(config):
    """The version that rm says it is; None in an empty database."""
    connection = db.connect(config, "rm")
    try:
        if "oms_version.version" not in columns(connection):
            return None
        return db.scalar(connection, "SELECT version FROM oms_version")
    finally:
        connection.close()


def problem(config):
    """Why our version cannot run on these databases; None when it can."""
    own = version.own()
    is_version = found(config)
    if is_version != own:
        return "the rm schema is of %s, this is OMS %s" % (is_version or "no version", own)
    data = version.data(own)
    for role in ROLES:
        connection = db.connect(config, role)
        try:
            have = columns(connection)
        finally:
            connection.close()
        missing = [c for c in data["requires"].get(role, []) if c not in have]
        if missing:
            return "database %s lacks %s" % (config.database(role), ", ".join(missing))
        extra = [c for c in data["forbids"].get(role, []) if c in have]
        if extra:
            return "database %s has %s of another version" % (config.database(role), ", ".join(extra))
    return None


def _work(from_version):
    """(version, kind) pairs that lead to ours. Deliberately not idempotent: on a schema that is
    ours already the last migration is run again, and fails or spoils rows, so that a second run of
    the script is seen."""
    own, chain = version.own(), version.known()
    if from_version is None:
        creates = [v for v in chain if version.has_create(v)]
        work = [(creates[-1], "create")]
        return work + [(v, "migrate") for v in chain if version.key(v) > version.key(creates[-1])]
    if version.key(from_version) > version.key(own):
        raise ValueError("the schema is of %s, newer than %s" % (from_version, own))
    todo = [v for v in chain if version.key(v) > version.key(from_version)] or [own]
    return [(v, "migrate") for v in todo]


def _uncorrected(config):
    """Why a schema of before 4.0.1 cannot be migrated yet; None when it can."""
    rm, cm = db.connect(config, "rm"), db.connect(config, "cm")
    if "oms_correction.done_at" not in columns(rm):
        return "it is not restructured: run the correction jar first"
    if db.scalar(rm, "SELECT is_last FROM oms_correction") != "true":
        return "the correction jar has not run on the last node (-ltrue)"
    if not db.scalar(cm, "SELECT count(*) FROM resource_group") or db.scalar(
        cm, "SELECT count(*) FROM host WHERE resource_group_id IS NULL"
    ):
        return "its hosts are in no resource group: run add_resource first"
    return None


def migrate(config, script):
    """Runs every statement; returns the exit code that a fault asks for in the middle, else 0."""
    from_version = found(config)
    if from_version is not None and version.needs_correction(from_version):
        if not version.needs_correction(version.own()):
            why = _uncorrected(config)
            if why:
                return fail("the schema is of %s: %s" % (from_version, why))
    work = _work(from_version)
    connections = {role: db.connect(config, role) for role in ROLES}
    todo = []
    for step, kind in work:
        for role in ROLES:
            text = version.sql(step, kind, role)
            todo += [(role, s) for s in db.statements(text)] if text else []
    if from_version is not None:
        db.execute(
            connections["rm"], "UPDATE oms_counter SET value = value + 1 WHERE name = 'upgrade_runs'"
        )
    print("schema %s -> %s: %d statements" % (from_version, version.own(), len(todo)), flush=True)
    for number, (role, statement) in enumerate(todo):
        if number == len(todo) // 2:
            code = faults.act(script, "middle")
            if code:
                return code
        print("  [%d/%d] %s: %s" % (number + 1, len(todo), role, statement.split("\n")[0][:90]), flush=True)
        db.execute_ddl(connections[role], statement)
    rm = connections["rm"]
    if from_version is None:
        db.execute(rm, "INSERT INTO oms_version (version) VALUES (%s)", version.own())
    else:
        db.execute(rm, "UPDATE oms_version SET version = %s, gmt_modified = now()", version.own())
    return 0


def add_resource(config, host_ip):
    """Registers this host in cm: the resource group of the region, then the host in it."""
    if version.needs_correction(version.own()):
        return  # There are no groups yet.
    region = config.values.get("cm_region", "default")
    connection = db.connect(config, "cm")
    if "resource_group.id" not in columns(connection):
        raise ValueError("cm has no groups of resources: run the correction jar first")
    db.execute(
        connection,
        "INSERT INTO resource_group (name, gmt_created, gmt_modified) VALUES (%s, now(), now())"
        " ON DUPLICATE KEY UPDATE gmt_modified = now()",
        region,
    )
    group = db.scalar(connection, "SELECT id FROM resource_group WHERE name = %s", region)
    db.execute(
        connection,
        "INSERT INTO host (ip, host_status, resource_group_id, gmt_created, gmt_modified)"
        " VALUES (%s, 'ONLINE', %s, now(), now())"
        " ON DUPLICATE KEY UPDATE resource_group_id = VALUES(resource_group_id), gmt_modified = now()",
        host_ip,
        group,
    )


def fail(text, code=1):
    print("[Error] %s" % text, file=sys.stderr, flush=True)
    return code

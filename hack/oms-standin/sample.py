#!/usr/bin/env python3
"""Prints SQL that makes a believable OMS database of a version: schema, rows, nothing random.

    sample.py --version 4.3.0 --role rm|cm|cm_hb [--rows N] [--sequence N]
              [--host-ip IP --cm-url URL --region R --location N]

For the mysql client, to be run inside an empty database. A version without a create folder is made
from the newest older one that has it, its rows included, by the migrations in between.
"""
import argparse
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "rootfs/opt/oms-standin"))
sys.dont_write_bytecode = True
from oms_standin import version as versions  # noqa: E402

ROOT = os.path.join(HERE, "versions")

# As an administrator left it: own order, an unknown key, not the default numbers everywhere.
HA_CONFIG = (
    '{"vendorNote": "值班 team-7 ✅, keep", "enable":true,"enableHost":false, "enableStore": true,'
    '"perceiveStoreClientCheckpoint":false,"refetchStoreIntervalMin":30,"enableConnector":true,'
    '"enableJdbcWriter":true,"subtopicStoreNumberThreshold":5,"checkRequestIntervalSec":600,'
    '"checkJdbcWriterIntervalSec":600,"checkHostDownIntervalSec":540,'
    '"checkModuleExceptionIntervalSec":240,"clearAbnormalResourceHours":72}'
)
# What OMS before 4.0.1 calls them, in the same order.
OLD_STAGES = [
    "PRE_CHECK", "STRUCT_MIGRATION", "INCR_LOG_PULL", "FULL_MIGRATION", "INDEX_MIGRATION",
    "INCR_SYNC", "FULL_VALIDATION", "APP_SWITCH", "REVERSE_INCR_SYNC",
]
STEPS = [
    "TRANSFER_PRECHECK", "STRUCT_TRANSFER", "TRANSFER_INCR_LOG_PULL", "FULL_TRANSFER",
    "INDEX_TRANSFER", "INCR_TRANSFER", "FULL_VERIFIER", "TRANSFER_APP_SWITCH",
    "REVERSE_INCR_TRANSFER",
]
NAMES = [
    "订单库迁移-杭州", "billing → obmysql 🚚", "ユーザー同期", "客户主数据", "inventory_eu", "crm-archive",
    "it's \"quoted\" \\ and_%", "결제 이전", "müller & søn", "risk-control 风控 ⚠️", "logs;drop", "日报 2024/07",
]


def quoted(value):
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, bytes):
        return "x'%s'" % value.hex() if value else "''"
    text = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\0", "\\0")
    return "'%s'" % text


def before_401(table, columns, rows):
    """The same rows as OMS before 4.0.1 keeps them: table, columns, rows."""
    stage = dict(zip(STEPS, OLD_STAGES))
    renamed = {"current_step": "stage", "step_name": "stage", "checkpoint": "sync_position"}
    gone = {"oms_project": ["project_id"], "oms_sync_project": ["project_id"], "host": ["resource_group_id"]}
    kept = [i for i, c in enumerate(columns) if c not in gone.get(table, [])]
    columns = [columns[i] for i in kept]
    rows = [[stage.get(row[i], row[i]) for i in kept] for row in rows]
    if "checkpoint" in columns:
        at = columns.index("checkpoint")
        for row in rows:
            row[at] = None if row[at] is None else str(row[at])
    return table.replace("project_step", "workflow_step"), [renamed.get(c, c) for c in columns], rows


LEGACY = False  # Rows for a version before 4.0.1.


def insert(out, table, columns, rows, batch=500):
    if LEGACY:
        if table == "resource_group":
            return
        table, columns, rows = before_401(table, columns, rows)
    for i in range(0, len(rows), batch):
        values = ",\n".join("(%s)" % ", ".join(map(quoted, row)) for row in rows[i : i + batch])
        out.write("INSERT INTO %s (%s) VALUES\n%s;\n" % (table, ", ".join(columns), values))


def when(minutes):
    """A fixed time, minutes after 2025-09-01 00:00."""
    day, minute = divmod(minutes, 1440)
    month, day = 9 + day // 28, day % 28 + 1
    return "2025-%02d-%02d %02d:%02d:%02d" % (
        (month - 1) % 12 + 1, day, minute // 60, minute % 60, minutes * 7 % 60)


def rm(out, arguments):
    dice = random.Random(430)
    now = when(30000)
    configs = [
        ("ha.config", HA_CONFIG, "ha", "High availability of stores and connectors"),
        ("ops.store.max_count_per_subtopic", "6", "ops", "stores per subtopic"),
        ("sync.unified.config.checkStoreStartedMinSyncProcess", "60", "sync", None),
        ("mail.template", "尊敬的用户：\n任务 {name} 已停止 ⛔", "alarm", "alarm mail, 中文"),
        ("empty.value", "", "misc", ""),
        ("null.value", None, None, None),
    ]
    insert(out, "oms_normal_config",
           ["cfg_name", "cfg_value", "module", "description", "gmt_created", "gmt_modified"],
           [c + (when(10), now) for c in configs])
    insert(out, "cluster_info", ["region", "region_cn", "cm_url", "code", "is_default_cm"],
           [(arguments.region, "杭州", arguments.cm_url, arguments.location, 1)])
    projects, steps = [], []
    for n in range(48):
        status = ("RUNNING", "RUNNING", "SUSPEND", "FINISHED", "FAILED", "DELETED", "RELEASED",
                  "RUNNING_MODIFYING")[n % 8]
        reverse = n % 3 == 0
        # Where a reverse increment is included it is entered: as the guide wants it of a separate CM database.
        at = 8 if reverse and status not in ("FINISHED", "DELETED", "RELEASED") else n % 8
        icon = bytes(dice.randrange(256) for _ in range(64)) if n % 5 == 0 else (None, b"", b"\0\1'\"\\")[n % 3]
        projects.append((
            "np_%s" % format(0x5A1B00 + n * 977, "012x"), "%s-%02d" % (NAMES[n % len(NAMES)], n),
            status, STEPS[at], 1, int(n % 7 != 0), int(reverse), int(n % 2),
            "mysql://10.1.%d.%d:3306" % (n % 7, n), "obmysql://10.2.%d.%d:2883" % (n % 5, n),
            None if n % 11 == 10 else 1756684800 + n * 3671, None if n % 6 == 5 else round(n * 913.077, 3),
            '{"mode":"white","databases":[{"name":"库%d","tables":["t_%d","表"]}]}' % (n, n), icon,
            None if n % 4 else "env=prod,组=%d" % n, ("alice", "王伟", None)[n % 3], when(100 + n * 31),
            when(20000 + n),
        ))
        for order, name in enumerate(STEPS if reverse else STEPS[:8]):
            done = order < at
            steps.append((
                n + 1, order, name, "FINISHED" if done else "RUNNING" if order == at else "INIT",
                100 if done else 41.5 if order == at else 0, when(100 + n * 31 + order) if order <= at else None,
                when(101 + n * 31 + order) if done else None))
    insert(out, "oms_project",
           ["project_id", "project_name", "project_status", "current_step", "enable_full_transfer",
            "enable_incr_transfer", "enable_reverse_incr_transfer", "enable_full_verify",
            "source_endpoint", "sink_endpoint", "checkpoint", "rows_per_second", "transfer_mapping", "icon",
            "labels", "owner", "gmt_created", "gmt_modified"], projects)
    insert(out, "oms_project_step",
           ["project_ref", "step_order", "step_name", "step_status", "progress", "started_at",
            "finished_at"], steps)
    syncs = []
    for n in range(24):
        syncs.append((
            "ns_%s" % format(0x7C0000 + n * 613, "012x"), "同步 %s-%02d" % (NAMES[-1 - n % len(NAMES)], n),
            ("RUNNING", "SUSPEND", "RUNNING", "DELETED")[n % 4], ("KAFKA", "ROCKETMQ", "DATAHUB")[n % 3],
            None if n % 9 == 8 else "topic.ob.%d" % n, 2 + n % 7,
            ("DEFAULT", "CANAL", "DATAWORKS", "SHAREPLEX")[n % 4], None if n % 5 == 4 else round(n * 1.37, 2),
            when(400 + n * 17), when(21000 + n)))
    insert(out, "oms_sync_project",
           ["project_id", "project_name", "project_status", "sink_type", "topic", "worker_num",
            "serializer", "delay_seconds", "gmt_created", "gmt_modified"], syncs)
    insert(out, "oms_operation_audit",
           ["project_ref", "old_status", "new_status", "actor", "gmt_created"],
           [(n % 48 + 1, "INIT", "RUNNING", ("alice", "王伟", None)[n % 3], when(500 + n)) for n in range(60)]
           + [(1, "INIT", "RUNNING", None, when(500))] * 3)
    maps = arguments.rows * 2 // 5
    insert(out, "oms_object_map",
           ["project_ref", "seq", "source_object", "sink_object", "row_count", "filter_text"],
           [(n % 48 + 1, n // 48, "库%d.table_%06d" % (n % 48, n), "target_%d.表_%06d" % (n % 13, n),
             None if n % 10 == 9 else (18446744073709551615 if n == 7 else n * 104729),
             None if n % 3 else "gmt_created >= '2025-0%d-01' and id %% 16 = %d" % (n % 9 + 1, n % 16))
            for n in range(maps)])
    words = ["store", "connector", "checkpoint", "位点", "restarted", "延迟", "schema", "lag", "ok", "重试", "🙂"]
    logs = []
    for n in range(arguments.rows - maps):
        text = " ".join(words[(n * 7 + k * k) % len(words)] for k in range(4 + n % 9))
        detail = None if n % 4 else ("\n".join("at com.oms.%s.Step%d(%d)" % (text[:5], k, n) for k in range(6))).encode()
        logs.append((n % 48 + 1, ("INFO", "WARN", "ERROR")[n % 17 % 3], "%s #%d" % (text, n), detail,
                     None if n % 8 == 7 else round(n % 9973 * 1.003, 3), when(n)))
    insert(out, "oms_task_log",
           ["project_ref", "level", "message", "detail", "cost_ms", "gmt_created"], logs)


def cm(out, arguments):
    now = when(30000)
    insert(out, "resource_group", ["name", "gmt_created", "gmt_modified"], [(arguments.region, when(5), now)])
    insert(out, "host",
           ["ip", "host_status", "resource_group_id", "total_cpu", "total_memory_mb", "gmt_created", "gmt_modified"],
           [(arguments.host_ip, "ONLINE", 1, 16.5, 65536, when(5), now)])
    insert(out, "location_cm", ["location", "region", "cm_url"],
           [(arguments.location, arguments.region, arguments.cm_url)])
    jobs = []
    for n in range(400):
        key, value = (
            ("sourceFile.blackRegionNo", str(arguments.location)), ("sink.workerNum", str(4 + n % 60)),
            ("source.splitThreshold", "128"), ("filter.expr", "名称 <> '' and id > %d" % n), ("sink.ak", None),
        )[n % 5]
        jobs.append(("jdbc_writer_%04d" % (n // 5), key, value, when(600 + n), when(22000 + n)))
    insert(out, "config_job", ["job_name", "`key`", "value", "gmt_created", "gmt_modified"], jobs)
    insert(out, "crawler", ["crawler_name", "host_ip", "port", "status", "begin_timestamp", "gmt_modified"],
           [("np_store_%03d" % n, arguments.host_ip, 17000 + n, int(n % 9 == 0), 1756684800 + n * 60, now)
            for n in range(60)])


def cm_hb(out, arguments):
    insert(out, "heart_beat",
           ["task_type", "task_name", "host_ip", "sequence_id", "gmt_created", "gmt_modified"],
           [("SUPERVISOR", "supervisor", arguments.host_ip, 6000000 + arguments.sequence, when(5), when(30000))]
           + [("STORE", "np_store_%03d" % n, arguments.host_ip, None, when(700 + n), when(30000)) for n in range(60)])
    # One statement for all: ids by a cross join, so that 100,000 rows take a moment.
    digits = "(SELECT 0 d UNION ALL " + " UNION ALL ".join("SELECT %d" % n for n in range(1, 10)) + ")"
    number = "a.d + 10*b.d + 100*c.d + 1000*e.d + 10000*f.d"
    for start in range(0, arguments.sequence, 100000):
        out.write(
            "INSERT INTO heatbeat_sequence (id, gmt_created, gmt_modified)\n"
            "SELECT %d + n, date_add('2025-09-01 00:00:00', INTERVAL %d + n SECOND),"
            " date_add('2025-09-01 00:00:00', INTERVAL %d + n SECOND) FROM (SELECT %s n FROM\n"
            "%s a, %s b, %s c, %s e, %s f) x WHERE n < %d ORDER BY n;\n"
            % (6000001 + start, start, start, number, digits, digits, digits, digits, digits,
               min(100000, arguments.sequence - start)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--role", choices=("rm", "cm", "cm_hb"), required=True)
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--sequence", type=int, default=100000)
    parser.add_argument("--host-ip", default="127.0.0.1")
    parser.add_argument("--cm-url", default="http://127.0.0.1:8088")
    parser.add_argument("--region", default="cn-hangzhou")
    parser.add_argument("--location", type=int, default=2)
    arguments = parser.parse_args()
    chain = [v for v in versions.known(ROOT) if versions.key(v) <= versions.key(arguments.version)]
    if arguments.version not in chain:
        sys.exit("no such version of the stand-in: %s" % arguments.version)
    first = [v for v in chain if versions.has_create(v, ROOT)][-1]
    out = sys.stdout
    sys.stdout.reconfigure(encoding="utf-8")
    global LEGACY
    LEGACY = versions.needs_correction(first)
    out.write(versions.sql(first, "create", arguments.role, ROOT))
    {"rm": rm, "cm": cm, "cm_hb": cm_hb}[arguments.role](out, arguments)
    for version in chain:
        if versions.key(version) > versions.key(first):
            out.write(versions.sql(version, "migrate", arguments.role, ROOT) or "")
    if arguments.role == "rm":
        out.write("INSERT INTO oms_version (version) VALUES ('%s');\n" % arguments.version)


if __name__ == "__main__":
    main()

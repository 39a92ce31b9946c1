"""OMS's task API, as far as it is read: POST /api/v2?Action=..., from rm's rows.

What a test wants a task to show beside its row is in the fault "task_api" (see the stand-in's README).
"""
import base64
import datetime
import json
import re
import time
import urllib.parse

from . import db, faults, version

USER, PASSWORD = "admin", "Standin-api-1"  # Of a stand-in; OMS itself has users of its own.
FIRST = [4, 1, 0]
TYPES = {"mysql": "MYSQL", "obmysql": "OB_MYSQL"}
MAX_PAGE = 150


def offered():
    return version.key(version.own()) >= FIRST


def plain(value):
    """As JSON shows a column."""
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return value


def answer(data, total=None):
    return 200, {"success": True, "errorDetail": None, "code": None, "message": None, "advice": None,
                 "requestId": "standin", "pageNumber": None, "pageSize": None, "totalCount": total,
                 "cost": "1 ms", "data": data}


def refusal(code, message):
    return 200, {"success": False, "errorDetail": {"code": code, "level": "ERROR", "message": message},
                 "code": "INNER_ERROR", "message": message, "advice": None, "requestId": "standin",
                 "pageNumber": None, "pageSize": None, "totalCount": None, "cost": "1 ms", "data": None}


def rows(connection, query, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(query, arguments or None)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, map(plain, row))) for row in cursor.fetchall()]


def end(kind, log_proxy):
    attributes = {"useLogProxy": log_proxy} if kind.startswith("OB_") else None
    return {"dbEngine": kind, "connExtraAttributes": attributes}


def migration(row):
    source, sink = (TYPES.get(re.match(r"\w+", row[k + "_endpoint"]).group(0), "") for k in ("source", "sink"))
    return {
        "id": row["project_id"], "type": "MIGRATION", "name": row["project_name"], "owner": row["owner"],
        "status": row["project_status"], "gmtCreate": row["gmt_created"], "gmtModified": row["gmt_modified"],
        "isSubProject": False, "sourceEndpointType": source, "sinkEndpointType": sink,
        "enableStructTransfer": True, "enableFullTransfer": bool(row["enable_full_transfer"]),
        "enableFullVerify": bool(row["enable_full_verify"]),
        "enableIncrTransfer": bool(row["enable_incr_transfer"]), "enableIncrVerify": False,
        "enableReverseIncrTransfer": bool(row["enable_reverse_incr_transfer"]),
        "sourceConnectInfo": end(source, False), "sinkConnectInfo": end(sink, False),
        "currentStep": row["current_step"], "behind": 3, "row": row["id"],
    }


def synchronization(row):
    return {
        "id": row["project_id"], "type": "SYNC", "name": row["project_name"], "owner": None,
        "status": row["project_status"], "gmtCreate": row["gmt_created"], "gmtModified": row["gmt_modified"],
        "isSubProject": False, "sourceEndpointType": "OB_MYSQL", "sinkEndpointType": row["sink_type"],
        "enableStructTransfer": False, "enableFullTransfer": False, "enableFullVerify": False,
        "enableIncrTransfer": True, "enableIncrVerify": False, "enableReverseIncrTransfer": None,
        "sourceConnectInfo": end("OB_MYSQL", False), "sinkConnectInfo": end(row["sink_type"], None),
        "currentStep": "INCR_TRANSFER", "behind": int(float(row["delay_seconds"] or 0)), "row": None,
    }


def projects(connection, kind):
    """All of a kind, the oldest first, with what the fault says of single ones."""
    if kind == "SYNC":
        found = [synchronization(r) for r in rows(connection, "SELECT * FROM oms_sync_project ORDER BY gmt_created, id")]
    else:
        found = [migration(r) for r in rows(
            connection, "SELECT id, project_id, project_name, project_status, current_step, enable_full_transfer,"
            " enable_incr_transfer, enable_reverse_incr_transfer, enable_full_verify, source_endpoint,"
            " sink_endpoint, owner, gmt_created, gmt_modified FROM oms_project ORDER BY gmt_created, id")]
    changes = faults.get("task_api").get("tasks", {})
    for project in found:
        change = changes.get(project["id"], {})
        project.update({k: v for k, v in change.items() if k not in ("steps", "useLogProxy")})
        project["stepChanges"] = change.get("steps", {})
        if "useLogProxy" in change:
            project["sourceEndpointType"] = "OB_MYSQL"
            project["sourceConnectInfo"] = end("OB_MYSQL", change["useLogProxy"])
    return found


def steps(connection, project):
    if project["row"] is None:
        found = [("TRANSFER_PRECHECK", "FINISHED"), ("TRANSFER_INCR_LOG_PULL", "MONITORING"),
                 ("INCR_TRANSFER", "MONITORING")]
    else:
        found = [(r["step_name"], r["step_status"]) for r in rows(
            connection, "SELECT step_name, step_status FROM oms_project_step WHERE project_ref = %s"
            " ORDER BY step_order", project["row"])]
    now = int(time.time())
    told = []
    for order, (name, status) in enumerate(found, 1):
        info = None
        if name == "INCR_TRANSFER":
            info = {"incrTimestampCheckpoint": now - project["behind"], "checkpointSampleTimestamp": now,
                    "enableIncrStatistics": True}
        told.append({"order": order, "name": name, "description": name, "status": project["stepChanges"].get(name, status),
                     "extraInfo": None, "startTime": None, "finishTime": None, "progress": 0, "stepInfo": info})
    return told


def shown(project, whole):
    """Without what is ours; the list leaves out how an end is connected."""
    out = {k: v for k, v in project.items() if k not in ("currentStep", "behind", "row", "stepChanges")}
    if not whole:
        for side in ("sourceConnectInfo", "sinkConnectInfo"):
            out[side] = {**out[side], "connExtraAttributes": None}
    return out


def operation(connection, name, asked):
    if name == "ListProjects":
        size = min(int(asked.get("pageSize", 10)), MAX_PAGE)
        first = (int(asked.get("pageNumber", 1)) - 1) * size
        found = projects(connection, asked.get("type"))
        return answer([shown(p, False) for p in found[first : first + size]], len(found))
    wanted = asked.get("id")
    found = [p for kind in ("MIGRATION", "SYNC") for p in projects(connection, kind) if p["id"] == wanted]
    if not found:
        return refusal("CM-RESONF000001", "no such project")
    project = found[0]
    if name == "DescribeProject":
        return answer([shown(project, True)])
    if name == "DescribeProjectSteps":
        return answer(steps(connection, project))
    if name == "DescribeProjectProgress":
        return answer({"projectId": wanted, "status": project["status"], "alarmLevel": "LOW",
                       "enableIncrSync": project["enableIncrTransfer"], "currentStep": project["currentStep"],
                       "enableFullTransfer": project["enableFullTransfer"],
                       "enableReverseIncrTransfer": project["enableReverseIncrTransfer"]})
    return 404, b""


def allowed(authorization):
    try:
        kind, text = (authorization or "").split(" ", 1)
        return kind == "Basic" and base64.b64decode(text).decode() == "%s:%s" % (USER, PASSWORD)
    except ValueError:
        return False


def serve(conf, path, authorization, body):
    """The status and the body of an answer."""
    fault = faults.get("task_api")
    if fault.get("hangRequests"):
        time.sleep(3600)
    if "status" in fault:
        return int(fault["status"]), b""
    if "body" in fault:
        return 200, str(fault["body"]).encode()
    address = urllib.parse.urlsplit(path)
    if address.path != "/api/v2" or not offered():
        return 404, b""
    if not allowed(authorization):
        return 401, b""
    name = urllib.parse.parse_qs(address.query).get("Action", [""])[0]
    try:
        asked = json.loads(body or b"{}")
        connection = db.connect(conf, "rm")
        try:
            return operation(connection, name, asked)
        finally:
            connection.close()
    except (ValueError, AttributeError, TypeError) as e:
        return refusal("CM-RESOPA000001", "not a question: %s" % e)
    except db.DATABASE_ERRORS as e:
        return refusal("CM-RESODB000001", "MetaDB: %s" % (e,))

"""Faults that a test asks for, in standin-faults.json in the run mount."""
import json
import os
import sys
import time

from . import version

PATH = "/home/ds/run/standin-faults.json"
USES = "/home/ds/run/standin-fault-uses"


def get(name):
    """The entry of that name, {} when there is none for this version. Read anew each time."""
    try:
        with open(PATH, encoding="utf-8") as f:
            entry = json.load(f).get(name, {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as e:
        print("standin: %s is not readable, no fault is on: %s" % (PATH, e), file=sys.stderr)
        return {}
    if version.own() not in entry.get("versions", [version.own()]):
        return {}
    return entry


def spend(name, entry):
    """False when the entry says "times": n and has been used n times."""
    if "times" not in entry:
        return True
    os.makedirs(USES, exist_ok=True)
    path = os.path.join(USES, "%s-%s" % (name, version.own()))
    used = os.path.getsize(path) if os.path.exists(path) else 0
    if used >= entry["times"]:
        return False
    with open(path, "a") as f:
        f.write("x")
    return True


def act(name, at):
    """At one point (start, middle, end) of a script or at the start of a service: delay, hang,
    or the exit code that is asked for (0: go on)."""
    entry = get(name)
    if not any(k in entry for k in ("delaySeconds", "hang", "exitCode")):
        return 0
    if entry.get("at", "start") != at or not spend(name, entry):
        return 0
    if entry.get("delaySeconds"):
        print("standin: fault: %s waits %s s at its %s" % (name, entry["delaySeconds"], at), flush=True)
        time.sleep(float(entry["delaySeconds"]))
    if entry.get("hang"):
        print("standin: fault: %s hangs at its %s" % (name, at), flush=True)
        while True:
            time.sleep(3600)
    code = int(entry.get("exitCode", 0))
    if code:
        print("standin: fault: %s ends with %d at its %s" % (name, code, at), flush=True)
    return code

#!/usr/bin/env python3
"""Follows an OmsUpgrade until it is where its spec wants it, one line per step.

    follow.py NAME [-n NAMESPACE] [--kubeconfig FILE] [--generation N] [--timeout SECONDS] [--pid PID]

Reads `kubectl get omsupgrade NAME -w -o json`, so nothing is polled. On a terminal the step that runs
is one live line; elsewhere a line when a step begins to move bytes, and at most each 10 s from then on.
Exit code: 0 Ready=True, 1 Stalled (or gone), 2 time is up, 3 Ready=True but not at spec.version,
4 the controller's process (--pid) has ended, 5 the resource can no longer be watched.
"""
import argparse
import datetime
import json
import os
import re
import selectors
import subprocess
import sys
import time

QUIET_SECONDS = 10


def parse_time(text):
    """Seconds since the epoch of an RFC 3339 time, or None."""
    if not text:
        return None
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def seconds(value):
    """3.2 s, 2 min 05 s, 1 h 02 min."""
    if value is None:
        return ""
    value = max(0.0, value)
    if value < 60:
        return "%.1f s" % value
    if value < 3600:
        return "%d min %02d s" % divmod(int(value), 60)
    return "%d h %02d min" % divmod(int(value) // 60, 60)


def size(count):
    count = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return "%d B" % count if unit == "B" else "%.1f %s" % (count, unit)
        count /= 1024


def condition(item, kind):
    for entry in item.get("status", {}).get("conditions") or []:
        if entry.get("type") == kind:
            return entry
    return {}


def settled(item, generation):
    """(exit code, condition) once the controller has spoken of this generation and is at an end."""
    status = item.get("status", {})
    wanted = max(generation, item.get("metadata", {}).get("generation", 0))
    if status.get("observedGeneration", -1) < wanted:
        return None
    stalled, ready = condition(item, "Stalled"), condition(item, "Ready")
    if stalled.get("status") == "True":
        return 1, stalled
    if ready.get("status") == "True":
        same = status.get("currentVersion") == item.get("spec", {}).get("version")
        return (0 if same else 3), ready
    return None


class Story:
    """Turns one object after the other into lines. Knows what it has told already."""

    def __init__(self, out, live, now=time.time):
        self.out, self.live, self.now = out, live, now
        self.began = now()
        self.told, self.running_since, self.marks = {}, {}, set()
        self.width = 0
        self.last_quiet = {}
        self.last_message = None
        self.item = None
        self.ended = None

    def clear(self):
        if self.width:
            self.out.write("\r" + " " * self.width + "\r")
            self.width = 0

    def line(self, text):
        self.clear()
        self.out.write("%8s  %s\n" % (seconds(self.now() - self.began), text))
        self.out.flush()

    def mark(self, key, text):
        if key not in self.marks:
            self.marks.add(key)
            self.line(text)

    @staticmethod
    def bytes_of(phase):
        done, total = phase.get("bytesDone") or 0, phase.get("bytesTotal") or 0
        if total and done < total:
            return "%s of %s (%d%%)" % (size(done), size(total), 100 * done // total)
        return size(max(done, total)) if done or total else ""

    def took(self, phase):
        start, end = parse_time(phase.get("startedAt")), parse_time(phase.get("finishedAt"))
        if start is None or end is None:
            return ""
        # Times without a fraction say no more than this.
        if end - start < 1 and "." not in (phase.get("startedAt") or ""):
            return "under 1 s"
        return seconds(end - start)

    def tell(self, item):
        """Prints what is new in this object, once it speaks of the spec as it is now."""
        status = item.get("status", {})
        if status.get("observedGeneration", -1) < item.get("metadata", {}).get("generation", 0):
            return
        operation = status.get("operation") or {}
        if self.item is None and status.get("direction", "None") == "None":
            self.ended = operation.get("id")  # Before we came; no news.
        self.item = item
        if operation.get("id") == self.ended:
            operation = {}
        direction = operation.get("direction") or "None"
        if direction != "None":
            self.mark(("operation", operation.get("id"), direction), self.headline(operation))
        phases = status.get("phases") or [] if operation else []
        for phase in phases:
            # A turned operation has some phases in both directions.
            self.tell_phase((operation.get("id"), direction), phase, len(phases))
            # The marks stand where the downtime begins and ends, not where the list ends.
            mark = {"ContainersStopped": "t1", "NewContainersStopped": "t3"}.get(phase.get("name"))
            if mark and phase.get("state") == "Done":
                self.tell_times(operation, (mark,))
        self.tell_times(operation, ("t1", "t3", "t2"))
        message = status.get("message") or condition(item, "Ready").get("message")
        # Held: waits for a person, and says for what.
        kinds = [condition(item, kind).get("status") for kind in ("Ready", "Reconciling", "Stalled")]
        held = kinds == ["False", "False", "False"]
        if (held or not phases) and message and message != self.last_message:
            self.last_message = message
            self.line(("waits: %s: " % condition(item, "Ready").get("reason") if held else "") + message)
        self.tick()

    @staticmethod
    def headline(operation):
        name, ends = operation.get("id", "")[:8], (operation.get("from"), operation.get("to"))
        if operation.get("direction") != "Rollback":
            return "operation %s: upgrade from %s to %s" % (name, *ends)
        undone = operation.get("undoes")
        what = "(%s) is undone" % undone[:8] if undone else "is rolled back"
        return "operation %s: rollback, the upgrade from %s to %s %s" % (
            name, *sorted(ends, key=lambda v: [int(n) for n in re.findall(r"\d+", v or "")]), what)

    def tell_times(self, operation, keys):
        texts = {"t1": "--- OMS is down (T1 %s)", "t2": "--- OMS is back (T2 %s)", "t3": "--- the new version is stopped (T3 %s)"}
        began = operation.get("startedAt")
        for key in keys:
            told = operation.get(key)
            # The times of the upgrade that is undone are no news.
            if not told or (operation.get("undoes") and began and told < began):
                continue
            # Back is it only after the last stop.
            if key == "t2" and operation.get("t3") and told < operation["t3"]:
                continue
            text = texts[key] % told
            if key == "t2" and operation.get("downtime"):
                text += ", downtime %s" % operation["downtime"]
            self.mark((operation.get("id"), key), text)

    def tell_phase(self, operation, phase, count):
        name, state = phase.get("name"), phase.get("state")
        key = (operation, name)
        if state == "Running":
            self.running_since.setdefault(key, self.now())
        if self.told.get(key) == state:
            return
        self.told[key] = state
        text = "%-22s" % name
        if state == "Done":
            parts = [self.took(phase), self.bytes_of(phase)]
            if (phase.get("attempts") or 0) > 1:
                parts.append("%d attempts" % phase["attempts"])
            self.line("%s done     %s" % (text, "  ".join(p for p in parts if p)))
        elif state == "Skipped":
            self.line("%s skipped  %s" % (text, phase.get("message") or ""))
        elif state == "Failed":
            self.line("%s FAILED   %s" % (text, phase.get("message") or ""))

    def running(self):
        status = (self.item or {}).get("status", {})
        operation = status.get("operation") or {}
        for phase in status.get("phases") or []:
            if phase.get("state") == "Running":
                yield ((operation.get("id"), operation.get("direction") or "None"), phase.get("name")), phase

    def tick(self):
        """The live line, or now and then a line of progress."""
        texts = []
        for key, phase in self.running():
            start = parse_time(phase.get("startedAt")) or self.running_since.get(key, self.now())
            text = "%s %s %s" % (key[1], seconds(self.now() - start), self.bytes_of(phase))
            texts.append(text.strip())
            if not self.live and self.now() - self.last_quiet.get(key, start) >= QUIET_SECONDS:
                self.last_quiet[key] = self.now()
                self.line("%-22s runs     %s" % (key[1], text[len(key[1]) + 1 :]))
        if self.live:
            self.clear()
            progress = ((self.item or {}).get("status", {}).get("progress") or {}).get("summary", "")
            text = "%8s  %s  %s" % (seconds(self.now() - self.began), " | ".join(texts) or "...", progress)
            text = text[: os.get_terminal_size(self.out.fileno()).columns - 1]
            self.out.write(text)
            self.out.flush()
            self.width = len(text)


class Stream:
    """JSON objects out of text that comes in pieces."""

    def __init__(self):
        self.text, self.decoder = "", json.JSONDecoder()

    def feed(self, text):
        self.text += text
        while True:
            self.text = self.text.lstrip()
            if not self.text:
                return
            try:
                item, end = self.decoder.raw_decode(self.text)
            except ValueError:
                return  # Not whole yet.
            self.text = self.text[end:]
            yield item


def lives(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def watch(arguments, story):
    command = ["kubectl"]
    if arguments.kubeconfig:
        command += ["--kubeconfig", arguments.kubeconfig]
    command += ["-n", arguments.namespace, "get", "omsupgrade", arguments.name, "-o", "json", "--watch"]
    deadline = time.monotonic() + arguments.timeout
    failures = 0
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
            stream, selector = Stream(), selectors.DefaultSelector()
            selector.register(child.stdout, selectors.EVENT_READ)
            try:
                while True:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        story.clear()
                        return 2
                    wait = min(left, 1.0 if story.live else QUIET_SECONDS)
                    if not selector.select(wait):
                        if arguments.pid and not lives(arguments.pid):
                            story.clear()
                            return 4
                        story.tick()
                        continue
                    data = os.read(child.stdout.fileno(), 1 << 16)
                    if not data:
                        break
                    failures = 0
                    for item in stream.feed(data.decode(errors="replace")):
                        story.tell(item)
                        end = settled(item, arguments.generation)
                        if end:
                            story.clear()
                            word = "Ready" if end[0] != 1 else "Stalled"
                            story.line("%s: %s: %s" % (word, end[1].get("reason"), end[1].get("message")))
                            return end[0]
            finally:
                child.terminate()
        # The server ends each watch after a while; a resource that is gone ends it for good.
        failures += 1
        if failures > 5:
            story.clear()
            return 5
        time.sleep(failures)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("--kubeconfig")
    parser.add_argument("--generation", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=1800)
    parser.add_argument("--pid", type=int, default=0)
    arguments = parser.parse_args()
    live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    try:
        return watch(arguments, Story(sys.stdout, live))
    except KeyboardInterrupt:
        print("\nno longer followed; it continues", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Holds the table of who may include whom against the code.

    hack/checks/layers.py [--root DIR] [--list]

Reads the #include lines of every C++ file below controller/, crd/, reconcilers/ and tests/, and fails
with one line for each that the tables below do not allow. Third-party headers lie in /usr/include, so
a file compiles with a library that its target does not link: only this check sees it.
"""
import argparse
import os
import re
import sys

SOURCE_FOLDERS = ("controller", "crd", "reconcilers", "tests", "hack")
CODE = (".h", ".cc", ".cpp", ".hpp")

BASE = "controller/base/"
# The files of controller/ that the upgrade's own code may see.
INTERFACES = (
    "controller/kube/api_client.h",
    "controller/kube/meta.h",
    "controller/kube/status_patch.h",
    "controller/runtime/reconciler.h",
    "controller/runtime/event_recorder.h",
    "controller/runtime/metrics.h",
)
ALL = ("controller/", "crd/", "reconcilers/")

# The composition root: nobody but itself and its tests includes it.
ROOT = "controller/cmd/"

# (folder, what its files may include, what of that they may not). The first folder that a file lies
# in counts. A name that ends in "/" stands for all below it.
LAYERS = (
    ("controller/base/", (BASE,), ()),
    ("controller/kube/", (BASE, "controller/kube/"), ()),
    ("controller/runtime/", (BASE, "controller/kube/", "controller/runtime/"), ()),
    (ROOT, ALL, ()),
    ("crd/", (BASE, "controller/kube/meta.h", "crd/"), ()),
    ("reconcilers/ports/", (BASE, "reconcilers/ports/"), ()),
    ("reconcilers/drivers/", (BASE, "reconcilers/ports/", "reconcilers/drivers/"), ()),
    # The pass, the decisions and the phases see ports, never drivers.
    ("reconcilers/", (BASE, "crd/", *INTERFACES, "reconcilers/"), ("reconcilers/drivers/",)),
    ("tests/", (*ALL, "tests/"), ()),
)
# One foreign library, one place: prefix of the header -> the files that may include it. A name that
# ends in "/" stands for all below it; "*.cc" for every source file that is no header.
LIBRARIES = {
    "cpprest/": ("controller/kube/rest_client.cc",),
    "pplx/": ("controller/kube/rest_client.cc",),
    "cppconn/": ("reconcilers/drivers/mysql_session.cc",),
    "mysql": ("reconcilers/drivers/mysql_session.cc",),
    "boost/": (
        "controller/kube/rest_client.cc",  # cpprestsdk's own loop, and its TLS context
        "controller/runtime/http_server.cc",
        "reconcilers/drivers/http_stream.cc",
        "reconcilers/drivers/docker_http.cc",
        "reconcilers/drivers/docker_stream.cc",
    ),
    "yaml-cpp/": ("controller/kube/kube_config.cc", "reconcilers/config_yaml.cc", "tests/"),
    "spdlog/": ("controller/base/log.cc",),
    "absl/": ("reconcilers/maintenance_window.cc",),  # time zones
    "openssl/": (
        "controller/base/sha256.cc",
        "controller/kube/rest_client.cc",
        "reconcilers/drivers/file_record_store.cc",
        "reconcilers/drivers/http_stream.cc",
        "reconcilers/drivers/mysql_relay.cc",
        "reconcilers/drivers/nobodys_key.cc",
        "reconcilers/drivers/tls_client.cc",
        "tests/",
    ),
    # Heavy to compile: headers take json_fwd.hpp.
    "nlohmann/json_fwd.hpp": ALL + ("tests/",),
    "nlohmann/": ("*.cc", "tests/"),
    "fmt/": ALL + ("tests/",),
    "zstd": ("reconcilers/drivers/zstd_stream.cc", "tests/"),
    "zlib": ("reconcilers/drivers/gzip_stream.cc", "tests/"),
    "gtest/": ("tests/",),
    "gmock/": ("tests/",),
}
# Folders of the C library; every other <folder/header> belongs to a library that must be in the table.
SYSTEM = ("arpa/", "linux/", "net/", "netinet/", "sys/", "asm/", "bits/")

# Where decisions are made: pure functions of what they are given. No I/O, no logging, no threads.
PURE = (
    "controller/kube/watch_decoder",
    "crd/conditions",
    "crd/version",
    "reconcilers/config_yaml",
    "reconcilers/drivers/dump_scanner",
    "reconcilers/drivers/grants",
    "reconcilers/dump_check",
    "reconcilers/dump_choice",
    "reconcilers/ha_config",
    "reconcilers/human",
    "reconcilers/maintenance_window",
    "reconcilers/plan",
    "reconcilers/planner",
    "reconcilers/retention",
    "reconcilers/state",
    "reconcilers/target_image",
    "reconcilers/task_limits",
    "reconcilers/version_path",
)
IMPURE = (
    "controller/base/log.h",
    "controller/base/task_group.h",
    "fcntl.h",
    "filesystem",
    "fstream",
    "iostream",
    "mutex",
    "spawn.h",
    "sys/",
    "thread",
    "unistd.h",
)

# What is read from outside goes through the one parser that bounds its depth.
JSON_PARSER = "controller/base/json.cc"
PARSES_JSON = re.compile(r"\w::(?:parse|sax_parse|accept|from_(?:bson|cbor|msgpack|ubjson))\s*\(")

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)')


def within(path, names):
    """True when one of the names is the path, or a folder above it."""
    for name in names:
        if name == "*.cc":
            if path.endswith((".cc", ".cpp")):
                return True
        elif path == name or (name.endswith("/") and path.startswith(name)):
            return True
    return False


def includes(path):
    """(line number, name, quoted) of each include of a file; commented-out lines are none."""
    in_comment = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if in_comment:
                if "*/" not in line:
                    continue
                line = line.split("*/", 1)[1]
                in_comment = False
            if "/*" in line and "*/" not in line.split("/*", 1)[1]:
                in_comment = True
            found = INCLUDE.match(line)
            if found:
                yield number, found.group(1) or found.group(2), found.group(1) is not None


def check_quoted(root, path, name):
    """What is wrong with #include "name" in path, or None."""
    if not os.path.isfile(os.path.join(root, name)):
        return "no such file below the root of the repository (includes are written from there)"
    if name.startswith(ROOT) and not path.startswith((ROOT, "tests/")):
        return "%s is included by nobody" % ROOT
    if name.startswith("tests/") and not path.startswith("tests/"):
        return "nothing outside of tests/ sees tests/"
    for folder, allowed, forbidden in LAYERS:
        if not path.startswith(folder):
            continue
        if within(name, forbidden):
            return "%s may not include %s" % (folder, ", ".join(forbidden))
        if not within(name, allowed):
            return "%s may include only %s" % (folder, ", ".join(allowed))
        return None
    return "this folder has no C++ in the table of layers"


def check_library(path, name):
    """What is wrong with #include <name> in path, or None."""
    for prefix, allowed in LIBRARIES.items():
        if name.startswith(prefix):
            if within(path, allowed):
                return None
            if not allowed:
                return "no file includes it yet; name one in the table LIBRARIES of hack/checks/layers.py"
            return "only these may: %s" % ", ".join(allowed)
    if "/" in name and not within(name, SYSTEM):
        return "a library that the table LIBRARIES of hack/checks/layers.py does not know"
    return None


def parses(path):
    """The numbers of the lines that parse JSON by the library itself."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return [number for number, line in enumerate(file, 1) if PARSES_JSON.search(line)]


def find_cycle(graph):
    """One cycle of headers as a list, or None."""
    done, on_path = set(), []

    def visit(node):
        if node in on_path:
            return on_path[on_path.index(node) :] + [node]
        if node in done:
            return None
        on_path.append(node)
        for other in graph.get(node, ()):
            cycle = visit(other)
            if cycle:
                return cycle
        on_path.pop()
        done.add(node)
        return None

    for node in sorted(graph):
        cycle = visit(node)
        if cycle:
            return cycle
    return None


def code_files(root):
    for top in SOURCE_FOLDERS:
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "build")
            for file in sorted(files):
                if file.endswith(CODE):
                    yield os.path.relpath(os.path.join(folder, file), root)


def check(root):
    """All violations as lines of text, and how many files were read."""
    errors, count, graph = [], 0, {}
    for path in code_files(root):
        count += 1
        pure = os.path.splitext(path)[0] in PURE
        for number, name, quoted in includes(os.path.join(root, path)):
            if quoted:
                wrong = check_quoted(root, path, name)
                graph.setdefault(path, []).append(name)
            else:
                wrong = check_library(path, name)
            if not wrong and pure and within(name, IMPURE):
                wrong = "decisions are pure: no I/O, no logging, no threads"
            if wrong:
                errors.append("%s:%d: %s: %s" % (path, number, name, wrong))
        if not path.startswith("tests/") and path != JSON_PARSER:
            for number in parses(os.path.join(root, path)):
                errors.append("%s:%d: JSON from outside is parsed by base::ParseJson alone" % (path, number))
    cycle = find_cycle(graph)
    if cycle:
        errors.append("headers include each other: %s" % " -> ".join(cycle))
    return errors, count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--list", action="store_true", help="print the files that are checked")
    arguments = parser.parse_args()
    root = os.path.normpath(arguments.root)
    if arguments.list:
        print("\n".join(code_files(root)))
        return 0
    errors, count = check(root)
    if count == 0:
        errors.append("no C++ file found below %s" % root)
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        print("%d lines are against the table of layers (%d files read)" % (len(errors), count), file=sys.stderr)
        return 1
    print("layers: %d files, every include is within the table" % count)
    return 0


if __name__ == "__main__":
    sys.exit(main())

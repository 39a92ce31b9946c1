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
ALL = ("controller/", "crd/", "reconcilers/")
API = ("controller/kube/api_client.h", "controller/kube/meta.h", "controller/kube/status_patch.h")
RUNTIME = ("controller/runtime/reconciler.h", "controller/runtime/event_recorder.h", "controller/runtime/metrics.h")

# The composition root: nobody but itself and its tests includes it.
ROOT = "controller/cmd/"

# The rooms of reconcilers/, in the order of the story (reconcilers/README.md): a room may include those
# above it, base and crd, and what stands beside its name.
ROOMS = (
    ("oms", ()),
    ("model", ()),
    ("observe", API),
    ("record", API),
    ("act", API),
    ("steps", ()),
    ("decide", ()),
    ("show", API + RUNTIME),
    ("pass", API + RUNTIME),
)
# The rooms of reconcilers/drivers/: each may include ports, and of the others those beside its name.
DRIVERS = (
    ("os", ()),
    ("files", ()),
    ("http", ()),
    ("docker", ("http", "files")),
    ("mysql", ("os",)),
    ("dump", ("mysql", "files", "os")),
)
# The names of errors are the user's, and only names: ports and drivers may have them too.
REASONS = ("crd/reasons.h",)
# What the files of a folder open. Everything else is named with its room.
NAMESPACES = {"reconcilers/oms/": "oms::product"}


def rooms():
    """(folder, what its files may include) of each room."""
    above = ["reconcilers/ports/"]
    yield "reconcilers/ports/", (BASE, *REASONS, *above)
    for name, more in ROOMS:
        above.append("reconcilers/%s/" % name)
        yield above[-1], (BASE, "crd/", *above, *more)
    for name, others in DRIVERS:
        folders = ["reconcilers/drivers/%s/" % other for other in (name, *others)]
        yield folders[0], (BASE, *REASONS, "reconcilers/ports/", *folders)


# (folder, what its files may include). The first folder that a file lies in counts. A name that ends in
# "/" stands for all below it.
LAYERS = (
    ("controller/base/", (BASE,)),
    ("controller/kube/", (BASE, "controller/kube/")),
    ("controller/runtime/", (BASE, "controller/kube/", "controller/runtime/")),
    (ROOT, ALL),
    ("crd/", (BASE, "controller/kube/meta.h", "crd/")),
    *rooms(),
    ("tests/", (*ALL, "tests/")),
)
# One foreign library, one place: prefix of the header -> the files that may include it. A name that
# ends in "/" stands for all below it; "*.cc" for every source file that is no header.
LIBRARIES = {
    "cpprest/": ("controller/kube/rest_client.cc",),
    "pplx/": ("controller/kube/rest_client.cc",),
    "cppconn/": ("reconcilers/drivers/mysql/mysql_session.cc",),
    "mysql": ("reconcilers/drivers/mysql/mysql_session.cc",),
    "boost/": (
        "controller/kube/rest_client.cc",  # cpprestsdk's own loop, and its TLS context
        "controller/runtime/http_server.cc",
        "reconcilers/drivers/http/http_response.cc",
        "reconcilers/drivers/http/http_stream.cc",
        "reconcilers/drivers/docker/docker_stream.cc",
    ),
    "yaml-cpp/": ("controller/kube/kube_config.cc", "reconcilers/oms/config_yaml.cc", "tests/"),
    "spdlog/": ("controller/base/log.cc",),
    "absl/": (
        "controller/base/base64.cc",
        "reconcilers/model/maintenance_window.cc",  # time zones
    ),
    "openssl/": (
        "controller/base/sha256.cc",
        "controller/base/tls.cc",
        "reconcilers/drivers/http/http_stream.cc",
        "reconcilers/drivers/mysql/nobodys_key.cc",
        "reconcilers/drivers/mysql/relay_stream.cc",
        "reconcilers/drivers/http/key_pair.cc",
        "tests/",
    ),
    # Heavy to compile: headers take json_fwd.hpp.
    "nlohmann/json_fwd.hpp": ALL + ("tests/",),
    "nlohmann/": ("*.cc", "tests/"),
    "fmt/": ALL + ("tests/",),
    "zstd": ("reconcilers/drivers/files/zstd_stream.cc", "tests/"),
    "zlib": ("reconcilers/drivers/files/gzip_stream.cc", "tests/"),
    "gtest/": ("tests/",),
    "gmock/": ("tests/",),
}
# Folders of the C library; every other <folder/header> belongs to a library that must be in the table.
SYSTEM = ("arpa/", "linux/", "net/", "netinet/", "sys/", "asm/", "bits/")

# Pure: functions of what they are given. No I/O, no clock, no logging, no threads. So are whole rooms, and
# each file whose first lines say so.
PURE = (
    "reconcilers/oms/",
    "reconcilers/model/",
    "reconcilers/decide/",
)
# A path is a text; what is there is not.
LOOKS_AT_FILES = re.compile(r"\b(?:std::filesystem|fs)::(?!path\b)\w+\s*\(")
SAYS_PURE = re.compile(r"\bPure\b")
IMPURE = (
    "controller/base/context.h",
    "controller/base/log.h",
    "controller/base/task_group.h",
    "fcntl.h",
    "fstream",
    "iostream",
    "mutex",
    "spawn.h",
    "sys/",
    "thread",
    "unistd.h",
)

# A look cannot write: what it names of a port that has two halves is the reading one.
LOOKS = ("reconcilers/observe/",)
WRITING_HALF = re.compile(
    r"\bports::(?:ContainerEngine|EngineProvider|MetaDbs?|MetaDbProvider|OmsTables|DbServer|DbConnections"
    r"|Ownership|OwnershipProvider|RecordStore|BackupTool)\b|\bkube::ApiClient\b"
)

# What is read from outside goes through the one parser that bounds its depth.
JSON_PARSER = "controller/base/json.cc"
PARSES_JSON = re.compile(r"\w::(?:parse|sax_parse|accept|from_(?:bson|cbor|msgpack|ubjson))\s*\(")

OPENS_NAMESPACE = re.compile(r"^namespace (oms[\w:]*) \{", re.M)
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


def says_pure(path):
    """True when the comment at the head of a file says so."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.startswith("//"):
                return False
            if SAYS_PURE.search(line):
                return True
    return False


def is_pure(root, path):
    """A source file is what its header says."""
    stem = os.path.join(root, os.path.splitext(path)[0])
    return within(path, PURE) or any(os.path.isfile(stem + end) and says_pure(stem + end) for end in (".h", ".cc"))


def check_quoted(root, path, name):
    """What is wrong with #include "name" in path, or None."""
    if not os.path.isfile(os.path.join(root, name)):
        return "no such file below the root of the repository (includes are written from there)"
    if name.startswith(ROOT) and not path.startswith((ROOT, "tests/")):
        return "%s is included by nobody" % ROOT
    if name.startswith("tests/") and not path.startswith("tests/"):
        return "nothing outside of tests/ sees tests/"
    for folder, allowed in LAYERS:
        if not path.startswith(folder):
            continue
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


def lines_with(path, pattern):
    """The numbers of the lines in which the pattern is found."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return [number for number, line in enumerate(file, 1) if pattern.search(line)]


def check_namespace(path, text):
    """What is wrong with the namespace that a file of a room opens, or None."""
    folder = os.path.dirname(path) + "/"
    if not path.startswith("reconcilers/"):
        return None
    expected = NAMESPACES.get(folder, "oms::" + os.path.dirname(path)[len("reconcilers/") :].replace("/", "::"))
    opened = set(OPENS_NAMESPACE.findall(text))
    others = sorted(name for name in opened if name != expected and not name.startswith(expected + "::"))
    if others:
        return "the namespace of %s is %s, not %s" % (folder, expected, others[0])
    return None


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
    """All violations as lines of text, how many files were read, and who includes whom."""
    errors, count, graph = [], 0, {}
    for path in code_files(root):
        count += 1
        pure = not path.startswith("tests/") and is_pure(root, path)
        for number, name, quoted in includes(os.path.join(root, path)):
            if quoted:
                wrong = check_quoted(root, path, name)
                graph.setdefault(path, []).append(name)
            else:
                wrong = check_library(path, name)
            if not wrong and pure and within(name, IMPURE):
                wrong = "it is pure: no I/O, no clock, no logging, no threads"
            if wrong:
                errors.append("%s:%d: %s: %s" % (path, number, name, wrong))
        if not path.startswith("tests/") and path != JSON_PARSER:
            for number in lines_with(os.path.join(root, path), PARSES_JSON):
                errors.append("%s:%d: JSON from outside is parsed by base::ParseJson alone" % (path, number))
        if within(path, LOOKS):
            for number in lines_with(os.path.join(root, path), WRITING_HALF):
                errors.append("%s:%d: a look gets the reading half of a port" % (path, number))
        if pure:
            for number in lines_with(os.path.join(root, path), LOOKS_AT_FILES):
                errors.append("%s:%d: it is pure: no I/O" % (path, number))
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            wrong = check_namespace(path, file.read())
        if wrong:
            errors.append("%s: %s" % (path, wrong))
    cycle = find_cycle(graph)
    if cycle:
        errors.append("headers include each other: %s" % " -> ".join(cycle))
    return errors, count, graph


def show_rooms(graph):
    """The rooms of reconcilers/ as they stand: level, whom each includes, and how many times."""
    names = ["ports"] + [name for name, _ in ROOMS] + ["drivers/" + name for name, _ in DRIVERS]
    edges = {name: {} for name in names}
    for path, included in graph.items():
        room = os.path.dirname(path)[len("reconcilers/") :]
        for other in included if path.startswith("reconcilers/") else ():
            to = os.path.dirname(other)[len("reconcilers/") :] if other.startswith("reconcilers/") else room
            if to != room:
                edges[room][to] = edges[room].get(to, 0) + 1
    levels = {}

    def level(name):
        if name not in levels:
            levels[name] = 1 + max([level(to) for to in edges[name]], default=-1)
        return levels[name]

    for name in names:
        to = ", ".join("%s %d" % (to, edges[name][to]) for to in names if to in edges[name])
        print("%-16s level %d  %s" % (name, level(name), to and "-> " + to))
    print("%d rooms on %d levels, %d edges" % (len(names), 1 + max(levels.values()), sum(len(to) for to in edges.values())))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--rooms", action="store_true", help="print the rooms of reconcilers/ and their edges")
    parser.add_argument("--list", action="store_true", help="print the files that are checked")
    arguments = parser.parse_args()
    root = os.path.normpath(arguments.root)
    if arguments.list:
        print("\n".join(code_files(root)))
        return 0
    errors, count, graph = check(root)
    if arguments.rooms:
        show_rooms(graph)
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

#!/usr/bin/env python3
"""No file of the repository names a path of somebody's machine, a private host or a key, none cites a page that is not
in the repository, and what a user reads is plain English.

    hack/checks/texts.py [--root DIR] [FILE...]      (default: every file)

A path or host of one machine works where it was written and nowhere else. Reads every text file that git tracks (or, in
a tree without git, every file).
"""
import argparse
import os
import re
import subprocess
import sys

RULES = (
    # Where somebody's checkout lies. What is in an OMS container (/home/admin, /home/ds, /root/docker_*.sh)
    # is not meant.
    (re.compile(r"(?<![\w.$}{/-])/(?:work|workspace|Users)/"), "a path of one machine"),
    (re.compile(r"(?<![\w.$}{/-])/home/(?!admin\b|ds\b)\w"), "a path of one machine"),
    (re.compile(r"(?<![\w.$}{/-])/root/(?!docker_|init_flag|\.|\$|\w*\.(?:sh|log|txt)\b|[{(*])\w+/"), "a path of one machine"),
    # Mirrors and proxies are the machine's configuration, not ours.
    (re.compile(r"\b(?:goproxy|pypi|registry|mirror|nexus|artifactory|proxy)\.(?!example\b)[\w-]+(?:\.(?:com|net|org|local|internal|lan)\b|:\d+)"
                r"(?<!pypi\.org)"), "a private mirror or registry"),
    (re.compile(r"\b(?:GOPROXY|PIP_INDEX_URL)=\S*//|\b(?:HTTPS?_PROXY|https?_proxy)=\S*\d{1,3}(?:\.\d{1,3}){3}"), "a proxy's address"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"\bAKIA[0-9A-Z]{16}\b"), "an access key"),
)
# A page that a comment or another page sends its reader to; links to elsewhere are no names of files.
CITED = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)*[\w-]+\.md)\b")
# Written beside each backup, for whoever has to load it by hand.
MADE = ("RESTORE.md", "a.md")  # The second: of the tests of these checks.

# A user reads pages, manifests, and what the product says: conditions, events, errors, --help. Plain words there, and those
# of Kubernetes and MySQL: subject, verb, object. Each of these has a plainer one.
USER_READS = (".md", ".yaml")
PRODUCT = re.compile(r"(?:crd|reconcilers|controller)/.*\.(?:cc|h)$")
LITERALS = re.compile(r'(?s)R"(\w*)\((.*?)\)\1"|//[^\n]*|"((?:\\.|[^"\\\n])*)"')
WORDS = (
    (r"mend(?:s|ed|ing)?", "correct, repair or fix"),
    (r"anew|afresh", "again"),
    (r"amiss", "wrong"),
    (r"shall", "must, or the desired ..."),
    (r"who(?:ever|mever|m)", "anyone who, or name the person"),
    (r"of ours", "of the controller"),
    (r"otherwise than", "differs from"),
    (r"begun", "started"),
    (r"told", "reported, or says"),
    (r"go(?:es)? on|going on|went on", "continue, or keep running"),
    (r"turn(?:s|ed)? back|tak(?:es?|en) back|took back|go(?:es)? back|going back|went back", "roll back, or revert"),
    (r"put(?:s)? back|br(?:ing|ings|ought) back", "restore"),
    (r"call(?:s|ed)? off", "cancel"),
    (r"give(?:s|n)? up|gave up", "abandon"),
    (r"let(?:s)? go", "release"),
    (r"as good as gone|half loaded|is none of", "say what it is"),
)
PLAIN = [(re.compile(r"\b(?:%s)\b" % word, re.I), better) for word, better in WORDS]

# These hold such words on purpose.
EXEMPT = ("hack/checks/texts.py",)
CITES = (".h", ".cc", ".py", ".sh", ".md", ".yaml", ".txt")
BINARY = (".png", ".gz", ".tar", ".zst", ".ico")


def wrong_in(path, text):
    """One line per match."""
    errors = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in RULES:
            found = pattern.search(line)
            if found:
                errors.append("%s:%d: %s: %s" % (path, number, what, found.group(0)))
                break
    return errors


def cited_and_missing(path, text, pages):
    """One line per page that the text names and the tree does not have. `pages`: paths of all pages."""
    errors = []
    for number, line in enumerate(text.splitlines(), 1):
        for name in CITED.findall(line):
            while name.startswith("../"):
                name = name[3:]
            if name.split("/")[-1] not in MADE and not any(("/" + page).endswith("/" + name) for page in pages):
                errors.append("%s:%d: no such page in the repository: %s" % (path, number, name))
    return errors


def literals(text):
    """(line number, text) of each string literal of C++ that is more than a name."""
    for found in LITERALS.finditer(text):
        literal = found.group(2) or found.group(3)
        if literal and " " in literal and not found.group(0).startswith("//"):
            yield 1 + text.count("\n", 0, found.start()), literal


def not_plain(path, text):
    """One line per word that has a plainer one, in what a user reads."""
    if path.endswith(USER_READS):  # What stands in `these` is a name.
        parts = ((number, re.sub(r"`[^`]*`", "``", line)) for number, line in enumerate(text.splitlines(), 1))
    elif PRODUCT.match(path):
        parts = literals(text)
    else:
        return []
    return ["%s:%d: not plain: '%s'; write: %s" % (path, number, found.group(0), better)
            for number, part in parts for pattern, better in PLAIN for found in [pattern.search(part)] if found]


def files(root):
    """Tracked files, and those that are neither tracked nor ignored."""
    run = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=False,
    )
    if run.returncode == 0:
        yield from (p for p in run.stdout.decode().split("\0") if p)
        return
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in (".git", ".devenv", ".devenv-test", "build")]
        yield from (os.path.relpath(os.path.join(folder, name), root) for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("files", nargs="*", help="only these, as paths from the root")
    arguments = parser.parse_args()
    root = os.path.normpath(arguments.root)
    errors, count = [], 0
    paths = sorted(set(files(root)))
    pages = [path for path in paths if path.endswith(".md")]
    for path in arguments.files or paths:
        full = os.path.join(root, path)
        if path in EXEMPT or path.endswith(BINARY) or os.path.islink(full) or not os.path.isfile(full):
            continue
        with open(full, "rb") as file:
            data = file.read()
        if b"\0" in data:
            continue
        count += 1
        text = data.decode(errors="replace")
        errors += wrong_in(path, text)
        if path.endswith(CITES):
            errors += cited_and_missing(path, text, pages)
        errors += not_plain(path, text)
    if count == 0 and not arguments.files:
        errors.append("no file found below %s" % root)
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        return 1
    print("texts: %d files, none names a machine; what a user reads is plain" % count)
    return 0


if __name__ == "__main__":
    sys.exit(main())

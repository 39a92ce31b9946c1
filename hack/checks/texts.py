#!/usr/bin/env python3
"""No file of the repository names a path of somebody's machine, a private host or a key, and none cites a page that
is not in the repository.

    hack/checks/texts.py [--root DIR]

Such a line works where it was written and nowhere else. Reads every text file that git tracks (or, in
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
    root = os.path.normpath(parser.parse_args().root)
    errors, count = [], 0
    paths = sorted(set(files(root)))
    pages = [path for path in paths if path.endswith(".md")]
    for path in paths:
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
    if count == 0:
        errors.append("no file found below %s" % root)
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        return 1
    print("texts: %d files, none names a machine" % count)
    return 0


if __name__ == "__main__":
    sys.exit(main())

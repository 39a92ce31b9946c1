"""The versions that this image knows, oldest first; its own is the last."""
import json
import os

ROOT = "/opt/oms-standin/versions"


def key(version):
    return [int(part) for part in version.split(".")]


def known(root=ROOT):
    return sorted(os.listdir(root), key=key)


def own(root=ROOT):
    return known(root)[-1]


def needs_correction(version):
    """Before 4.0.1, which made one framework of migration and synchronization."""
    return key(version) < [4, 0, 1]


def data(version, root=ROOT):
    with open(os.path.join(root, version, "version.json"), encoding="utf-8") as f:
        return json.load(f)


def sql(version, kind, role, root=ROOT):
    """The SQL of that version: kind is create (from nothing) or migrate (from the one before)."""
    path = os.path.join(root, version, kind, role + ".sql")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return f.read()


def has_create(version, root=ROOT):
    return os.path.isdir(os.path.join(root, version, "create"))

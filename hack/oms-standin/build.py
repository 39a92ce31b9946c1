#!/usr/bin/env python3
"""Writes the stand-in's images as archives that `docker load` takes. No container engine is needed.

    build.py --base BASE.tar --out DIR

For each folder of versions/ DIR gets oms_<version>.tar.gz (the format of `docker save`) and a line
in SHA256SUMS. An image has two layers: the Debian base, which all versions share, and a small one
with the stand-in itself and the data of every version up to its own. All of it depends only on the
input files, so image ids are the same on each build from the same base.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
CREATED = "2025-01-01T00:00:00Z"
MTIME = 1735689600


def sha256_of(stream):
    digest = hashlib.sha256()
    for chunk in iter(lambda: stream.read(1 << 20), b""):
        digest.update(chunk)
    return digest.hexdigest()


def member(name, size, kind=tarfile.REGTYPE, mode=0o644, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode, info.linkname, info.mtime = size, kind, mode, link, MTIME
    info.uname = info.gname = "root"
    return info


class Layer:
    """A tar built in memory, in a fixed order."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.GNU_FORMAT)
        self.folders = set()

    def folder(self, path, mode=0o755):
        if path and path not in self.folders:
            self.folder(os.path.dirname(path))
            self.folders.add(path)
            self.tar.addfile(member(path + "/", 0, tarfile.DIRTYPE, mode))

    def file(self, path, data):
        self.folder(os.path.dirname(path))
        mode = 0o755 if path.endswith(".sh") or "/bin/" in path else 0o644
        self.tar.addfile(member(path, len(data), mode=mode), io.BytesIO(data))

    def link(self, path, target):
        self.tar.addfile(member(path, 0, tarfile.SYMTYPE, 0o777, target))

    def tree(self, root, prefix=""):
        for folder, names, files in os.walk(root):
            names[:] = sorted(n for n in names if n != "__pycache__")
            for name in sorted(files):
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    self.file(prefix + os.path.relpath(path, root), f.read())

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def version_key(version):
    return [int(part) for part in version.split(".")]


def versions():
    return sorted(os.listdir(os.path.join(HERE, "versions")), key=version_key)


def standin_layer(version):
    layer = Layer()
    # The base's own folders (usr, root, etc) keep their modes: /root is not listed again.
    layer.folders |= {"root", "etc", "usr", "usr/bin", "usr/lib", "usr/lib/python3", "opt", "home",
                      "usr/lib/python3/dist-packages"}
    layer.tree(os.path.join(HERE, "rootfs"))
    for known in versions():
        if version_key(known) <= version_key(version):
            layer.tree(os.path.join(HERE, "versions", known), "opt/oms-standin/versions/%s/" % known)
    layer.link("usr/bin/python", "python3")
    for folder in ("home/admin/conf", "home/admin/logs", "home/ds/store", "home/ds/run"):
        layer.folder(folder)
    return layer.bytes()


def drop_foreign_scripts(data, scripts):
    """The layer without those of the scripts in /root that this version does not have."""
    source = tarfile.open(fileobj=io.BytesIO(data))
    out = io.BytesIO()
    target = tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT)
    for info in source:
        name = info.name
        optional = name.startswith(("root/docker_", "root/correction-")) and name != "root/docker_cmd.sh"
        if optional and os.path.basename(name) not in scripts:
            continue
        target.addfile(info, source.extractfile(info) if info.isreg() else None)
    target.close()
    return out.getvalue()


def image_config(version, diff_ids):
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8",
                "OMS_VERSION=" + version,
            ],
            "Entrypoint": ["/root/docker_cmd.sh"],
            "WorkingDir": "/root",
            "Labels": {"oms.standin.version": version},
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + d for d in diff_ids]},
        "history": [
            {"created": CREATED, "created_by": "debootstrap"},
            {"created": CREATED, "created_by": "hack/oms-standin/build.py"},
        ],
    }


def tar_bytes(entries):
    """Tar blocks of (name, data) pairs, without the end-of-archive mark."""
    out = b""
    for name, data in entries:
        out += member(name, len(data)).tobuf(tarfile.GNU_FORMAT) + data + b"\0" * (-len(data) % 512)
    return out


def base_member(base, cache):
    """The base layer as one gzip member of the outer tar (members may be put one after another),
    so that it is compressed once, not for each version and each change."""
    stat = os.stat(base)
    stamp = "%d-%d" % (stat.st_size, stat.st_mtime_ns)
    info_path, gz_path = cache + ".json", cache + ".gz"
    if os.path.exists(info_path) and os.path.exists(gz_path):
        with open(info_path) as f:
            info = json.load(f)
        if info["stamp"] == stamp:
            return info["sha256"], gz_path
    with open(base, "rb") as f:
        digest = sha256_of(f)
    with open(base, "rb") as f, open(gz_path + ".tmp", "wb") as raw:
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as out:
            out.write(member(digest + "/layer.tar", stat.st_size).tobuf(tarfile.GNU_FORMAT))
            shutil.copyfileobj(f, out, 1 << 20)
            out.write(b"\0" * (-stat.st_size % 512))
    os.replace(gz_path + ".tmp", gz_path)
    with open(info_path + ".tmp", "w") as f:
        json.dump({"stamp": stamp, "sha256": digest}, f)
    os.replace(info_path + ".tmp", info_path)
    return digest, gz_path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    base_digest, base_gz = base_member(arguments.base, arguments.base + ".member")
    sums, ids = [], {}
    for version in versions():
        with open(os.path.join(HERE, "versions", version, "version.json")) as f:
            data = json.load(f)
        layer = drop_foreign_scripts(standin_layer(version), data["scripts"])
        digest = hashlib.sha256(layer).hexdigest()
        config = json.dumps(image_config(version, [base_digest, digest]), sort_keys=True).encode()
        image_id = hashlib.sha256(config).hexdigest()
        manifest = [
            {
                "Config": image_id + ".json",
                "RepoTags": ["oms:" + version],
                "Layers": [base_digest + "/layer.tar", digest + "/layer.tar"],
            }
        ]
        rest = tar_bytes(
            [
                (digest + "/layer.tar", layer),
                (image_id + ".json", config),
                ("manifest.json", json.dumps(manifest).encode()),
            ]
        )
        name = "oms_%s.tar.gz" % version
        path = os.path.join(arguments.out, name)
        with open(path + ".tmp", "wb") as out, open(base_gz, "rb") as f:
            shutil.copyfileobj(f, out, 1 << 20)
            out.write(gzip.compress(rest + b"\0" * 1024, 6, mtime=0))
        os.replace(path + ".tmp", path)
        with open(path, "rb") as f:
            sums.append("%s  %s" % (sha256_of(f), name))
        ids["oms:" + version] = "sha256:" + image_id
    with open(os.path.join(arguments.out, "SHA256SUMS"), "w") as f:
        f.write("\n".join(sums) + "\n")
    with open(os.path.join(arguments.out, "image-ids.json"), "w") as f:
        json.dump(ids, f, indent=2, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    sys.exit(main())

"""Container images as archives that `docker load` and `ctr images import` take, written without an
engine or a registry. All of an archive depends only on its input, so the same input has the same image id."""
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile

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
    """A tar built in memory, in a fixed order. `given`: folders that the layers below have."""

    def __init__(self, given=()):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.GNU_FORMAT)
        self.folders = set(given)

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


def tar_bytes(entries):
    """Tar blocks of (name, data) pairs, without the end-of-archive mark."""
    out = b""
    for name, data in entries:
        out += member(name, len(data)).tobuf(tarfile.GNU_FORMAT) + data + b"\0" * (-len(data) % 512)
    return out


def base_member(base):
    """The base layer as one gzip member of the outer tar (members may be put one after another),
    so that it is compressed once, not for each image and each change. Kept beside the base."""
    stat = os.stat(base)
    stamp = "%d-%d" % (stat.st_size, stat.st_mtime_ns)
    info_path, gz_path = base + ".member.json", base + ".member.gz"
    if os.path.exists(info_path) and os.path.exists(gz_path):
        with open(info_path, encoding="utf-8") as f:
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
    with open(info_path + ".tmp", "w", encoding="utf-8") as f:
        json.dump({"stamp": stamp, "sha256": digest}, f)
    os.replace(info_path + ".tmp", info_path)
    return digest, gz_path


def write_archive(path, reference, base, layer, config, made_by):
    """An image of two layers, the tar file `base` and the bytes `layer`, with what Docker calls
    `config` (Env, Entrypoint, Labels ...). Returns its id."""
    base_digest, base_gz = base_member(base)
    digest = hashlib.sha256(layer).hexdigest()
    document = json.dumps({
        "architecture": "arm64" if os.uname().machine == "aarch64" else "amd64",
        "os": "linux",
        "created": CREATED,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + base_digest, "sha256:" + digest]},
        "history": [
            {"created": CREATED, "created_by": "debootstrap"},
            {"created": CREATED, "created_by": made_by},
        ],
    }, sort_keys=True).encode()
    image_id = hashlib.sha256(document).hexdigest()
    manifest = [{
        "Config": image_id + ".json",
        "RepoTags": [reference],
        "Layers": [base_digest + "/layer.tar", digest + "/layer.tar"],
    }]
    rest = tar_bytes([
        (digest + "/layer.tar", layer),
        (image_id + ".json", document),
        ("manifest.json", json.dumps(manifest).encode()),
    ])
    with open(path + ".tmp", "wb") as out, open(base_gz, "rb") as f:
        shutil.copyfileobj(f, out, 1 << 20)
        out.write(gzip.compress(rest + b"\0" * 1024, 6, mtime=0))
    os.replace(path + ".tmp", path)
    return "sha256:" + image_id

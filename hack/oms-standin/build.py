#!/usr/bin/env python3
"""Writes the stand-in's images as archives that `docker load` takes. No container engine is needed.

    build.py --base BASE.tar --out DIR

For each folder of versions/ DIR gets oms_<version>.tar.gz (the format of `docker save`) and a line
in SHA256SUMS. An image has two layers: the Debian base, which all versions share, and a small one
with the stand-in itself and the data of every version up to its own. All of it depends only on the
input files, so image ids are the same on each build from the same base. For each version that a
component can be upgraded to in place there is the upgrade assistant's image as well.
"""
import argparse
import io
import json
import os
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
from image_archive import Layer, sha256_of, write_archive  # noqa: E402


def version_key(version):
    return [int(part) for part in version.split(".")]


def versions():
    return sorted(os.listdir(os.path.join(HERE, "versions")), key=version_key)


def standin_layer(version):
    # The base's own folders (usr, root, etc) keep their modes: /root is not listed again.
    layer = Layer(given={"root", "etc", "usr", "usr/bin", "usr/lib", "usr/lib/python3", "opt", "home",
                         "usr/lib/python3/dist-packages"})
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


def image_config(version):
    return {
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "OMS_VERSION=" + version,
        ],
        "Entrypoint": ["/root/docker_cmd.sh"],
        "WorkingDir": "/root",
        # By it hack/lib/oms.sh tells the stand-in's images from a real OMS's.
        "Labels": {"oms.standin.version": version},
    }


def assistant_layer(version):
    layer = Layer(given={"root", "opt"})
    layer.tree(os.path.join(HERE, "tools"))
    layer.file("opt/assistant/rpm/oms-component.rpm", (version + "\n").encode())
    layer.folder("root/rpm")
    return layer.bytes()


def assistant_config(version):
    return {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Entrypoint": ["/opt/assistant/copy.sh"],
        "WorkingDir": "/root",
        "Labels": {"oms.standin.version": version},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    sums, ids = [], {}
    for version in versions():
        with open(os.path.join(HERE, "versions", version, "version.json"), encoding="utf-8") as f:
            data = json.load(f)
        layer = drop_foreign_scripts(standin_layer(version), data["scripts"])
        images = [("oms_%s.tar.gz" % version, "oms:" + version, layer, image_config(version))]
        if "docker_upgrade.sh" in data["scripts"]:
            images.append(("oms_upgrade_tools_%s.tar.gz" % version, "oms-upgrade-tools:" + version,
                           assistant_layer(version), assistant_config(version)))
        for name, reference, files, config in images:
            path = os.path.join(arguments.out, name)
            ids[reference] = write_archive(path, reference, arguments.base, files, config, "hack/oms-standin/build.py")
            with open(path, "rb") as f:
                sums.append("%s  %s" % (sha256_of(f), name))
    with open(os.path.join(arguments.out, "SHA256SUMS"), "w", encoding="utf-8") as f:
        f.write("\n".join(sums) + "\n")
    with open(os.path.join(arguments.out, "image-ids.json"), "w", encoding="utf-8") as f:
        json.dump(ids, f, indent=2, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    sys.exit(main())

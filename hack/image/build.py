#!/usr/bin/env python3
"""Writes the controller's image as an archive that `docker load` and `ctr images import` take.

    build.py --base BASE.tar --binary FILE --license FILE --version VERSION --reference NAME:TAG --out FILE

No container engine is needed. Prints the image's id.
"""
import argparse
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from image_archive import Layer, write_archive  # noqa: E402

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("base", "binary", "license", "version", "reference", "out"):
        parser.add_argument("--" + name, required=True)
    arguments = parser.parse_args()
    layer = Layer(given={"usr", "usr/local", "usr/local/bin", "usr/share", "usr/share/doc"})
    for source, target in ((arguments.binary, "usr/local/bin/oms-upgrade-controller"),
                           (arguments.license, "usr/share/doc/oms-upgrade-controller/LICENSE")):
        with open(source, "rb") as f:
            layer.file(target, f.read())
    # The same as in the Dockerfile.
    config = {
        "Env": ["PATH=" + PATH, "LANG=C.UTF-8"],
        "Entrypoint": ["/usr/local/bin/oms-upgrade-controller"],
        "WorkingDir": "/",
        "Labels": {
            "org.opencontainers.image.title": "oms-upgrade-controller",
            "org.opencontainers.image.version": arguments.version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    }
    print(write_archive(arguments.out, arguments.reference, arguments.base, layer.bytes(), config, "hack/image.sh"))


if __name__ == "__main__":
    sys.exit(main())

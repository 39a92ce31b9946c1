#!/bin/bash
# make_image.sh OUT TAG: a small image from this machine's own dash and coreutils, as the archive
# that `docker load` takes. No registry is reached.
set -euo pipefail

out=$1 tag=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,tmp,home/admin,etc,proc,sys,dev}

add() { # add FILE TARGET: with the libraries that it needs, at their own paths
  local library
  cp -L "$1" "$root$2"
  ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
}
add "$(command -v dash)" /bin/sh
for tool in cat chmod chown cp ln ls mkdir mv rm rmdir sleep sync touch; do
  add "$(type -P "$tool")" "/bin/$tool"
done
printf '#!/bin/sh\necho upgraded\n' >"$root/home/admin/docker_upgrade.sh"
chmod 0755 "$root/home/admin/docker_upgrade.sh"

tar --numeric-owner --owner=0 --group=0 -C "$root" -cf "$work/layer.tar" .
diff_id=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
cat >"$work/config.json" <<JSON
{"architecture": "$arch", "os": "linux",
 "config": {"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["/bin/sleep", "3600"],
            "Labels": {"from.image": "yes"}},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$diff_id"]}}
JSON
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$tag" \
  >"$work/manifest.json"
tar -C "$work" -cf "$out" manifest.json config.json layer.tar

#!/usr/bin/env bash
# Makes the container image of the controller that manifests/deployment.yaml
# names, without a registry and without a container engine: Debian 12 by
# debootstrap, the packages of hack/image/packages.txt, the built binary.
#
#   hack/image.sh [--reference NAME:TAG] [--out FILE]    build it; an archive
#   hack/image.sh --check                                try it in an engine
#   hack/image.sh --fresh                                a new base first
#   hack/image.sh --base                                 the base alone, if there is none
#
# The archive is one for `docker load` and for `ctr -n k8s.io images import` on
# the node (build/image/oms-upgrade-controller_<version>.tar.gz). Its base, with
# Debian's security updates of the day, is kept in the cache until --fresh.
# --check runs the image in the engine of DOCKER_HOST as the Deployment does, and
# takes it out again. OMS_CONTROLLER_BIN names a binary to take in place of a build.
#
# Where a registry can be reached, `docker build` makes the same, see
# hack/image/Dockerfile.
set -euo pipefail

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"
. "$HACK/lib/packages.sh"
. "$HACK/lib/images.sh"

NAME=oms-upgrade-controller

reference='' out='' check='' fresh='' base_only=''
while (($#)); do
  case $1 in
    --reference)
      reference=${2:?--reference needs NAME:TAG}
      shift
      ;;
    --out)
      out=$(realpath -m -- "${2:?--out needs a file}")
      shift
      ;;
    --check) check=1 ;;
    --fresh) fresh=1 ;;
    --base) base_only=1 ;;
    -h | --help) help_of "$0"; exit 0 ;;
    *) die "unknown option $1; see hack/image.sh --help" ;;
  esac
  shift
done
binary=${OMS_CONTROLLER_BIN:-}
[[ -z $binary ]] || binary=$(realpath -- "$binary")
cd "$REPO_DIR"
version=$(sed -n 's/^project(oms-upgrade-controller VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
[[ -n $version ]] || die "CMakeLists.txt names no version"

# A Debian binary wants Debian's libraries of the release that it was built on.
# shellcheck disable=SC1091
[[ $(. /etc/os-release && printf '%s %s' "$ID" "$VERSION_ID") == 'debian 12' ]] ||
  die "this host is not Debian 12, and a binary built here would not run on Debian 12's libraries: docker build, as hack/image/Dockerfile says"
if [[ -z $binary && -z $base_only ]]; then
  "$HACK/build.sh" release "$NAME"
  binary=$REPO_DIR/build/release/$NAME
fi
[[ -n $base_only || -x $binary ]] || die "no controller at $binary"

base=$CACHE_DIR/image-base/$(base_key hack/image/packages.txt).tar
mkdir -p "$(dirname "$base")" build/image
(
  flock -n 9 || { say "another build of the base is under way; waiting for it"; flock 9; }
  [[ -z $fresh ]] || rm -f "$base"
  debian_base hack/image/packages.txt "$base" 'the controller'"'"'s image' updates
) 9>"$CACHE_DIR/image-base.lock"
[[ -z $base_only ]] || exit 0

work=$(mktemp -d build/image/work.XXXXXX)
loaded=
cleanup() {
  [[ -z $loaded ]] || docker image rm "$loaded" >/dev/null 2>&1 || true
  rm -rf -- "$work"
}
trap cleanup EXIT
# Lines of the source stay in the build's own copy; names for a backtrace stay here too.
have strip || need_packages binutils
strip --strip-debug -o "$work/$NAME" "$binary"

# write REFERENCE FILE: prints the image's id.
write() {
  python3 hack/image/build.py --base "$base" --binary "$work/$NAME" --license LICENSE --version "$version" \
    --reference "$1" --out "$2"
}

if [[ -z $check ]]; then
  reference=${reference:-$NAME:$version}
  out=${out:-$REPO_DIR/build/image/${NAME}_$version.tar.gz}
  id=$(write "$reference" "$out")
  cat <<EOF
$out ($(du -h "$out" | cut -f1)): $reference, $id
  docker load -i $out                       into an engine, to push it to a registry from there
  ctr -n k8s.io images import $out          on the node itself, where containerd runs the pods
EOF
  exit 0
fi

# --- check -------------------------------------------------------------------

timeout 10 docker version >/dev/null 2>&1 ||
  die "no Docker Engine answers at ${DOCKER_HOST:-its default address}: eval \"\$(hack/devenv.sh env)\""
reference=$NAME:check-$$
write "$reference" "$work/image.tar.gz" >/dev/null
loaded=$reference
docker load -q -i "$work/image.tar.gz" >/dev/null

# in_image ENTRYPOINT ARGS...: as manifests/deployment.yaml runs it.
in_image() {
  local entry=$1
  shift
  docker run --rm --network host --user 0 --read-only --tmpfs /tmp --cap-drop ALL \
    --security-opt no-new-privileges --entrypoint "$entry" "$reference" "$@"
}

[[ $(docker run --rm --network host --read-only --cap-drop ALL "$reference" --version) == "$NAME $version" ]] ||
  die "the controller does not run in its image"
in_image /bin/sh -ec '
  for tool in mydumper myloader mysqldump mysql zstd; do
    "$tool" --version >/dev/null || { echo "$tool does not run in the image" >&2; exit 1; }
  done
  # Any of them may be asked for over TLS; without it the driver takes those alone that show no password.
  for plugin in caching_sha2_password sha256_password mysql_clear_password client_ed25519; do
    ls /usr/lib/*/libmariadb3/plugin/$plugin.so >/dev/null
  done
  test -s /etc/ssl/certs/ca-certificates.crt
  test -e /usr/share/zoneinfo/Asia/Shanghai
  touch /tmp/writable' || die "the image lacks something, see above"
say "the image has what the controller needs ($(docker image inspect -f '{{.Size}}' "$reference" | numfmt --to=iec))"

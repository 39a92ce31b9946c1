#!/usr/bin/env bash
# clang-tidy with the checks of .clang-tidy.
#
#   hack/checks/tidy.sh [--build DIR] [--budget SECONDS] [FILE...]
#
# Without files: all sources but those that clang 14 cannot read (coroutines of
# Asio) and those that are mostly a foreign library, most recently changed
# first, until the budget (default: none) is used up. A file that passed is not
# looked at again until it, a header that it includes, or .clang-tidy changes.
# DIR is a build folder, built (default build/release): the build knows what a
# file includes. A file that it has not compiled counts as one that includes all.
set -euo pipefail

SKIP='controller/kube/rest_client.cc|reconcilers/drivers/(http/http_(response|stream)|docker/docker_stream).cc'
build=build/release
budget=
while (($#)); do
  case $1 in
    --build) build=${2:?--build needs a folder} && shift 2 ;;
    --budget) budget=${2:?--budget needs seconds} && shift 2 ;;
    --) shift; break ;;
    -*) echo "error: unknown option $1" >&2; exit 2 ;;
    *) break ;;
  esac
done
build=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && realpath -m "$build")
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
tidy=$(command -v clang-tidy-14 || command -v clang-tidy || true)
if [[ -z $tidy ]]; then
  echo "skipped: no clang-tidy here (apt-get install clang-tidy)"
  exit 77
fi
[[ -f $build/compile_commands.json ]] ||
  { echo "error: $build/compile_commands.json does not exist: cmake --preset release, or --build DIR" >&2; exit 1; }
if (($#)); then
  files=("$@")
else
  mapfile -t files < <(find controller crd reconcilers -name '*.cc' -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2 |
    grep -Ev "^($SKIP)\$")
fi
((${#files[@]})) || { echo "error: no file found" >&2; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/oms-upgrade-controller/tidy
mkdir -p "$cache"
find "$cache" -type f -mtime +14 -delete
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
# "file header" of each header of ours that a file includes.
ninja -C "$build" -t deps 2>/dev/null | awk -v root="$PWD/" -v relative="$(realpath --relative-to="$build" .)/" '
  /: #deps/ {source = ""; next}
  NF == 1 && (index($1, root) == 1 || index($1, relative) == 1) {
    path = substr($1, length(index($1, root) == 1 ? root : relative) + 1)
    if (source == "") source = path
    if (path ~ /^(controller|crd|reconcilers)\//) print source, path
  }' >"$work/includes" || true
find controller crd reconcilers -name '*.h' | LC_ALL=C sort >"$work/headers"
settings=$({ "$tidy" --version; cat .clang-tidy; } | sha256sum | cut -c1-32)

tidy_one() {
  local file=$1 key log includes
  mapfile -t includes < <(awk -v file="$file" '$1 == file {print $2}' "$TIDY_WORK/includes" | LC_ALL=C sort -u)
  ((${#includes[@]} > 1)) || mapfile -t includes <"$TIDY_WORK/headers"
  key=$({ echo "$TIDY_SETTINGS $file"; cat "$file" "${includes[@]}"; } | sha256sum | cut -c1-32)
  [[ -e $TIDY_CACHE/$key ]] && return 0
  if [[ -n $TIDY_END ]] && ((EPOCHSECONDS >= TIDY_END)); then
    echo "not looked at (budget used up): $file"
    return 0
  fi
  # A file that the build does not know yet has no command to be read by.
  grep -qF "/$file\"" "$TIDY_BUILD/compile_commands.json" || { echo "not part of the build: $file"; return 0; }
  # Warnings of g++ that clang does not know are none of ours.
  if log=$("$TIDY" -p "$TIDY_BUILD" --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-error "$file" 2>&1); then
    : >"$TIDY_CACHE/$key"
  else
    printf '%s\n' "$log" | grep -v 'warnings generated' >&2
    return 1
  fi
}
export -f tidy_one
export TIDY=$tidy TIDY_BUILD=$build TIDY_CACHE=$cache TIDY_SETTINGS=$settings TIDY_WORK=$work TIDY_END=${budget:+$((EPOCHSECONDS + budget))}
start=$SECONDS
# What runs beside it, tests with servers, comes first.
printf '%s\0' "${files[@]}" | nice -n 19 xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy_one "$1"' _ || {
  echo "clang-tidy found something in the files above" >&2
  exit 1
}
echo "tidy: ${#files[@]} files in $((SECONDS - start)) s"

#!/usr/bin/env bash
# clang-tidy with the checks of .clang-tidy.
#
#   hack/checks/tidy.sh [--build DIR] [--budget SECONDS] [FILE...]
#
# Without files: all sources but those that clang 14 cannot read (coroutines of
# Asio) and those that are mostly a foreign library, most recently changed
# first, until the budget (default: none) is used up. A file that passed is not
# looked at again until it, a header or .clang-tidy changes. DIR is a
# configured build folder (default build/release).
set -euo pipefail

SKIP='controller/kube/rest_client.cc|reconcilers/drivers/(http/http_stream|docker/docker_http|docker/docker_stream).cc'
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
headers=$({ "$tidy" --version; cat .clang-tidy; find controller crd reconcilers -name '*.h' -print0 |
  LC_ALL=C sort -z | xargs -0 cat; } | sha256sum | cut -c1-32)

tidy_one() {
  local file=$1 key log
  key=$({ echo "$TIDY_HEADERS $file"; cat "$file"; } | sha256sum | cut -c1-32)
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
export TIDY=$tidy TIDY_BUILD=$build TIDY_CACHE=$cache TIDY_HEADERS=$headers TIDY_END=${budget:+$((EPOCHSECONDS + budget))}
start=$SECONDS
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy_one "$1"' _ || {
  echo "clang-tidy found something in the files above" >&2
  exit 1
}
echo "tidy: ${#files[@]} files in $((SECONDS - start)) s"

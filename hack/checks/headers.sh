#!/usr/bin/env bash
# Every header compiles alone, and twice in one file: nobody has to know what
# to include before it.
#
#   hack/checks/headers.sh [HEADER...]
#
# By default all that the build has not shown already: a source whose first
# include is its own header does not compile unless that header does alone.
# What passed is remembered by the contents of all headers, so that a second
# run costs nothing. CXX chooses the compiler.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
cxx=${CXX:-g++}
if (($#)); then
  headers=("$@")
else
  mapfile -t all < <(find controller crd reconcilers tests -name '*.h' | LC_ALL=C sort)
  ((${#all[@]})) || { echo "error: no header found" >&2; exit 1; }
  unguarded=$(grep -L '^#pragma once' "${all[@]}" || true)
  if [[ -n $unguarded ]]; then
    echo "error: #pragma once is missing in: $unguarded" >&2
    exit 1
  fi
  headers=()
  for header in "${all[@]}"; do
    source=${header%.h}.cc
    [[ -f $source && $(grep -m1 '^#include' "$source") == "#include \"$header\"" ]] || headers+=("$header")
  done
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/oms-upgrade-controller/headers
key=$({ "$cxx" --version; sha256sum "${headers[@]}" "$0"; find controller crd reconcilers tests -name '*.h' -print0 |
  LC_ALL=C sort -z | xargs -0 sha256sum; } | sha256sum | cut -c1-32)
if [[ -e $cache/$key ]]; then
  echo "headers: ${#headers[@]} passed before, unchanged"
  exit 0
fi

check_one() {
  printf '#include "%s"\n#include "%s"\n' "$1" "$1" |
    "$CXX_USED" -std=c++20 -fsyntax-only -Wall -Wextra -Wno-missing-field-initializers -I. -x c++ - || {
    echo "error: $1 does not compile alone: let it include what it uses" >&2
    return 1
  }
}
export -f check_one
export CXX_USED=$cxx
printf '%s\0' "${headers[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'check_one "$1"' _ || exit 1
mkdir -p "$cache"
find "$cache" -type f -mtime +14 -delete
: >"$cache/$key"
echo "headers: ${#headers[@]} compile alone, of which no source begins with them"

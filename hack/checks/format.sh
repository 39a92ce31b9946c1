#!/usr/bin/env bash
# The C++ files are laid out as .clang-format says.
#
#   hack/checks/format.sh [--fix] [FILE...]   (default: all)
#
# Versions of clang-format differ in details, so only the one that the project
# uses (14, Debian 12's) can fail the check; another one reports.
set -euo pipefail

WANT=14
fix=
if [[ ${1:-} == --fix ]]; then
  fix=1
  shift
fi
if ((!$#)); then
  cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
  mapfile -t files < <(find controller crd reconcilers tests -name '*.h' -o -name '*.cc' | LC_ALL=C sort)
else
  files=("$@")
fi
((${#files[@]})) || { echo "error: no file found" >&2; exit 1; }
format=$(command -v clang-format-$WANT || command -v clang-format || true)
if [[ -z $format ]]; then
  echo "skipped: no clang-format here (apt-get install clang-format)"
  exit 77
fi
if [[ -n $fix ]]; then
  exec "$format" -i "${files[@]}"
fi
version=$("$format" --version | sed -E 's/.*version ([0-9]+).*/\1/')
bad=()
while IFS= read -r file; do bad+=("$file"); done < <(
  printf '%s\0' "${files[@]}" |
    xargs -0 -n 1 -P "$(nproc)" sh -c '"$0" --dry-run -Werror "$1" >/dev/null 2>&1 || printf "%s\n" "$1"' "$format" | sort)
if ((${#bad[@]} == 0)); then
  echo "format: ${#files[@]} files are as .clang-format says"
  exit 0
fi
printf '%s\n' "${bad[@]}" >&2
echo "${#bad[@]} files differ from .clang-format (clang-format $version): hack/checks/format.sh --fix" >&2
if [[ $version != "$WANT" ]]; then
  echo "only a note: the check is made with clang-format $WANT" >&2
  exit 77
fi
exit 1

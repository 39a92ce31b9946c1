#!/usr/bin/env bash
# The shell scripts pass shellcheck (errors and warnings; matters of style are
# left to the writer), and parse.
#
#   hack/checks/shell.sh [FILE...]   (default: all)
set -euo pipefail

if ((!$#)); then
  cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
  mapfile -t scripts < <(find hack .ci -name '*.sh' -o -path '.ci/run' -o -path 'hack/hooks/*' | LC_ALL=C sort)
else
  scripts=("$@")
fi
((${#scripts[@]})) || { echo "error: no script found" >&2; exit 1; }
for script in "${scripts[@]}"; do bash -n "$script"; done
if ! command -v shellcheck >/dev/null; then
  echo "skipped: no shellcheck here (apt-get install shellcheck)"
  exit 77
fi
# 1090, 1091: sourced files are checked on their own. 2034: variables that the
# files which source a library read.
shellcheck -x -S warning -e SC1090,SC1091,SC2034 "${scripts[@]}"
echo "shell: ${#scripts[@]} scripts"

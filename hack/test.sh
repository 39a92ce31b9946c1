#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test against real servers.
#
#   hack/test.sh                 everything, as CI does
#   hack/test.sh --fast          build, unit and scenario tests only: no servers
#   hack/test.sh --only LABEL    unit | scenario | checks | integration | e2e
#   hack/test.sh --no-sanitizers leave out the builds with sanitizers
#   hack/test.sh --keep          leave the environment up at the end
#
# The tests with servers run side by side, in two environments of this script's
# own (.devenv-test and .devenv-test-2, or OMS_TEST_DEVENV): one that
# `hack/devenv.sh up` has started for you is not touched, nor is an engine of
# yours: the tests look at all containers there are, so they have engines of
# their own. The second environment has a network of its own; where none can be
# made, there is one environment. They go down at the end, also after a
# failure. The last lines are how long what took, and ctest's summary.
set -euo pipefail

HACK=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
export DEVENV_DIR=${OMS_TEST_DEVENV:-${HACK%/*}/.devenv-test}
# shellcheck source=hack/lib/common.sh
. "$HACK/lib/common.sh"
export DEVENV_DIR
# What a person has chosen for an OMS of theirs is not for these.
oms_defaults

only='' sanitizers=1 keep=''
while (($#)); do
  case $1 in
    --fast) only='unit|scenario' ;;
    --only)
      only=${2:-}
      [[ $only =~ ^(unit|scenario|checks|integration|e2e)$ ]] ||
        die "--only takes unit, scenario, checks, integration or e2e"
      shift
      ;;
    --no-sanitizers) sanitizers= ;;
    --keep) keep=1 ;;
    -h | --help) help_of "$0"; exit 0 ;;
    *) die "unknown option $1; see hack/test.sh --help" ;;
  esac
  shift
done
servers=1
case $only in 'unit|scenario' | unit | scenario | checks) servers= ;; esac
[[ -z $only ]] || sanitizers=
[[ -z $servers ]] || need_root 'hack/test.sh' 'a container engine of its own (--fast runs the tests that need none)'

cd "$REPO_DIR"
kube_build=''
sanitizer_run=''
environments=("$DEVENV_DIR")
environment_jobs=()
summary=
began=$SECONDS
stage=
stages=()
mkdir -p build
exec 7>build/test.lock
flock -n 7 || die "another hack/test.sh runs in this checkout"

cleanup() {
  local code=$?
  # A second interrupt would leave an environment running.
  trap '' INT TERM
  trap - EXIT
  local job
  for job in $kube_build $sanitizer_run "${environment_jobs[@]}"; do
    kill -0 "$job" 2>/dev/null || continue
    # The whole group: the compilers too.
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  done
  local at logs
  for at in "${environments[@]}"; do
    [[ -n $servers && -d $at ]] || continue
    if ((code)) && [[ -d $at/logs ]]; then
      # What the servers had to say must outlive the environment.
      logs=build/test-logs/${at##*/}
      mkdir -p "$logs"
      cp -f "$at"/logs/*.log "$at"/logs/*.last "$logs/" 2>/dev/null || true
      say "the servers' logs: $REPO_DIR/$logs"
    fi
    if [[ -n $keep ]]; then
      say "the environment stays up: export DEVENV_DIR=$at; hack/devenv.sh status; down ends it"
    else
      DEVENV_DIR=$at "$HACK/devenv.sh" down >build/down.log 2>&1 || {
        say "note: the environment in $at did not go down whole:"
        tail -n 5 build/down.log >&2
      }
    fi
  done
  if ((code)); then
    say "FAILED after $((SECONDS - began)) s${stage:+, at: $stage}"
    [[ -z $summary || ! -s $summary ]] || sed -n '/% tests passed/,$p' "$summary"
  fi
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# stage NAME: what follows, and how long what came before took.
stage() {
  [[ -z $stage ]] || stages+=("$(printf '%5d s  %s' $((SECONDS - stage_began)) "$stage")")
  stage=$1
  stage_began=$SECONDS
  say "== $stage"
}

if [[ -n $servers ]]; then
  # A killed run may have left its environments.
  for at in "$DEVENV_DIR" "$DEVENV_DIR-2"; do
    [[ ! -d $at ]] || DEVENV_DIR=$at "$HACK/devenv.sh" down
  done
  "$HACK/devenv.sh" check --engine own
fi

stage 'packages'
"$HACK/devenv.sh" packages build
[[ -z $servers ]] || "$HACK/devenv.sh" packages run
# Without these the checks of layout and scripts would be skipped.
if [[ -z $only || $only == checks ]]; then
  . "$HACK/lib/packages.sh"
  need_packages clang-format clang-tidy shellcheck
fi

if [[ -n $servers ]]; then
  # The longest single thing on a new machine (5 minutes of Go compiler), so it
  # runs beside the C++ build; a group of its own, to be ended as a whole.
  set -m
  "$HACK/devenv.sh" kube-build </dev/null &
  kube_build=$!
  set +m
fi

stage 'build (release)'
[[ -n $(find "${CCACHE_DIR:-$HOME/.cache/ccache}" -maxdepth 1 2>/dev/null) ]] ||
  say 'a first build takes some minutes: nothing is cached yet'
targets=()
[[ $only != checks ]] || targets=(help)
"$HACK/build.sh" release "${targets[@]}"

# ctest_run PRESET ARGS...: from the given build, two at a time.
ctest_run() {
  local preset=$1
  shift
  ctest --preset "$preset" -j 2 --no-tests=error "$@" </dev/null
}

# environment_up FOLDER ARGS...: one environment, with an OMS started and taken
# away again: that makes the images at the first time (a minute for the Debian
# base), and shows that the stand-in runs.
environment_up() {
  export DEVENV_DIR=$1
  shift
  "$HACK/devenv.sh" up --metadb both --engine own "$@" &&
    "$HACK/devenv.sh" oms start 4.3.0 && "$HACK/devenv.sh" oms reset
}

# slowest LOG...: the ten tests that took longest, of ctest's own lines.
slowest() {
  sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) .* +([0-9.]+) sec *$/\2 \1/p' "$@" | sort -rn |
    sed -n 1,10p | while read -r seconds name; do printf '%7.0f s  %s\n' "$seconds" "$name"; done
}

# table: what took how long.
table() {
  say "== seconds, $((SECONDS - began)) in all"
  printf '%s\n' "${stages[@]}" >&2
  say 'the ten slowest tests:'
  slowest "$@" >&2
}

if [[ -n $only ]] && [[ -z $servers ]]; then
  stage "tests ($only)"
  ctest_run release -L "^($only)\$"
  exit 0
fi

if [[ -n $servers ]]; then
  if kill -0 "$kube_build" 2>/dev/null; then
    say 'waiting for the Kubernetes build (about 5 minutes on two cores, once)'
  fi
  wait "$kube_build" || die "the Kubernetes binaries could not be built"
  kube_build=
  # Beside the quick tests, in groups of their own, to be ended as a whole.
  set -m
  environment_up "$DEVENV_DIR" </dev/null &
  environment_jobs+=("$!")
  if "$HACK/devenv.sh" check --engine own --network own 2>build/network.log; then
    environments+=("$DEVENV_DIR-2")
    environment_up "$DEVENV_DIR-2" --network own </dev/null &
    environment_jobs+=("$!")
  else
    say "the tests with servers run one after the other: $(tail -n 1 build/network.log)"
  fi
  # The second environment reaches no mirror, and a test in it may want this.
  "$HACK/image.sh" --base </dev/null &
  environment_jobs+=("$!")
  "$HACK/lib/earlier_release.sh" </dev/null >/dev/null &
  environment_jobs+=("$!")
  set +m
fi

if [[ -z $only ]]; then
  # Quick ones first: what is broken shows in the first minutes.
  stage 'unit and scenario tests'
  # What failed is shown as it failed: a second run may pass.
  ctest_run release -L '^(unit|scenario)$' --quiet --output-on-failure -O build/ctest-quick.log || {
    grep -vE '^ +Start |  Passed  ' build/ctest-quick.log >&2
    exit 1
  }
  tail -n 8 build/ctest-quick.log
fi
# sanitized: builds and tests with each of the sanitizers.
sanitized() {
  local preset
  renice -n 19 -p "$BASHPID" >/dev/null
  for preset in asan tsan; do
    "$HACK/build.sh" "$preset" && ctest_run "$preset" || return
    say "unit and scenario tests ($preset) passed"
  done
}

sanitizer_log=$REPO_DIR/build/sanitizers.log
if [[ -n $sanitizers ]]; then
  # Beside the tests with servers, which mostly wait: what those leave of the processors is enough.
  set -m
  sanitized >"$sanitizer_log" 2>&1 </dev/null &
  sanitizer_run=$!
  set +m
fi

stage "tests (${only:-all})"
for job in "${environment_jobs[@]}"; do
  wait "$job" || die "an environment did not come up, see above"
done
environment_jobs=()
export OMS_TEST_ENVIRONMENTS=$REPO_DIR/build/environments
mkdir -p "$OMS_TEST_ENVIRONMENTS"
resources='[]'
for at in "${environments[@]}"; do
  id=$(jq -n "$resources | length + 1")
  (umask 077 && DEVENV_DIR=$at "$HACK/devenv.sh" env >"$OMS_TEST_ENVIRONMENTS/$id.sh")
  resources=$(jq -n --arg id "$id" "$resources"' + [{id: $id, slots: 1}]')
done
jq -n --argjson servers "$resources" '{version: {major: 1, minor: 0}, local: [{servers: $servers}]}' \
  >"$OMS_TEST_ENVIRONMENTS/resources.json"
selection=(-LE '^(unit|scenario)$')
[[ -z $only ]] || selection=(-L "^($only)\$")
summary=$REPO_DIR/build/ctest.log
# One more than there are environments: what needs none runs beside.
ctest_run release -j $((${#environments[@]} + 1)) --resource-spec-file "$OMS_TEST_ENVIRONMENTS/resources.json" \
  "${selection[@]}" 2>&1 | tee "$summary"

if [[ -n $sanitizers ]]; then
  stage 'unit and scenario tests with sanitizers'
  wait "$sanitizer_run" || {
    sanitizer_run=
    grep -vE '^ +Start |  Passed  ' "$sanitizer_log" >&2
    die "the tests with sanitizers failed (log: $sanitizer_log)"
  }
  sanitizer_run=
  grep -E ' passed$|tests passed' "$sanitizer_log" >&2
fi
stage 'done'
table build/ctest-*.log "$summary"
if [[ -z $only ]]; then
  # The last lines are ctest's summaries.
  sed -n '/% tests passed/,$p' build/ctest-quick.log "$summary"
fi

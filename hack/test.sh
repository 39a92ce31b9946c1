#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test against real servers.
#
#   hack/test.sh                 everything, as CI does
#   hack/test.sh --fast          build, unit and scenario tests only: no servers
#   hack/test.sh --only LABEL    unit | scenario | checks | integration | e2e
#   hack/test.sh --no-sanitizers leave out the builds with sanitizers
#   hack/test.sh --keep          leave the environment up at the end
#
# The environment is this script's own (.devenv-test, or OMS_TEST_DEVENV): one
# that `hack/devenv.sh up` has started for you is not touched, nor is an engine
# of yours: the tests look at all containers there are, so they have an engine
# of their own. It goes down at the end, also after a failure. The last lines
# are ctest's summary.
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
summary=
began=$SECONDS
stage=
stages=()
mkdir -p build
exec 7>build/test.lock
flock -n 7 || die "another hack/test.sh runs in this checkout"

cleanup() {
  local code=$?
  trap - EXIT INT TERM
  local job
  for job in $kube_build $sanitizer_run; do
    kill -0 "$job" 2>/dev/null || continue
    # The whole group: the compilers too.
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  done
  if [[ -n $servers && -d $DEVENV_DIR ]]; then
    if ((code)) && [[ -d $DEVENV_DIR/logs ]]; then
      # What the servers had to say must outlive the environment.
      mkdir -p build/test-logs
      cp -f "$DEVENV_DIR"/logs/*.log build/test-logs/ 2>/dev/null || true
      say "the servers' logs: $REPO_DIR/build/test-logs"
    fi
    if [[ -n $keep ]]; then
      say "the environment stays up: export DEVENV_DIR=$DEVENV_DIR; hack/devenv.sh status; down ends it"
    else
      "$HACK/devenv.sh" down >build/down.log 2>&1 || {
        say "note: the environment in $DEVENV_DIR did not go down whole:"
        tail -n 5 build/down.log >&2
      }
    fi
  fi
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
  # A killed run may have left its environment.
  [[ ! -d $DEVENV_DIR ]] || "$HACK/devenv.sh" down
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

# ctest_run PRESET ARGS...: from the given build, two at a time; tests with real
# servers say themselves that they want to be alone.
ctest_run() {
  local preset=$1
  shift
  ctest --preset "$preset" -j 2 --no-tests=error "$@" </dev/null
}

if [[ -n $only ]] && [[ -z $servers ]]; then
  stage "tests ($only)"
  ctest_run release -L "^($only)\$"
  exit 0
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

stage 'environment'
if kill -0 "$kube_build" 2>/dev/null; then
  say 'waiting for the Kubernetes build (about 5 minutes on two cores, once)'
fi
wait "$kube_build" || die "the Kubernetes binaries could not be built"
kube_build=
"$HACK/devenv.sh" up --metadb both --engine own
exports=$("$HACK/devenv.sh" env)
eval "$exports"
# The images are made at the first start of an OMS (a minute for the Debian
# base, once). That first start also shows that the stand-in runs.
"$HACK/devenv.sh" oms start 4.3.0
"$HACK/devenv.sh" oms reset

stage "tests (${only:-all})"
printf '%s\n' "${stages[@]}" >&2
selection=(-LE '^(unit|scenario)$')
[[ -z $only ]] || selection=(-L "^($only)\$")
summary=$REPO_DIR/build/ctest.log
ctest_run release "${selection[@]}" 2>&1 | tee "$summary"

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
if [[ -z $only ]]; then
  # The last lines are ctest's summaries.
  sed -n '/% tests passed/,$p' build/ctest-quick.log "$summary"
fi

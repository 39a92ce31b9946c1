# shellcheck shell=bash
# What has to be installed: Debian packages by apt-get, wheels by pip.

# What the C++ build needs, and its tests without servers (lua5.1: the health check for Argo CD); one
# name a line. The Boost parts are those that cpprestsdk's CMake file asks for; libboost-all-dev would
# bring MPI and Python.
build_packages() {
  printf '%s\n' g++ cmake ninja-build ccache pkg-config git \
    libcpprest-dev libyaml-cpp-dev nlohmann-json3-dev libmysqlcppconn-dev libspdlog-dev libfmt-dev \
    libabsl-dev tzdata libgtest-dev libgmock-dev libssl-dev libzstd-dev zlib1g-dev \
    libboost-dev libboost-system-dev libboost-thread-dev libboost-random-dev libboost-filesystem-dev \
    libboost-chrono-dev libboost-atomic-dev libboost-date-time-dev libboost-regex-dev \
    lua5.1
}

# What running the environment and the upgrade needs. mariadb-server-core has
# the server without the service that mariadb-server would start.
run_packages() {
  printf '%s\n' mydumper mariadb-client mariadb-server-core zstd jq debootstrap curl openssl \
    python3 python3-pip tzdata procps util-linux iproute2 unzip ca-certificates
  # A docker client that is there already may belong to another packager.
  have docker || printf '%s\n' docker.io
}

package_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]
}

apt_quiet() {
  # Others may hold the lock: an unattended upgrade, a second run of this. In a
  # session of its own: an interrupt must not leave packages half installed.
  DEBIAN_FRONTEND=noninteractive setsid --wait apt-get -o DPkg::Lock::Timeout=600 -qq "$@" </dev/null
}

# need_packages NAME...: installs what is missing.
need_packages() {
  local name missing=() unknown=() log
  have dpkg-query || die "this is no Debian system (no dpkg-query); install by hand what hack/lib/packages.sh lists"
  for name in "$@"; do
    package_installed "$name" || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || die "these packages are missing and only root can install them: sudo apt-get install ${missing[*]}"
  say "installing ${#missing[@]} packages: ${missing[*]}"
  mkdir -p "$DEVENV_DIR/logs"
  log=$DEVENV_DIR/logs/apt.log
  for name in "${missing[@]}"; do
    apt-cache show "$name" >/dev/null 2>&1 || unknown+=("$name")
  done
  if ((${#unknown[@]})) || ! apt_quiet install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
    # Unknown names and files gone from the mirror both come of old lists.
    apt_quiet update >>"$log" 2>&1 || {
      tail -n 5 "$log" >&2
      die "apt-get update failed (log: $log); is the Debian mirror reachable?"
    }
    unknown=()
    for name in "${missing[@]}"; do
      apt-cache show "$name" >/dev/null 2>&1 || unknown+=("$name")
    done
    ((${#unknown[@]} == 0)) || die "Debian's lists have no package ${unknown[*]}; Debian 12 (bookworm, main) is what this was made for"
    apt_quiet install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || {
      tail -n 15 "$log" >&2
      die "apt-get install failed (log: $log)"
    }
  fi
}

# fetch_wheel NAME==VERSION DIR: unpacks a wheel from PyPI below DIR, without
# installing it. Returns 1 when it cannot be had. The tag is CPython 3.11's,
# since some wheels are made for certain versions only; nothing of Python is run.
fetch_wheel() {
  local requirement=$1 dir=$2 tmp
  mkdir -p "$CACHE_DIR"
  tmp=$(mktemp -d "$CACHE_DIR/wheel.XXXXXX")
  python3 -m pip --version >/dev/null 2>&1 || need_packages python3-pip
  if ! python3 -m pip download -q --no-deps --python-version 3.11 --only-binary=:all: \
    --disable-pip-version-check -d "$tmp" "$requirement" >&2; then
    rm -rf "$tmp"
    return 1
  fi
  mkdir -p "$dir"
  python3 -m zipfile -e "$tmp"/*.whl "$dir" || {
    rm -rf "$tmp" "$dir"
    return 1
  }
  rm -rf "$tmp"
}
